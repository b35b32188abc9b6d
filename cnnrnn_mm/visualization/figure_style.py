# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Fonts, colours and names that all figures share. Figures are made without pyplot's state."""

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Literal, ParamSpec, TypeVar

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font

__all__ = ['COLOURS', 'drawable_names', 'figure_names', 'styled', 'tidy', 'with_title']

#: Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#56B4E9', '#D55E00', '#999999')
#: Fonts for what DejaVu Sans lacks, used where they are installed.
FALLBACK_FONTS = (
    'Noto Sans CJK SC',
    'Noto Sans CJK JP',
    'Source Han Sans SC',
    'WenQuanYi Micro Hei',
    'WenQuanYi Zen Hei',
    'Noto Sans Devanagari',
    'Noto Sans Thai',
    'Arial Unicode MS',
)
LONGEST_NAME = 22

P = ParamSpec('P')
T = TypeVar('T')


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Let a function that makes figures do so in this project's style."""

    @wraps(draw)
    def draw_in_style(*args: P.args, **kwargs: P.kwargs) -> T:
        style = {
            'font.family': list(_fonts()),
            'font.size': 9,
            'axes.titlesize': 10,
            'axes.titlelocation': 'left',
            'axes.spines.top': False,
            'axes.spines.right': False,
            'axes.axisbelow': True,
            'grid.color': '#dddddd',
            'grid.linewidth': 0.6,
            'legend.frameon': False,
        }
        with rc_context(style):
            return draw(*args, **kwargs)

    return draw_in_style


def figure_names(names: Sequence[str], longest: int = LONGEST_NAME) -> list[str]:
    """Names as a figure can show them.

    As :func:`drawable_names`, but long names are cut with an ellipsis, and dollar signs stay what
    they are instead of starting a formula.
    """
    shown = []
    for text in drawable_names(names, _fonts()):
        if len(text) > longest:
            text = text[: longest - 1].rstrip() + '…'
        shown.append(text.replace('$', r'\$'))
    return shown


def drawable_names(names: Sequence[str], fonts: tuple[str, ...] = ('DejaVu Sans',)) -> list[str]:
    """Names in one line each; one with characters that no font has becomes its number, as '#12'."""
    known, shown = _characters(fonts), []
    for number, name in enumerate(names):
        text = ' '.join(str(name).split())
        shown.append(text if text and known.issuperset(map(ord, text)) else f'#{number}')
    return shown


def tidy(axes: Axes, axis: Literal['x', 'y'] = 'x') -> None:
    """Grid lines across one axis, and no tick marks on the other."""
    axes.grid(axis=axis)
    axes.tick_params(axis='y' if axis == 'x' else 'x', length=0)


def with_title(figure: Figure, title: str) -> Figure:
    """The figure, with a title flush left."""
    figure.suptitle(title, x=0.01, ha='left', fontsize=11)
    return figure


@lru_cache(maxsize=1)
def _fonts() -> tuple[str, ...]:
    """The fonts to use, the first that has a character first."""
    installed = {font.name for font in fontManager.ttflist}
    return ('DejaVu Sans', *(name for name in FALLBACK_FONTS if name in installed))


@lru_cache(maxsize=2)
def _characters(fonts: tuple[str, ...]) -> frozenset[int]:
    """The characters that some font has."""
    files = [findfont(FontProperties(family=name)) for name in fonts]
    return frozenset(code for file in files for code in FT2Font(file).get_charmap())
