# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Colours and signs of labels, and how probabilities are written."""

from typing import NamedTuple

__all__ = [
    'INK',
    'MISSED',
    'MUTED',
    'PAPER',
    'PLAIN',
    'RIGHT',
    'TRACK',
    'WRONG',
    'Label',
    'Verdict',
    'format_share',
]

PAPER = '#ffffff'
INK = '#1f2933'
MUTED = '#67727e'
TRACK = '#e9edf0'


class Verdict(NamedTuple):
    """How a label looks: a mark besides the colour, so that colour alone tells nothing."""

    mark: str
    colour: str
    tint: str


PLAIN = Verdict('', INK, '#eceff3')
RIGHT = Verdict('✓', '#00705a', '#dcf1eb')
WRONG = Verdict('✗', '#b5370a', '#fbe4da')
MISSED = Verdict('○', '#7a5900', '#fbefcf')

#: Name and look.
Label = tuple[str, Verdict]


def format_share(share: float) -> str:
    """A probability in at most five characters."""
    if 0 < share < 0.0005:
        return f'{share:.0e}'
    return '1.00' if share >= 0.9995 else f'{share:.3f}'
