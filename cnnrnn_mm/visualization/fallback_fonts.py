# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Which installed font has a character that DejaVu Sans, matplotlib's own, lacks."""

import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
from matplotlib.font_manager import (
    FontEntry,
    findSystemFonts,
    fontManager,
    ttfFontProperty,
    weight_dict,
)
from matplotlib.ft2font import FT2Font
from PIL import ImageFont, features

__all__ = ['font_runs', 'own_font_file']

#: Fonts whose characters are not what their code points say, or boxes for all code points.
MISLEADING = ('cm', 'STIXNonUni', 'STIXSiz', 'Last Resort', 'LastResort', 'Adobe Blank')
#: Scripts whose letters must be joined, reordered or written from right to left.
SHAPED = (
    'ARABIC', 'HEBREW', 'SYRIAC', 'THAANA', 'NKO', 'DEVANAGARI', 'BENGALI', 'GURMUKHI', 'GUJARATI',
    'ORIYA', 'TAMIL', 'TELUGU', 'KANNADA', 'MALAYALAM', 'SINHALA', 'THAI', 'LAO', 'TIBETAN',
    'MYANMAR', 'KHMER',
)  # fmt: skip


def own_font_file(bold: bool = False) -> str:
    """The file of DejaVu Sans that matplotlib brings."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name)


@lru_cache(maxsize=4096)
def font_runs(text: str, bold: bool = False) -> tuple[tuple[str, str], ...]:
    """Cut a text into runs that one font can draw: (run, font file).

    Characters that no installed font has become their code points, as 'U+6C7D'; the first time
    there is a warning.
    """
    own = own_font_file(bold)
    runs: list[tuple[str, str]] = []
    after_code = False
    for char in text:
        last = runs[-1][1] if runs else own
        stays = _follows(char) and not after_code and _has(last, char)
        file = last if stays else _choose(char, own, last)
        if file is None:
            _warn_of_missing(char)
            space = ' ' if runs and not runs[-1][0].endswith(' ') else ''
            char, file, after_code = f'{space}U+{ord(char):04X}', own, True
        elif after_code:
            char = char if char == ' ' else f' {char}'
            after_code = False
        if runs and file == last:
            runs[-1] = (runs[-1][0] + char, file)
        else:
            runs.append((char, file))
    if not features.check('raqm') and any(_is_shaped(char) for char in text):
        _warn_of_shapes()
    return tuple(runs)


def _choose(char: str, own: str, last: str) -> str | None:
    for file in (own, last):
        if _has(file, char):
            return file
    return _find(char)


@cache
def _find(char: str) -> str | None:
    """The first installed font with this character."""
    return next((file for file in _candidates() if _has(file, char)), None)


def _candidates() -> Iterator[str]:
    """Font files, plain sans-serif faces first; those that matplotlib has not seen come last."""
    yield from _known_files()
    yield from _new_files()


@lru_cache(maxsize=1)
def _known_files() -> tuple[str, ...]:
    return _sorted_files(fontManager.ttflist)


@lru_cache(maxsize=1)
def _new_files() -> tuple[str, ...]:
    """What was installed after matplotlib made its list."""
    new = sorted(set(findSystemFonts()) - {entry.fname for entry in fontManager.ttflist})
    fonts = [font for font in map(_open, new) if font is not None]
    return _sorted_files([ttfFontProperty(font) for font in fonts])


def _sorted_files(entries: Iterable[FontEntry]) -> tuple[str, ...]:
    def key(entry: FontEntry) -> tuple:
        weight = weight_dict.get(str(entry.weight), entry.weight)
        rank = ('Sans' not in entry.name, 'Mono' in entry.name, entry.style != 'normal')
        return *rank, abs(float(weight) - 400), entry.name, entry.fname

    entries = [entry for entry in entries if not entry.name.startswith(MISLEADING)]
    return tuple(dict.fromkeys(entry.fname for entry in sorted(entries, key=key)))


@cache
def _open(file: str) -> FT2Font | None:
    """The font, if it can be read and drawn at any size; fonts of bitmaps can not."""
    try:
        ImageFont.truetype(file, 17)
        font = FT2Font(file)
    except (OSError, RuntimeError, ValueError):
        return None
    return None if font.family_name.startswith(MISLEADING) else font


def _has(file: str, char: str) -> bool:
    font = _open(file)
    return font is not None and font.get_char_index(ord(char)) != 0


def _follows(char: str) -> bool:
    """Whether a character has no place of its own: accents, joiners, direction marks."""
    return unicodedata.category(char) in ('Mn', 'Me', 'Cf')


def _is_shaped(char: str) -> bool:
    return ord(char) > 0x58F and unicodedata.name(char, '').startswith(SHAPED)


#: What has been said in this process.
_said: set[str] = set()


def _warn_of_missing(char: str) -> None:
    if 'missing' not in _said:
        _said.add('missing')
        warnings.warn(
            f'no installed font has the character U+{ord(char):04X}: such characters are drawn as '
            'their code points; install a font that has them, such as those of Noto',
            stacklevel=2,
        )


def _warn_of_shapes() -> None:
    if 'shapes' not in _said:
        _said.add('shapes')
        warnings.warn(
            'Pillow has no Raqm here, so letters of Arabic, Hebrew and Indic names are neither '
            'joined nor reordered: install FriBiDi (Debian: libfribidi0)',
            stacklevel=2,
        )
