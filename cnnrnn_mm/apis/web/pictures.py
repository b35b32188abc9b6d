# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The page's drawn parts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...visualization.path_tree_panel import draw_path_tree
from .uploaded_photo import picture_address
from .wording import escape, percent

__all__ = ['Look', 'Near', 'attention_html', 'near_html', 'tree_html']

#: Widths of the tree in pixels of the page, for wide windows and for phones; drawn twice as large,
#: for sharp screens.
WIDE, NARROW = 660, 330
FONT = 15


class Look(NamedTuple):
    """Where the model looked before one label.

    Attributes:
        label: Its name.
        prob: Its probability, given the photo and the labels before it.
        picture: (h, w, 3) uint8, RGB: the heat map on the photo.
    """

    label: str
    prob: float
    picture: np.ndarray


class Near(NamedTuple):
    """A label near the photo.

    Attributes:
        label: Its name.
        score: How near, as the model compares photos with labels.
        around: Labels near this one, the nearest first.
    """

    label: str
    score: float
    around: list[str]


def tree_html(entry: Mapping[str, Any]) -> str:
    """The best answers as a tree of their shared beginnings; nothing for models without paths."""
    if entry.get('path_prob') is None:
        return ''
    others = entry['alternatives']
    paths = [entry['path'], *(one['labels'] for one in others)]
    probs = [entry['path_prob'], *(one['prob'] for one in others)]
    wide, narrow = (
        picture_address(draw_path_tree(paths, probs, 2 * width, font_size=2 * FONT))
        for width in (WIDE, NARROW)
    )
    told = '; '.join(
        f'{", ".join(path) or "nothing"}: {percent(prob)}'
        for path, prob in zip(paths, probs, strict=True)
    )
    return (
        '<p class="note">The most probable answers, from left to right. Answers that begin alike '
        'share a branch; the number is the probability of all that go on from there.</p><picture>'
        f'<source media="(max-width: 640px)" srcset="{narrow} 2x"><img src="{wide}" '
        f'width="{WIDE}" alt="{escape(told)}"></picture>'
    )


def attention_html(looks: Sequence[Look]) -> str:
    """The photo once for each label, with what spoke for it."""
    if not looks:
        return '<p class="note">There is no label to ask about.</p>'
    figures = [
        f'<figure><img src="{picture_address(look.picture, "JPEG")}" alt="heat map for '
        f'{escape(look.label)}"><figcaption><b>{place}</b> {escape(look.label)} · '
        f'{percent(look.prob)}</figcaption></figure>'
        for place, look in enumerate(looks, start=1)
    ]
    return (
        '<p class="note">What speaks for each label at the moment when the model names it, the '
        'labels before it being known: the warmer, the more. Each picture has its own scale.</p>'
        f'<div class="maps">{"".join(figures)}</div>'
    )


def near_html(near: Sequence[Near]) -> str:
    """The labels that lie nearest to the photo in the space that both share."""
    if not near:
        return '<p class="note">This model has no space that photos and labels share.</p>'
    low, high = min(one.score for one in near), max(one.score for one in near)
    rows = [
        f'<tr><th scope="row">{escape(one.label)}</th><td class="number">{one.score:.1f}</td>'
        f'<td class="bar"><div><i class="fill" style="width:'
        f'{100 * (0.08 + 0.92 * (one.score - low) / max(high - low, 1e-9)):.1f}%"></i></div></td>'
        f'<td class="around">{escape(", ".join(one.around))}</td></tr>'
        for one in near
    ]
    return (
        '<p class="note">The model places photos and labels in one space, in which related things '
        'lie close together. These labels lie nearest to the photo; the score says how near, and '
        'grows with how well they fit. It looks at one label at a time: what the others say only '
        'counts in the answer.</p><table><thead><tr><th scope="col">label</th><th scope="col">'
        'score</th><th></th><th scope="col">labels that lie near this one</th></tr></thead><tbody>'
        f'{"".join(rows)}</tbody></table>'
    )
