# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a model of label paths says of a batch.

Axis letters: N images, C labels, S samples, M paths.
"""

from typing import Any

import torch
from torch import Tensor

from cnnrnn_mm.evaluation.functional import labels_to_sets
from cnnrnn_mm.models import CNNRNNHead
from cnnrnn_mm.search import (
    Constraints,
    PathSamples,
    State,
    StepFunction,
    beam_search,
    expected_f1_sets,
    sample_paths,
    set_log_probs,
)

from .outputs import Outputs, pack_sets

__all__ = ['PROBABLE', 'path_outputs']

#: Behind the share of samples with a label, what their prefixes say of it tells labels apart that
#: no sample holds.
TIE = 1e-6
#: M: how many of an image's most probable paths are kept for mixtures.
PROBABLE = 64


def path_outputs(
    head: CNNRNNHead,
    feats: tuple[Tensor, ...],
    target: Tensor,
    ignored: Tensor,
    known: dict[str, Tensor],
    options: dict[str, Any],
) -> Outputs:
    """What a batch is given.

    P(true set) is the sum over the orders of its labels, up to the limit of
    :func:`cnnrnn_mm.search.set_log_probs` (a lower bound beyond), and over the one order that a
    decoder with a fixed order has. Completion is P(label in set, given the known ones) from drawn
    paths, mixed with the marginal branch as the head's ``pred_score`` is.

    Args:
        head: The head, in evaluation mode.
        feats: What backbone and neck give.
        target: True labels (N, C) bool.
        ignored: (N, C) bool.
        known: Given labels (N, C) bool, by setting.
        options: ``samples``, S, and ``sample_seed``.
    """
    model = _Model(head, feats)
    predicted = head.predict(feats)
    scores = torch.stack([one.pred_score for one in predicted]).float().cpu()
    sets = [row.nonzero().flatten().tolist() for row in target]
    order = Constraints(order=model.order)
    lower, upper = set_log_probs(
        *model.begin(), model.start, head.num_classes, sets, order, options['max_prefixes']
    )
    drawn = model.sample(None, options)
    completion, log_known = {}, {}
    for name, given in known.items():
        told = model.sample(given, options)
        completion[name] = model.mix(_marginals(told))
        log_known[name] = (told.log_evidence - drawn.log_evidence).cpu()
    probable, probable_log_probs = model.probable()
    return Outputs(
        target=target,
        ignored=ignored,
        scores=scores,
        predicted=labels_to_sets([one.pred_label for one in predicted], head.num_classes),
        expected=expected_f1_sets(drawn.sets, drawn.weights)[0].cpu(),
        log_prob=lower.double().cpu(),
        log_prob_upper=upper.double().cpu(),
        completion=completion,
        samples=pack_sets(drawn.sets),
        sample_weights=drawn.weights.cpu(),
        probable=pack_sets(probable),
        probable_log_probs=probable_log_probs.double().cpu(),
        log_known=log_known,
    )


class _Model:
    """A head that has seen the images of a batch."""

    def __init__(self, head: CNNRNNHead, feats: tuple[Tensor, ...]) -> None:
        self.head = head
        self.image, self.logits = head.read_images(feats)
        self.start = torch.full((len(self.image),), head.vocabulary.start, device=self.image.device)
        order = getattr(head.decoder, 'order', None)  # of a decoder that has a fixed one
        self.order = None if order is None else order.tolist()

    def begin(self) -> tuple[StepFunction, State]:
        return self.head.decoder.begin_search(self.image, self.head.use_trie)

    @property
    def limits(self) -> Constraints:
        """The head's constraints, with the order of a decoder that has one."""
        limits = self.head.postprocessor.constraints
        return limits if self.order is None else limits.merged(order=self.order)

    def probable(self) -> tuple[Tensor, Tensor]:
        """Sets (N, M, C) bool and log-probabilities (N, M) of the best paths of a wide beam."""
        found = beam_search(
            *self.begin(), self.start, self.head.num_classes, PROBABLE, constraints=self.limits
        )
        num_classes = self.head.num_classes
        places = torch.where(found.paths < 0, num_classes, found.paths)
        sets = torch.zeros((*places.shape[:2], num_classes + 1), dtype=torch.bool)
        return sets.scatter_(2, places.cpu(), True)[..., :num_classes], found.log_probs

    def sample(self, known: Tensor | None, options: dict[str, Any]) -> PathSamples:
        """Label sets drawn from the model, under the head's constraints and with known labels."""
        limits = [self.limits] * len(self.start)
        if known is not None:
            given = [row.nonzero().flatten().tolist() for row in known]
            limits = [
                one.merged(required=[label for label in labels if label not in one.required])
                for one, labels in zip(limits, given, strict=True)
            ]
        return sample_paths(
            *self.begin(),
            self.start,
            self.head.num_classes,
            options['samples'],
            constraints=limits,
            seed=options['sample_seed'],
        )

    def mix(self, shares: Tensor) -> Tensor:
        """Shares of paths (N, C) and the marginal branch, as in ``pred_score``."""
        weight = self.head.postprocessor.marginal_share
        if weight == 0:
            return shares
        return torch.lerp(shares, self.logits.float().sigmoid().cpu(), weight)


def _marginals(drawn: PathSamples) -> Tensor:
    """P(label in set) (N, C), on the CPU."""
    return torch.lerp(drawn.marginals(), drawn.expected.clamp(max=1.0), TIE).float().cpu()
