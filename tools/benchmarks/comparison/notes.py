# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What a reader has to know of the figures."""

import argparse

from .figures import seen_before
from .known import SETTINGS, draw_keys, reveal
from .outputs import Outputs
from .path_outputs import PROBABLE
from .plan import Comparison

__all__ = ['completion_notes', 'main_notes', 'paired_notes', 'tuning_notes']


def main_notes(
    args: argparse.Namespace, comparison: Comparison, sample: Outputs | None
) -> list[str]:
    """Below the table of all figures; ``sample`` is any model's outputs."""
    data = comparison.data
    source = 'images' if comparison.features is None else f'features in {comparison.features}'
    notes = [
        f'{data.evaluated["images"]} images of {data.split}, {len(data.classes)} labels, trained '
        f'on {data.train["images"]} ({source}), weights of the last epoch. Mean and sample '
        f'deviation of seeds {", ".join(map(str, args.seeds))}; percent, NLL in nats.',
        'mAP: over the classes with an image in the split; "absent 0" counts the others as 0, as '
        "the host's AveragePrecision does. C-F1 counts them as 0.",
        'O-F1 and C-F1 are of pred_label; with a star, of the labels whose pred_score is at least '
        'the threshold with the highest O-F1 on val, with two, that with the highest C-F1 on val'
        + (', the same images: a little optimistic.' if data.split == 'val' else '.'),
        'example-F1 and EM (exact match): of pred_label for models of paths, and with that '
        'threshold for independent ones; "expected": of the set of the highest expected '
        f'example-F1, from {args.samples} drawn paths or from the probabilities.',
        'NLL: -log P(true label set given image), averaged over images. For independent models the '
        'sum over labels; for paths in one fixed order that of the one path; for other paths that '
        f'of the sum over the orders, of which the {args.max_prefixes} most probable beginnings '
        'are followed: exact where there are no more, else an upper bound.',
        's/epoch: the training on the wall, whatever else ran; for several models their sum.',
        f'Log, record and figures of each run: {comparison.name}/ROW/seedN.',
    ]
    if any(row.derived is not None and row.derived['type'] == 'mixture' for row in comparison.rows):
        notes.append(
            'Mixtures of models of paths: pred_score and P(set) are means over the models; '
            'pred_label is the set with the highest mean among the '
            f'{PROBABLE} most probable paths of each, absent ones counted as 0; expected F1 is '
            'from the drawn paths of all; with known labels, each model weighs as much as it '
            'thought these labels probable.'
        )
    if sample is not None:
        seen = seen_before(sample.target, comparison.training_sets)
        notes.append(
            f'Of {len(seen)} images {int(seen.sum())} have a label set that an image of train '
            f'has, and {int((~seen).sum())} have another.'
        )
    notes += [f'{name}: not run: needs {why}.' for name, why in comparison.missing.items()]
    notes += [f'{name} failed: {error}' for name, error in comparison.failed().items()]
    return notes


def completion_notes(args: argparse.Namespace, sample: Outputs | None) -> list[str]:
    """Below the table of completion."""
    notes = [
        'Some labels of each image are known, the same for all rows, and the rest is to be found. '
        'mAP leaves an image out for the labels that it gave away; R@3 is the mean over images of '
        'the share of the rest among the three best labels that are not known.',
        'Independent models rank as without them. Models of paths: P(label in set, given the known '
        f'ones) from {args.samples} drawn paths, mixed with the marginal branch as pred_score is. '
        '0 is pred_score itself.',
    ]
    if sample is not None:
        keys = draw_keys(*sample.target.shape, args.known_seed)
        counts = [int(reveal(sample.target, keys, one)[1].sum()) for one in SETTINGS]
        shown = ', '.join(f'{one}: {count}' for one, count in zip(SETTINGS, counts, strict=True))
        notes.append(f'Images with more labels than known ones: {shown}.')
    return notes


def paired_notes(args: argparse.Namespace) -> list[str]:
    """Below the table of differences."""
    return [
        f'Difference of the means over seeds, and its 95 % interval from {args.resamples} '
        'resamples of the images, the same for both rows; seeds are not resampled.'
    ]


def tuning_notes(args: argparse.Namespace) -> list[str]:
    """Below the tables of learning rates."""
    seeds = ', '.join(map(str, args.seeds))
    return [f"On val, seeds {seeds}. In brackets: the row's own factor."]
