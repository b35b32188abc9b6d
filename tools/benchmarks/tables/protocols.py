# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""How a trained model is asked for labels, and which lines of a table that gives.

A head of label paths decodes an image once for each :class:`Decoding`; a head of scores has one
way, and several metrics read it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ['COLUMNS', 'SCORES', 'SET_COLUMNS', 'Decoding', 'Line', 'decodings', 'lines']

#: Of the paper's tables, but for mAP, which is added.
SET_COLUMNS = ('C-P', 'C-R', 'C-F1', 'O-P', 'O-R', 'O-F1')
COLUMNS = (*SET_COLUMNS, 'MAP@10', 'mAP')
#: As the config has it; for scores, paths of any length.
PLAIN, SCORES = 'config', 'scores'
FREE = dict(min_length=0, max_length=None)


@dataclass(frozen=True)
class Decoding:
    """One way to predict, and what is measured on it.

    Attributes:
        name: Of its results.
        metrics: Configs of metrics.
        constraints: What changes in the constraints of the config's postprocessor; None for a head
            that has none, and for what the config says.
    """

    name: str
    metrics: list[dict]
    constraints: dict | None = field(default=None)


class Line(NamedTuple):
    """Where the figures of a table's line are found.

    Attributes:
        protocol: How the labels of an image come about, in words.
        decoding: Name of the decoding.
        metrics: Key of the metric of each column that the line has.
        exact: Whether each image gets exactly k labels.
    """

    protocol: str
    decoding: str
    metrics: dict[str, str]
    exact: bool


def decodings(
    paths: bool, ks: Sequence[int], own_metrics: Sequence[dict], difficult: bool = False
) -> list[Decoding]:
    """All that is to be evaluated on a trained model.

    Args:
        paths: Whether its head decodes label paths.
        ks: Numbers of labels.
        own_metrics: Those of the config, for predictions as the config makes them.
        difficult: Whether samples name labels that count neither way.
    """

    def metric(name: str, **options: object) -> dict:
        return dict(type=f'cnnrnn_mm.{name}', ignore_difficult=difficult, **options)

    scores = [metric('LabelSetMetric', topk=k) for k in ks]
    scores += [metric('RankingMetric', k=10, classwise=True)]
    found = [
        Decoding(PLAIN, list(own_metrics)),
        Decoding(SCORES, scores, FREE if paths else None),
    ]
    for k in ks if paths else ():
        for name, least in (('at-most', 0), ('exactly', k)):
            metrics = [
                metric('LabelSetMetric'),
                metric('RankingMetric', k=10, items=['MAP@k_path']),
            ]
            found.append(Decoding(f'{name}-{k}', metrics, dict(min_length=least, max_length=k)))
    return found


def lines(paths: bool, k: int) -> list[Line]:
    """The lines of a row in the table of k labels."""
    ranks = {'MAP@10': 'ranking/MAP@10', 'mAP': 'ranking/mAP'}
    top = Line(f'{k} best scores', SCORES, {**_set_metrics(f'_top{k}'), **ranks}, True)
    if not paths:
        return [top]
    of_path = {**_set_metrics(''), 'MAP@10': 'ranking/MAP@10_path'}
    return [
        Line(f'path, at most {k}', f'at-most-{k}', of_path, False),
        Line(f'path, exactly {k}', f'exactly-{k}', of_path, True),
        top,
    ]


def _set_metrics(suffix: str) -> dict[str, str]:
    return {name: f'label-set/{name}{suffix}' for name in SET_COLUMNS}
