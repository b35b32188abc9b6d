# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Numbers and names as the page writes them."""

import html
import math

__all__ = ['escape', 'interval', 'percent', 'times']


def escape(text: object) -> str:
    """Text for a page: whatever a class or a file is called, it stays text."""
    return html.escape(' '.join(str(text).split()))


def percent(share: float) -> str:
    """A probability, rounded but never to 0 or 100 where it is neither."""
    if share in (0, 1):
        return f'{100 * share:.0f} %'
    if share < 0.0005:
        return 'below 0.1 %'
    if share >= 0.9995:
        return 'above 99.9 %'
    digits = 1 if share < 0.0995 or share > 0.995 else 0
    return f'{100 * share:.{digits}f} %'


def interval(lower: float, upper: float) -> str:
    """Two bounds; one number where they say the same."""
    low, high = percent(lower), percent(upper)
    return low if low == high else f'{low.removesuffix(" %")} to {high}'


def times(gap: float) -> str:
    """How many times as probable, from a difference of natural logarithms."""
    if not math.isfinite(gap) or gap > math.log(1000):
        return 'more than 1,000 times'
    factor = math.exp(max(gap, 0.0))
    return f'{factor:.2f} times' if factor < 10 else f'{factor:.0f} times'
