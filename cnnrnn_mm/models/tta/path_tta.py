# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Test-time augmentation for heads of label paths.

Axis letters: N images, W views of an image, C labels.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule, BaseTTAModel
from mmpretrain.models import MultiLabelClsHead, MultiTaskHead
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError
from ...registry import MODELS
from ..classifiers import RegionClassifier
from ..heads import CNNRNNHead, HybridHead
from .view_mixture import mix_views

__all__ = ['PathTTA']


@MODELS.register_module()
class PathTTA(BaseTTAModel):
    """Answer for an image from several views of it, such as the image and its mirror image.

    Heads of label paths (:class:`CNNRNNHead`, :class:`RLSDHead`, :class:`HybridHead`) search the
    mixture of the views' distributions, all views at once (:func:`mix_views`): a sample gets all
    fields that it gets without views, among them ``pred_label``, and its paths, probabilities,
    proofs and certified bounds are those of the mixture. What a marginal branch or a label head
    says is averaged. ``pred_label_regions`` is left out: the views' regions are not those of the
    image.

    Heads of the host get the mean of the views' ``pred_score``, and ``pred_label`` by the head's
    own threshold, ``topk`` or, with one label an image, the largest score. The heads of a
    ``MultiTaskHead`` are treated one by one.

    ``tools/test.py --tta`` uses it where the config has ``tta_model = dict(type=
    'cnnrnn_mm.PathTTA')`` and a ``tta_pipeline`` with ``TestTimeAug``.

    Args:
        weights: W numbers above 0, how much each view counts; None for equal ones. A product of
            several lists in ``TestTimeAug`` counts its last list fastest.
        **kwargs: Those of the host's ``BaseTTAModel``.

    Raises:
        UsageError: If the weights are not numbers above 0, or the data do not fit.
    """

    def __init__(self, weights: Sequence[float] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if weights is not None and not (weights and all(0 < one < math.inf for one in weights)):
            raise UsageError(f'weights are {weights}: give one number above 0 for each view')
        self.weights = weights

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Torch's hook for loading: the names in a checkpoint are those of the model inside.

        MMEngine's loader knows that of wrappers like this one; the host's ``EMAHook`` loads the
        averaged weights by torch's, which would leave them random without a word.
        """
        inner = f'{prefix}module.'
        for name in [one for one in state_dict if not one.startswith(inner)]:
            if name.startswith(prefix):
                state_dict[inner + name.removeprefix(prefix)] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def test_step(self, data: dict[str, Any]) -> list[DataSample]:
        """Predict a batch.

        Args:
            data: As ``TestTimeAug`` and ``pseudo_collate`` give it: ``inputs`` and
                ``data_samples``, each a list of W lists with one entry an image.

        Returns:
            The samples of the first view, with predictions.
        """
        samples, feats = [], []
        for view in self._views_of(data):
            view = self.module.data_preprocessor(view, False)
            if isinstance(self.module, RegionClassifier):
                feats.append(self.module.locate(view['inputs'], view['data_samples']))
            else:
                feats.append(self.module.extract_feat(view['inputs']))
            samples.append(view['data_samples'])
        return self._predict(self.module.head, feats, samples[0])

    def _views_of(self, data: dict[str, Any]) -> list[dict]:
        samples = data.get('data_samples') if isinstance(data, dict) else None
        if not samples or not all(isinstance(one, (list, tuple)) for one in samples):
            raise UsageError(
                'the images come without views: put TestTimeAug into tta_pipeline, with PackInputs '
                'inside'
            )
        if self.weights is not None and len(self.weights) != len(samples):
            raise UsageError(
                f'there are {len(self.weights)} weights for {len(samples)} views: give one for each'
            )
        return [{key: value[view] for key, value in data.items()} for view in range(len(samples))]

    def _predict(self, head: BaseModule, feats: list, samples: list) -> list[DataSample]:
        """From the features of each view to samples."""
        if isinstance(head, (CNNRNNHead, HybridHead)):
            return self._search(head, feats, samples)
        if isinstance(head, MultiTaskHead):
            return self._predict_tasks(head, feats, samples)
        return self._average(head, feats, samples)

    def _search(self, head: BaseModule, feats: list, samples: list) -> list[DataSample]:
        """Search the mixture."""
        images, logits = zip(*(head.read_images(one) for one in feats), strict=True)
        if len({one.shape for one in images}) > 1:
            raise UsageError(
                f'the views have {[one.shape[1] for one in images]} regions an image: let the '
                'neck give each view the same number'
            )
        weights = self._weights_of(feats).to(images[0].device)
        stacked = torch.stack(images, 1).flatten(0, 1)  # (N W, ...)
        post = head.postprocessor
        step, state = head.decoder.begin_search(stacked, head.use_trie, keep_all=post.revisits)
        step, state = mix_views(step, state, weights.log(), len(samples), head.num_classes)
        if logits[0] is None:
            return post(step, state, samples)
        marginals = self._mean([one.float().sigmoid() for one in logits])
        if not isinstance(head, HybridHead):
            return post(step, state, samples, marginals=marginals)
        samples = post(step, state, samples, **head.pooled(marginals))
        return head.write_independent(marginals.logit(), samples)

    def _predict_tasks(self, head: MultiTaskHead, feats: list, samples: list) -> list:
        """Predict each task; samples get what the host's ``MultiTaskHead.predict`` writes."""
        for task, inner in head.task_heads.items():
            own = [sample.get(task) if task in sample else DataSample() for sample in samples]
            known = [task in sample for sample in samples]
            found = self._predict(inner, feats, own)
            for sample, one, mask in zip(samples, found, known, strict=True):
                one.set_field(mask, 'eval_mask', field_type='metainfo')
                sample.set_field(one, task)
        return samples

    def _average(self, head: BaseModule, feats: list, samples: list) -> list[DataSample]:
        """Average the scores of one of the host's heads, and decide as it does."""
        predicted = [head.predict(one) for one in feats]
        for sample, *views in zip(samples, *predicted, strict=True):
            score = self._mean([one.pred_score for one in views])
            sample.set_pred_score(score).set_pred_label(_decide(head, score))
        return samples

    def merge_preds(self, data_samples_list: list[list[DataSample]]) -> list[DataSample]:
        """Refused: samples hold too little of the distributions to merge them."""
        raise NotImplementedError('PathTTA merges distributions in test_step, not samples')

    def _weights_of(self, views: Sequence) -> Tensor:
        """(W,), their sum is 1."""
        weights = torch.ones(len(views)) if self.weights is None else torch.tensor(self.weights)
        return weights.double() / weights.double().sum()

    def _mean(self, values: Sequence[Tensor]) -> Tensor:
        """The weighted mean of what W views say."""
        weights = self._weights_of(values).to(values[0].device)
        return torch.einsum('w,w...->...', weights, torch.stack(list(values)).double()).float()


def _decide(head: BaseModule, score: Tensor) -> Tensor:
    """``pred_label`` for scores (C,), as the host's head decides."""
    if not isinstance(head, MultiLabelClsHead):
        return score.argmax(dim=-1, keepdim=True)
    if head.thr is not None:
        return (score >= head.thr).nonzero().squeeze(1)
    return score.sort(descending=True, stable=True).indices[: head.topk]
