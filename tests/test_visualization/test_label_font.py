# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Names in any script, with the fonts that are there, and with none but matplotlib's."""

import warnings
from unicodedata import category

import numpy as np
import pytest
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, features

from cnnrnn_mm.visualization import fallback_fonts
from cnnrnn_mm.visualization.fallback_fonts import font_runs, own_font_file
from cnnrnn_mm.visualization.label_font import LabelFont, elide, load_font

CJK = '汽'
#: A font that matplotlib brings, and a character that it has and DejaVu Sans has not.
OTHER_FILE = own_font_file().replace('DejaVuSans.ttf', 'STIXGeneral.ttf')


@pytest.fixture(autouse=True)
def _fresh():
    """Nothing remembered from other tests, nothing left behind."""
    caches = font_runs, fallback_fonts._find, fallback_fonts._known_files, fallback_fonts._new_files
    said = set(fallback_fonts._said)
    fallback_fonts._said.clear()
    for cache in caches:
        cache.cache_clear()
    yield
    fallback_fonts._said.update(said)
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def fonts(monkeypatch):
    """Set the fonts that are installed beside DejaVu Sans."""

    def install(*files):
        monkeypatch.setattr(fallback_fonts, '_candidates', lambda: iter(files))

    return install


def special_character():
    codes = set(FT2Font(OTHER_FILE).get_charmap()) - set(FT2Font(own_font_file()).get_charmap())
    return chr(min(code for code in codes if category(chr(code)) in ('Lu', 'Ll', 'Sm', 'So')))


def render(text, size=20):
    font, image = LabelFont(size), Image.new('L', (400, 40))
    font.draw(ImageDraw.Draw(image), (10, 20), text, '#ffffff')
    return np.asarray(image)


def test_latin_text_is_as_pillow_draws_it():
    for text in ('dog', 'naïve café', 'кошка', 'Ελέφαντας', '', '✓ →'):
        image = Image.new('L', (400, 40))
        ImageDraw.Draw(image).text((10, 20), text, '#ffffff', load_font(20), anchor='lm')
        difference = np.abs(render(text).astype(int) - np.asarray(image))
        assert difference.max() < 130  # at most half a pixel up or down
        assert LabelFont(20).getlength(text) == load_font(20).getlength(text)
        assert font_runs(text) == (((text, own_font_file()),) if text else ())


def test_another_font_draws_what_is_missing_and_nothing_else(fonts):
    fonts(OTHER_FILE)
    char = special_character()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        runs = font_runs(f'ab {char}{char} c')
    own = own_font_file()
    assert runs == (('ab ', own), (char * 2, OTHER_FILE), (' c', own))
    assert LabelFont(20).getlength(f'a{char}') == pytest.approx(
        LabelFont(20).getlength('a') + LabelFont(20).getlength(char)
    )
    assert (render(char) != render('\uffff')).any() and render(char).any()


def test_code_points_stand_for_characters_without_a_font_and_that_is_said_once(fonts):
    fonts()
    with pytest.warns(UserWarning, match='no installed font has the character U\\+6C7D') as said:
        runs = [font_runs(text) for text in ('汽车', 'a汽 b', 'अ', '汽b')]
    assert sum('no installed font' in str(one.message) for one in said) == 1
    own = own_font_file()
    assert runs == [
        (('U+6C7D U+8F66', own),), (('a U+6C7D b', own),), (('U+0905', own),), (('U+6C7D b', own),),
    ]  # fmt: skip
    np.testing.assert_array_equal(render('汽车'), render('U+6C7D U+8F66'))


def test_files_that_are_no_fonts_are_passed_over(fonts, tmp_path):
    broken = tmp_path / 'broken.ttf'
    broken.write_bytes(b'no font')
    fonts(str(broken), str(tmp_path / 'gone.ttf'), OTHER_FILE)
    assert font_runs(special_character())[0][1] == OTHER_FILE


def test_plain_sans_serif_faces_come_first():
    files = fallback_fonts._known_files()
    assert not any(name in ' '.join(files) for name in ('cmr10', 'STIXNonUni', 'STIXSiz'))
    place = {file: number for number, file in enumerate(files)}
    folder = own_font_file().removesuffix('DejaVuSans.ttf')
    names = ('DejaVuSans', 'DejaVuSans-Bold', 'DejaVuSansMono', 'DejaVuSerif')
    places = [place[f'{folder}{name}.ttf'] for name in names]
    assert places == sorted(places)


def test_installed_fonts_are_found_by_what_they_have():
    file = fallback_fonts._find(CJK)
    if file is None:
        pytest.skip('no font with Chinese characters is installed')
    assert FT2Font(file).get_char_index(ord(CJK))
    assert render(CJK).any() and (render(CJK) != render('车')).any()
    assert LabelFont(20).getlength('汽车') == pytest.approx(2 * LabelFont(20).getlength('汽'))


@pytest.mark.skipif(not features.check('raqm'), reason='Pillow has no Raqm')
def test_arabic_letters_are_joined_and_run_from_right_to_left():
    joined, apart = 'سيارة', 'س\u200cي\u200cا\u200cر\u200cة'  # non-joiners between the letters
    assert LabelFont(20).getlength(joined) < LabelFont(20).getlength(apart)
    assert len(font_runs(joined)) == 1
    seen, first = render('سا' + ' ' * 8 + 'س'), render('سا')
    assert seen.any() and first.any()
    width = LabelFont(20).getlength('سا')
    total = LabelFont(20).getlength('سا' + ' ' * 8 + 'س')
    right = seen[:, round(10 + total - width) : round(10 + total) + 4]
    assert np.abs(right.sum() - first.sum().astype(float)) < 0.05 * first.sum()


def test_without_raqm_that_is_said_once(monkeypatch):
    monkeypatch.setattr(fallback_fonts.features, 'check', lambda name: False)
    with pytest.warns(UserWarning, match='neither joined nor reordered') as said:
        font_runs('سيارة')
        font_runs('שלום')
        font_runs('кошка')
    assert len(said) == 1
    fallback_fonts._said.clear()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        font_runs('кошка 1')


def test_accents_stay_with_their_letter(fonts):
    fonts(OTHER_FILE)
    char = special_character()
    assert font_runs(f'{char}\u0301') == ((f'{char}\u0301', OTHER_FILE),)


@pytest.mark.parametrize('text', ['汽车' * 30, 'سيارة ' * 30, 'ab汽' * 30])
def test_any_text_is_cut_to_its_room(fonts, text):
    fonts()
    font = LabelFont(16)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for width in (40, 150, 400):
            cut = elide(text, font, width)
            assert font.getlength(cut) <= width and cut.endswith('…')
