# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A trained model as one module, from pixels to labels.

Axis letters: N images, H and W of the network's input, C labels, K paths kept, L labels that a path
may have.
"""

import torch
from mmengine.model import BaseModel
from mmpretrain.models import ClsDataPreprocessor, ImageClassifier, MultiLabelClsHead
from torch import Tensor, nn
from torch.nn import functional

from ...errors import UsageError
from ...models.heads import CNNRNNHead, RLSDHead
from ...models.heads.linear_label_head import SCORES
from ...models.postprocessors import (
    BeamSearchPostprocessor,
    PathDecision,
    ThresholdDecision,
    label_scores,
)
from ...search import FixedBeamSearch, SearchResult
from .regions import ExportRegions
from .steps import ExportSteps

__all__ = ['ExportModel']


class ExportModel(nn.Module):
    """Normalisation, backbone, neck, head and beam search, in operators that can be exported.

    What the model's own ``predict`` writes into data samples comes as tensors of fixed shapes::

        labels            (N, L) int64    the answer, -1 behind its last label
        counts            (N,) int64      how many labels it has
        scores            (N, C)          pred_score
        scores_lower      (N, C)          pred_score_lower
        scores_upper      (N, C)          pred_score_upper
        step_probs        (N, L + 1)      P of each step of the best path; 0 behind that of END
        paths             (N, K, L) int64 the best paths, -1 behind the last label
        path_log_probs    (N, K)          natural log; -inf where there are fewer than K paths
        proven            (N,) bool       the first path is the most probable one
        gap               (N,)            where it is not, a better one is better by at most this
        label_boxes       (N, L, 4)       RLSD alone: pred_label_regions, 0 behind the last label

    The host's multi-label heads and ``LinearLabelHead`` give ``scores`` alone. With a
    ``ThresholdDecision`` there is room for C labels in ``labels`` and ``label_boxes``.

    Args:
        model: An ``ImageClassifier`` in evaluation mode; its weights are shared, and it is left as
            it is.
        max_labels: L, of heads with paths; more than C, or than the constraints allow, means those.

    Attributes:
        search: The search; None for heads without paths.
        output_names: Of what :meth:`forward` returns, in its order.

    Raises:
        UsageError: If a part of the model can not be exported.
    """

    is_forbidden: Tensor
    is_known: Tensor
    thr: Tensor | None

    def __init__(self, model: BaseModel, max_labels: int = 16) -> None:
        super().__init__()
        if not isinstance(model, ImageClassifier):
            raise UsageError(f'{type(model).__name__} can not be exported: ImageClassifier can')
        self.preprocessor = model.data_preprocessor
        if type(self.preprocessor) is not ClsDataPreprocessor:
            raise UsageError(
                f'{type(self.preprocessor).__name__} can not be exported: ClsDataPreprocessor can'
            )
        self.backbone, self.neck, self.head = model.backbone, model.neck, model.head
        self.search: FixedBeamSearch | None = None
        self.output_names = ['scores']
        if isinstance(self.head, CNNRNNHead):
            self._prepare_paths(max_labels)
        elif not isinstance(self.head, MultiLabelClsHead):
            raise UsageError(
                f'{type(self.head).__name__} can not be exported: CNNRNNHead, RLSDHead and the '
                "host's multi-label heads can"
            )

    def _prepare_paths(self, max_labels: int) -> None:
        head, asked = self.head, self.head.postprocessor
        if not isinstance(asked, BeamSearchPostprocessor):
            raise UsageError(
                f'{type(asked).__name__} has no fixed number of steps: name a width with '
                '--beam-size, which exports BeamSearchPostprocessor in its place'
            )
        if not isinstance(asked.decision, (PathDecision, ThresholdDecision)):
            raise UsageError(
                f'{type(asked.decision).__name__} can not be exported: PathDecision and '
                'ThresholdDecision can; choose with --cfg-options '
                'model.head.postprocessor.decision.type=PathDecision'
            )
        self.regions = ExportRegions(self.neck) if isinstance(head, RLSDHead) else None
        self.steps = ExportSteps(head.decoder, asked.end_bias)
        limits, num_classes = asked.constraints, head.num_classes
        device = self.steps.drives.device
        self.search = FixedBeamSearch(
            num_classes, max_labels, constraints=limits, device=device, **asked.options
        )
        thr = getattr(asked.decision, 'thr', None)
        self.register_buffer('thr', None if thr is None else thr.to(device), persistent=False)
        for name, ids in (
            ('is_forbidden', limits.forbidden),
            ('is_known', [*limits.required, *limits.prefix]),
        ):
            mask = torch.zeros(num_classes, dtype=torch.bool, device=device)
            mask[list(ids)] = True
            self.register_buffer(name, mask, persistent=False)
        self.output_names = [
            *('labels', 'counts', 'scores', 'scores_lower', 'scores_upper', 'step_probs'),
            *('paths', 'path_log_probs', 'proven', 'gap'),
            *(() if self.regions is None else ('label_boxes',)),
        ]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """From (N, H, W, 3) uint8, red first, to what ``output_names`` says."""
        feats = self.backbone(self._normalise(pixels))
        if self.search is None:
            feats = feats if self.neck is None else self.neck(feats)
            return (self._scores_alone(self.head(feats)),)
        regions = None if self.regions is None else self.regions(feats)
        if regions is None:
            feats = feats if self.neck is None else self.neck(feats)
            features = self.head.pre_logits(feats)
            branch = self.head.marginal_branch
            logits = None if branch is None else branch(features)
            image = self.steps.project_image(features, logits)
        else:
            image, logits = self.head.read_images((regions,))
        step, state = self.steps.begin(image, pixels.shape[0])
        start = torch.full_like(state[0], self.head.vocabulary.start)
        result = self.search(step, state, start)
        scores = self._scores(result, logits)
        labels = self._labels(result, scores)
        places = torch.arange(result.paths.shape[-1] + 1, device=pixels.device)
        totals = torch.cat([result.totals, result.log_probs.unsqueeze(-1)], -1)[:, 0]
        steps = (totals - functional.pad(totals[:, :-1], (1, 0))).exp()
        outputs = (
            labels,
            (labels >= 0).sum(-1),
            scores,
            result.lower,
            result.upper,
            steps.masked_fill(places > result.lengths[:, :1], 0.0),
            result.paths,
            result.log_probs,
            result.proven,
            result.gaps,
        )
        if regions is None:
            return outputs
        chosen = self.steps.responsible_regions(image, labels).unsqueeze(-1).expand(-1, -1, 4)
        boxes = regions.boxes.gather(1, chosen)
        return (*outputs, boxes.masked_fill((labels < 0).unsqueeze(-1), 0.0))

    def _normalise(self, pixels: Tensor) -> Tensor:
        """What the data preprocessor gives: (N, H, W, 3) uint8 -> (N, 3, H', W')."""
        images = pixels.permute(0, 3, 1, 2)
        # The pipeline gives blue first, and the preprocessor turns that round where it says so.
        images = (images if self.preprocessor.to_rgb else images.flip(1)).float()
        if hasattr(self.preprocessor, 'mean'):
            images = (images - self.preprocessor.mean) / self.preprocessor.std
        by = [-side % self.preprocessor.pad_size_divisor for side in images.shape[2:]]
        if any(by):
            margins = (0, by[1], 0, by[0])
            images = functional.pad(images, margins, value=self.preprocessor.pad_value)
        return images

    def _scores_alone(self, logits: Tensor) -> Tensor:
        """``pred_score`` (N, C) of a head without paths."""
        return SCORES[getattr(self.head, 'score', 'sigmoid')](logits.float())

    def _scores(self, result: SearchResult, logits: Tensor | None) -> Tensor:
        """``pred_score`` (N, C), as :class:`PathPostprocessor` makes it."""
        scores, share = label_scores(result), self.head.postprocessor.marginal_share
        if share > 0 and logits is not None:  # the head has a branch where there is a share
            scores = torch.lerp(scores, logits.float().sigmoid(), share)
        scores = torch.where(self.is_forbidden, 0.0, scores)
        return torch.where(self.is_known, 1.0, scores)

    def _labels(self, result: SearchResult, scores: Tensor) -> Tensor:
        """``pred_label`` (N, L), or (N, C) for a threshold, -1 behind the last one."""
        if self.thr is None:
            return result.paths[:, 0]
        chosen = scores >= self.thr
        found = scores.masked_fill(~chosen, -torch.inf).sort(dim=-1, descending=True, stable=True)
        return found.indices.masked_fill(found.values == -torch.inf, -1)
