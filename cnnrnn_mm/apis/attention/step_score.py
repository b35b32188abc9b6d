# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""From the network's input to the score of one label at one step.

Axis letters: R rows, T steps, C labels, V = C + 1 (labels and END), H, W sides of the input.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...errors import UsageError
from ...models.heads import CNNRNNHead

__all__ = ['DEFAULT_SCORE', 'ROWS', 'SCORES', 'StepScore', 'extract', 'find_score']

#: What is explained unless something else is asked for; see :data:`SCORES`.
DEFAULT_SCORE = 'log_odds'
#: Rows that go through a model at once.
ROWS = 8


def _log_odds(scores: Tensor, target: Tensor) -> Tensor:
    own = scores.gather(1, target.unsqueeze(1)).squeeze(1)
    others = scores.scatter(1, target.unsqueeze(1), -torch.inf)
    return own - others.logsumexp(1)


def _logit(scores: Tensor, target: Tensor) -> Tensor:
    return scores.gather(1, target.unsqueeze(1)).squeeze(1)


def _log_prob(scores: Tensor, target: Tensor) -> Tensor:
    return _logit(scores.log_softmax(1), target)


def _against_end(scores: Tensor, target: Tensor) -> Tensor:
    last = target == scores.shape[1] - 1
    return torch.where(last, _log_odds(scores, target), _logit(scores, target) - scores[:, -1])


def _label_mean(scores: Tensor, target: Tensor) -> Tensor:
    return scores[:, :-1].mean(1)


#: What is explained at a step: (scores (R, V), targets (R,)) -> (R,). Which of them points best on
#: the demo scenes is in docs/attention.md.
#:
#: - ``log_odds``, the default: log p - log(1 - p), this label and nothing else; it does not fade
#:   where the model is sure, as ``log_prob`` does.
#: - ``against_end``: log P(label) - log P(END), why the path goes on with this label and does not
#:   stop; of END itself the log-odds.
#: - ``label_mean``: that of the CNN-RNN paper's Fig. 10, the mean over all label nodes, whatever
#:   label comes next.
#: - ``marginal``: what the marginal branch says of the label by itself, whatever the step.
SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'log_odds': _log_odds,
    'log_prob': _log_prob,
    'logit': _logit,
    'against_end': _against_end,
    'label_mean': _label_mean,
    'marginal': _logit,
}


def find_score(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The function called ``name`` in :data:`SCORES`."""
    if name not in SCORES:
        raise UsageError(f"score '{name}' is not known: choose one of {', '.join(SCORES)}")
    return SCORES[name]


def extract(model: BaseModel, inputs: Tensor, samples: Sequence[DataSample | None]) -> Any:
    """What backbone and neck give; some necks read what comes with the images."""
    if hasattr(model, 'locate'):
        return model.locate(inputs, samples)
    return model.extract_feat(inputs)


@contextmanager
def _attached(head: nn.Module) -> Iterator[None]:
    """Let decoders that train apart from the marginal branch pass a gradient back to it."""
    cut: list[Any] = [part for part in head.modules() if getattr(part, 'detach', None) is True]
    for part in cut:
        part.detach = False
    try:
        yield
    finally:
        for part in cut:
            part.detach = True


class StepScore(nn.Module):
    """A model of images as a function from the network's input to one score a row.

    Row r is asked for the score of ``targets[steps[r]]`` behind the labels that stand before it in
    the path: teacher forcing, so a step's score does not depend on what the model would have
    chosen before. For heads without paths a step is a label, and its score the label's logit.

    Args:
        model: A classifier of the host with a :class:`CNNRNNHead` or a multi-label head.
        tokens: (T,) class ids, END (which is C) where its step is asked for; the targets.
        prefix: (T,) numbers of labels of ``path`` that stand before each target.
        path: (n,) class ids, the labels that are known.
        score: One of :data:`SCORES`.
        sample: The image's sample, for necks that read regions from it.
    """

    def __init__(
        self,
        model: BaseModel,
        tokens: Sequence[int],
        prefix: Sequence[int],
        path: Sequence[int],
        score: str = DEFAULT_SCORE,
        sample: DataSample | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.score, self.name = find_score(score), score
        self.targets, self.places = list(tokens), list(prefix)
        self.path = list(path)
        self.sample = sample
        if score == 'marginal':
            self._check_marginal()

    def forward(self, inputs: Tensor, steps: Tensor) -> Tensor:
        """(R, 3, H, W) and (R,) int64, which step of each row -> (R,)."""
        scores = self.step_scores(inputs, steps)
        targets = torch.as_tensor(self.targets, device=scores.device)[steps]
        if isinstance(self.model.head, CNNRNNHead):
            return self.score(scores, targets)
        return scores.mean(1) if self.name == 'label_mean' else _logit(scores, targets)

    def step_scores(self, inputs: Tensor, steps: Tensor) -> Tensor:
        """Scores of all that could stand at each row's step, (R, V); without paths (R, C)."""
        head = self.model.head
        feats = extract(self.model, inputs, [self.sample] * len(inputs))
        if not isinstance(head, CNNRNNHead):
            return head(feats).float()
        if self.name == 'marginal':
            # There is a branch: _check_marginal has looked.
            return cast(Tensor, head.read_images(feats)[1]).float()
        known = torch.as_tensor([head.vocabulary.start, *self.path], device=inputs.device)
        places = torch.as_tensor(self.places, device=inputs.device)[steps]
        # cuDNN's recurrent layers have no gradient in evaluation mode.
        with _attached(head), torch.backends.cudnn.flags(enabled=False):
            scores = head(feats, known.expand(len(inputs), -1))  # (R, n + 1, V)
        return scores[torch.arange(len(inputs), device=inputs.device), places].float()

    def _check_marginal(self) -> None:
        head = self.model.head
        if not isinstance(head, CNNRNNHead):
            return
        if head.marginal_branch is None:
            raise UsageError(
                "score 'marginal' is that of the marginal branch, and the head has none: take "
                'log_odds'
            )
        if head.vocabulary.end in self.targets:
            raise UsageError("the marginal branch says nothing of END: take score 'log_odds'")
