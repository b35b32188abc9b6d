# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a panel says about one DataSample. Axis letter: C classes."""

import math
from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample

from ..errors import UsageError
from .label_panel import MISSED, PLAIN, RIGHT, WRONG, Label, LabelPanel, Verdict
from .region_boxes import RegionMark

#: Said of labels whose region is the whole image.
WHOLE = 'whole image'


def build_sample_panel(
    data_sample: DataSample,
    classes: Sequence[str] | None,
    font_size: int,
    draw_gt: bool = True,
    draw_pred: bool = True,
    draw_score: bool = True,
    num_next_paths: int = 3,
    max_labels: int = 20,
    marks: Sequence[RegionMark] = (),
) -> LabelPanel:
    """Lay out the true labels, the predicted path and the next best paths of a sample.

    Args:
        data_sample: See ``LabelPathVisualizer.visualize_cls``; every field may be missing.
        classes: Names of the C classes; None, or a name too few, gives the id.
        font_size: Size of the text in pixels.
        draw_gt: Draw the true labels, and judge the predicted ones by them.
        draw_pred: Draw the predicted labels and paths.
        draw_score: Draw probabilities or scores.
        num_next_paths: Most paths to draw beside the best one.
        max_labels: Most labels of the best path to draw in full.
        marks: The regions of the predicted labels, from :func:`find_marks`.
    """
    truth = true_labels(data_sample) if draw_gt else None
    pred = predicted_labels(data_sample) if draw_pred else None
    names = [_name(label, classes) for label in (pred or [])[:max_labels]]
    if any(mark.is_whole for mark in marks):
        names = [f'{name} {WHOLE}' for name in names]
    panel = LabelPanel(font_size, names)
    drawer = _Drawer(panel, data_sample, truth, classes, draw_score, max_labels, marks)
    if truth is not None:
        drawer.draw_truth(pred)
    paths = data_sample.get('pred_paths', None)
    if pred is not None and paths and list(paths[0]) == pred:
        drawer.draw_path(pred)
        drawer.draw_next_paths(num_next_paths)
    elif pred is not None:
        drawer.draw_scored_labels(pred)
    if truth is None and pred is None:
        panel.note('nothing to draw in this sample')
    return panel


def find_marks(data_sample: DataSample, draw_gt: bool = True) -> list[RegionMark]:
    """The regions of the predicted labels, numbered from 1 in the order of ``pred_label``.

    Args:
        data_sample: With ``pred_label`` (n,) and ``pred_label_regions`` (n, 4), shares of width and
            height; without them there is no region.
        draw_gt: Judge the labels by the true ones.

    Raises:
        UsageError: If there is not one region for each label.
    """
    if 'pred_label' not in data_sample or 'pred_label_regions' not in data_sample:
        return []
    labels = _to_list(data_sample.pred_label)
    boxes = torch.as_tensor(data_sample.pred_label_regions).detach().float().cpu()
    if tuple(boxes.shape) != (len(labels), 4):
        raise UsageError(
            f'pred_label_regions have shape {tuple(boxes.shape)} for {len(labels)} predicted '
            f'labels: give ({len(labels)}, 4), or set draw_regions=False'
        )
    truth = true_labels(data_sample) if draw_gt else None
    pairs = enumerate(zip(labels, boxes.tolist(), strict=True), start=1)
    return [RegionMark(number, tuple(box), _judge(label, truth)) for number, (label, box) in pairs]


def true_labels(data_sample: DataSample) -> list[int] | None:
    """Ids of the true classes, each once; None if the sample does not say."""
    if 'gt_label' in data_sample:
        return list(dict.fromkeys(_to_list(data_sample.gt_label)))
    if 'gt_score' in data_sample:
        return torch.as_tensor(data_sample.gt_score).ge(0.5).nonzero().flatten().tolist()
    return None


def predicted_labels(data_sample: DataSample) -> list[int] | None:
    """Ids of the predicted classes in path order; None if the sample holds no prediction."""
    if 'pred_label' in data_sample:
        return _to_list(data_sample.pred_label)
    if data_sample.get('pred_paths', None):
        return list(data_sample.pred_paths[0])
    return None


class _Drawer:
    """Draws the blocks of one sample on one panel."""

    def __init__(
        self,
        panel: LabelPanel,
        data_sample: DataSample,
        truth: list[int] | None,
        classes: Sequence[str] | None,
        draw_score: bool,
        max_labels: int,
        marks: Sequence[RegionMark],
    ) -> None:
        self.panel = panel
        self.sample = data_sample
        self.truth = truth
        self.classes = classes
        self.draw_score = draw_score
        self.max_labels = max_labels
        self.marks = marks

    def draw_truth(self, pred: list[int] | None) -> None:
        names = [_name(label, self.classes) for label in self.truth]
        looks = [PLAIN if pred is None else (RIGHT if i in pred else MISSED) for i in self.truth]
        missed = looks.count(MISSED)
        self.panel.heading('TRUE LABELS', f'{missed} missed' if missed else '')
        labels = list(zip(names, looks, strict=True))
        empty = PLAIN if pred is None else (MISSED if pred else RIGHT)
        self.panel.flow(labels or [('no label', empty)], lines=6)

    def draw_path(self, path: list[int]) -> None:
        steps = _probabilities(self.sample, 'pred_step_log_probs')
        paths = _probabilities(self.sample, 'pred_path_log_probs')
        note = f'probability {_format(paths[0])}' if self.draw_score and paths else ''
        self.panel.heading('PREDICTED PATH', note)
        if not path:
            self.panel.row('', self._empty())
        for i, label in enumerate(path[: self.max_labels]):
            share = steps[i] if i < len(steps) else None
            self._row(str(i + 1), self._label(label), share, i)
        if len(path) > self.max_labels:
            self.panel.note(f'and {len(path) - self.max_labels} more')
        if len(steps) > len(path):
            self._row('', ('END', PLAIN), steps[len(path)])

    def draw_next_paths(self, most: int) -> None:
        paths = self.sample.pred_paths[1 : 1 + most]
        if not paths:
            return
        shares = _probabilities(self.sample, 'pred_path_log_probs')[1:]
        shares = shares if self.draw_score else []
        self.panel.heading('NEXT BEST PATHS', 'probability' if shares else '')
        for i, path in enumerate(paths):
            labels = [self._label(label) for label in path] or [self._empty()]
            lead = _format(shares[i]) if i < len(shares) else str(i + 2)
            self.panel.flow(labels, lead=lead, joint='→')

    def draw_scored_labels(self, labels: list[int]) -> None:
        scores = _to_list(self.sample.get('pred_score', None))
        places = {label: place for place, label in reversed(list(enumerate(labels)))}
        scored = [(scores[i] if i < len(scores) else None, i) for i in dict.fromkeys(labels)]
        scored.sort(key=lambda pair: -math.inf if pair[0] is None else -pair[0])
        self.panel.heading('PREDICTED LABELS', 'score' if self.draw_score and scores else '')
        if not scored:
            self.panel.row('', self._empty())
        for score, label in scored[: self.max_labels]:
            lead = str(places[label] + 1) if self.marks else ''
            self._row(lead, self._label(label), score, places[label])
        if len(scored) > self.max_labels:
            self.panel.note(f'and {len(scored) - self.max_labels} more')

    def _row(self, lead: str, label: Label, share: float | None, place: int | None = None) -> None:
        """A row; ``place`` is that of the label in ``pred_label``."""
        look = {}
        if place is not None and place < len(self.marks):
            whole = self.marks[place].is_whole
            look = dict(tagged=not whole, aside=WHOLE if whole else '')
        if share is None or not self.draw_score:
            self.panel.row(lead, label, **look)
        else:
            self.panel.row(lead, label, share, _format(share), **look)

    def _label(self, label: int) -> Label:
        return _name(label, self.classes), _judge(label, self.truth)

    def _empty(self) -> Label:
        if self.truth is None:
            return 'no label', PLAIN
        return 'no label', WRONG if self.truth else RIGHT


def _judge(label: int, truth: list[int] | None) -> Verdict:
    if truth is None:
        return PLAIN
    return RIGHT if label in truth else WRONG


def _name(label: int, classes: Sequence[str] | None) -> str:
    known = classes is not None and 0 <= label < len(classes)
    return str(classes[label]) if known else str(label)


def _to_list(values: torch.Tensor | Sequence | None) -> list:
    return [] if values is None else torch.as_tensor(values).detach().flatten().tolist()


def _probabilities(data_sample: DataSample, field: str) -> list[float]:
    return torch.tensor(_to_list(data_sample.get(field, None))).exp().tolist()


def _format(share: float) -> str:
    """A probability in at most five characters."""
    if 0 < share < 0.0005:
        return f'{share:.0e}'
    return '1.00' if share >= 0.9995 else f'{share:.3f}'
