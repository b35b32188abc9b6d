# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a panel says about one DataSample. Axis letter: C classes."""

import math
from collections.abc import Sequence
from typing import Any

from mmpretrain.structures import DataSample
from PIL import Image

from .label_panel import LabelPanel
from .label_style import MISSED, PLAIN, RIGHT, WRONG, Label, format_share
from .path_tree_panel import render_path_tree
from .region_boxes import RegionMark
from .sample_fields import (
    class_name,
    judge,
    predicted_labels,
    probabilities,
    to_list,
    true_labels,
)

__all__ = ['build_sample_panel', 'draw_sample_tree']

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
        marks: The regions of the predicted labels, from ``find_marks``.
    """
    truth = true_labels(data_sample) if draw_gt else None
    pred = predicted_labels(data_sample) if draw_pred else None
    names = [class_name(label, classes) for label in (pred or [])[:max_labels]]
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


def draw_sample_tree(
    data_sample: DataSample,
    classes: Sequence[str] | None,
    font_size: int,
    width: int,
    draw_gt: bool = True,
    draw_score: bool = True,
    most_paths: int = 8,
    max_labels: int = 20,
) -> Image.Image | None:
    """The kept paths of a sample as a tree; None if there are fewer than two.

    Args:
        data_sample: With ``pred_paths`` and, for numbers, ``pred_path_log_probs``.
        classes: Names of the C classes; None, or a name too few, gives the id.
        font_size: Size of the text in pixels.
        width: Of the tree in pixels.
        draw_gt: Judge the labels by the true ones.
        draw_score: Draw probabilities.
        most_paths: Most paths to draw, the first ones.
        max_labels: Most labels to draw between two branches.
    """
    paths = (data_sample.get('pred_paths', None) or [])[:most_paths]
    if len(paths) < 2:
        return None
    truth = true_labels(data_sample) if draw_gt else None
    shares = probabilities(data_sample, 'pred_path_log_probs')[: len(paths)]

    def label_of(label: Any) -> Label:
        return class_name(label, classes), judge(label, truth)

    known = shares if draw_score and len(shares) == len(paths) else None
    if known is not None and not all(math.isfinite(share) for share in known):
        known = None  # of a model that diverged: a run goes on
    return render_path_tree(paths, known, label_of, font_size, width, max_labels)


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
        truth = self.truth or []
        names = [class_name(label, self.classes) for label in truth]
        looks = [PLAIN if pred is None else (RIGHT if i in pred else MISSED) for i in truth]
        missed = looks.count(MISSED)
        self.panel.heading('TRUE LABELS', f'{missed} missed' if missed else '')
        labels = list(zip(names, looks, strict=True))
        empty = PLAIN if pred is None else (MISSED if pred else RIGHT)
        self.panel.flow(labels or [('no label', empty)], lines=6)

    def draw_path(self, path: list[int]) -> None:
        steps = probabilities(self.sample, 'pred_step_log_probs')
        paths = probabilities(self.sample, 'pred_path_log_probs')
        note = f'probability {format_share(paths[0])}' if self.draw_score and paths else ''
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
        shares = probabilities(self.sample, 'pred_path_log_probs')[1:]
        shares = shares if self.draw_score else []
        self.panel.heading('NEXT BEST PATHS', 'probability' if shares else '')
        for i, path in enumerate(paths):
            labels = [self._label(label) for label in path] or [self._empty()]
            lead = format_share(shares[i]) if i < len(shares) else str(i + 2)
            self.panel.flow(labels, lead=lead, joint='→')

    def draw_scored_labels(self, labels: list[int]) -> None:
        scores = to_list(self.sample.get('pred_score', None))
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
        look: dict[str, Any] = {}
        if place is not None and place < len(self.marks):
            whole = self.marks[place].is_whole
            look = dict(tagged=not whole, aside=WHOLE if whole else '')
        if share is None or not self.draw_score:
            self.panel.row(lead, label, **look)
        else:
            self.panel.row(lead, label, share, format_share(share), **look)

    def _label(self, label: int) -> Label:
        return class_name(label, self.classes), judge(label, self.truth)

    def _empty(self) -> Label:
        if self.truth is None:
            return 'no label', PLAIN
        return 'no label', WRONG if self.truth else RIGHT
