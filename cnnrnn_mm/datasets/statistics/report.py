# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Statistics of label sets in plain types, for JSON and for tables."""

import numpy as np

from .label_statistics import LabelStatistics
from .pairs import LabelPairs, top_pairs
from .verdicts import label_verdicts

__all__ = ['PAIR_KINDS', 'label_report']

PAIR_KINDS = ('common', 'attracting', 'avoiding')


def label_report(statistics: LabelStatistics, most: int = 100) -> dict:
    """Everything as dicts, lists, strings and numbers.

    Args:
        statistics: What was counted.
        most: Most entries in the lists of label sets and of pairs; the lists of classes, of set
            sizes, of images with two labels and of the forest's edges are whole.
    """
    share = 1 / statistics.num_images
    return {
        'num_images': statistics.num_images,
        'num_classes': len(statistics.classes),
        'num_labels': statistics.num_labels,
        'classes': [
            {
                'id': label,
                'class': statistics.classes[label],
                'images': int(statistics.counts[label]),
                'share': float(statistics.counts[label] * share),
            }
            for label in statistics.sequence.tolist()
        ],
        'set_sizes': [
            {'labels': size, 'images': int(images), 'if_independent': float(expected)}
            for size, (images, expected) in enumerate(
                zip(statistics.set_sizes, statistics.expected_set_sizes, strict=True)
            )
        ],
        'distinct_sets': len(statistics.sets),
        'share_with_unique_set': statistics.unique_share,
        'common_sets': [
            {'ids': list(ids), 'classes': statistics.names(ids), 'images': images}
            for ids, images in statistics.sets[:most]
        ],
        'pairs': {
            kind: _pairs(statistics, top_pairs(statistics.pairs, kind, most)) for kind in PAIR_KINDS
        },
        'mutual_information': {
            'unit': 'bits',
            'correction': 'Miller-Madow',
            'pairs': _information(statistics, most),
        },
        'held_out_gain': None if statistics.gain is None else statistics.gain._asdict(),
        'forest': [
            {
                'parent': statistics.classes[parent],
                'child': statistics.classes[child],
                'bits': float(statistics.information[parent, child]),
            }
            for parent, child in statistics.forest.tolist()
        ],
        'images_with_both': _triplets(statistics.together),
        'verdicts': label_verdicts(statistics),
    }


def _pairs(statistics: LabelStatistics, pairs: LabelPairs) -> list[dict]:
    """Lift 0 has no finite logarithm; its PMI is None."""
    rows = []
    for values in zip(*(field.tolist() for field in pairs), strict=True):
        row = dict(zip(LabelPairs._fields, values, strict=True))
        pmi = float(np.log2(row['lift'])) if row['lift'] > 0 else None
        row.update(
            first=statistics.classes[row['first']],
            second=statistics.classes[row['second']],
            first_id=row['first'],
            second_id=row['second'],
            pmi=pmi,
        )
        rows.append(row)
    return rows


def _information(statistics: LabelStatistics, most: int) -> list[dict]:
    """The pairs with the most mutual information, and its share of the rarer label's entropy."""
    pairs, bits = statistics.pairs, statistics.information
    values = bits[pairs.first, pairs.second]
    order = np.argsort(-values, kind='stable')[:most]
    rows = []
    for first, second in zip(
        pairs.first[order].tolist(), pairs.second[order].tolist(), strict=True
    ):
        entropy = min(bits[first, first], bits[second, second])
        rows.append(
            {
                'first': statistics.classes[first],
                'second': statistics.classes[second],
                'first_id': first,
                'second_id': second,
                'bits': float(bits[first, second]),
                'share_of_smaller_entropy': float(bits[first, second] / entropy)
                if entropy
                else 0.0,
            }
        )
    return rows


def _triplets(together: np.ndarray) -> list[list[int]]:
    """Lower id, higher id and images of each pair that comes together."""
    first, second = np.triu(together, k=1).nonzero()
    return np.stack([first, second, together[first, second]], axis=1).tolist()
