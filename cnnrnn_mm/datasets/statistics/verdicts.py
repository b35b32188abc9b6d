# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the statistics of label sets say, in sentences that state the number."""

from .label_statistics import LabelStatistics

__all__ = ['label_verdicts']


def label_verdicts(statistics: LabelStatistics) -> list[str]:
    """Sentences for a person who wonders whether to model label sets or single labels."""
    return [
        _on_sizes(statistics),
        _on_sets(statistics),
        *_on_dependence(statistics),
        *_on_classes(statistics),
    ]


def _on_sizes(statistics: LabelStatistics) -> str:
    sizes = statistics.num_labels / statistics.num_images
    return (
        f'An image has {sizes:.2f} labels on average; {_percent(statistics.several_share)} of the '
        f'images have two or more, {_percent(statistics.empty_share)} have none.'
    )


def _on_sets(statistics: LabelStatistics) -> str:
    labels, count = statistics.sets[0]
    name = f'{{{", ".join(statistics.names(labels))}}}' if labels else 'the empty set'
    return (
        f'There are {len(statistics.sets):,} different label sets; the most common, {name}, has '
        f'{_percent(count / statistics.num_images)} of the images, and '
        f'{_percent(statistics.unique_share)} of the images have a set that no other image has.'
    )


def _on_dependence(statistics: LabelStatistics) -> list[str]:
    gain = statistics.gain
    if gain is None:
        return [
            f'{statistics.num_images} images are too few to measure on held-out ones how much the '
            'labels depend on each other.'
        ]
    found = (
        f'each label given one other label takes {gain.tree_bits:.3f} bits an image, and each by '
        f'itself {gain.independent_bits:.3f}: {gain.gain_bits:.3f} are saved (standard error '
        f'{gain.standard_error:.3f}), {gain.gain_percent:.1f} %'
    )
    if gain.gain_bits <= 2 * gain.standard_error:
        return [
            f'On held-out images, without the photos, {found}. That is not two standard errors '
            'above 0: no dependence between pairs of labels was found that a decoder of label sets '
            'could use.'
        ]
    return [
        f'On held-out images, without the photos, {found}. That much, at least, labels tell about '
        'each other.',
        'How much of it the photo tells too, no label count can say: train the same backbone with '
        'CNNRNNHead and with MultiLabelLinearClsHead, and compare.',
    ]


def _on_classes(statistics: LabelStatistics) -> list[str]:
    rare = int((statistics.counts < 10).sum())
    if rare == 0:
        return []
    absent = int((statistics.counts == 0).sum())
    none = f' ({absent} have none)' if absent else ''
    return [
        f'{rare} of {len(statistics.classes)} classes have fewer than 10 images{none}: what is '
        'said of them here is unsure.'
    ]


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %'
