# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Sheets of heat maps: what is warm, what is dark, and how large they get."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label

from cnnrnn_mm.visualization import attention_sheet
from cnnrnn_mm.visualization.attention_sheet import HeatPanel, draw_attention_sheet, lay_over


def grey(height, width, value=120):
    return np.full((height, width, 3), value, np.uint8)


def heat_at(row, column, size=(8, 8)):
    heat = np.zeros(size, np.float32)
    heat[row, column] = 1
    return heat


def warmth(pixels):
    """Red above blue, (h, w)."""
    return pixels[..., 0].astype(int) - pixels[..., 2]


def test_the_warm_place_is_where_the_map_is_high():
    drawn = lay_over(grey(80, 160), heat_at(2, 6))
    assert drawn.shape == (80, 160, 3) and drawn.dtype == np.uint8
    row, column = np.unravel_index(warmth(drawn).argmax(), (80, 160))
    assert 20 <= row < 30 and 120 <= column < 140
    assert warmth(drawn)[:, :60].max() < 30


def test_what_the_map_does_not_cover_is_dark():
    extent = (0.25, 0.0, 0.75, 1.0)
    drawn = lay_over(grey(40, 80), np.full((4, 4), 0.5, np.float32), extent)
    assert drawn[:, :20].max() < drawn[:, 20:60].max() / 2
    assert drawn[:, 60:].max() < drawn[:, 20:60].max() / 2
    assert np.ptp(drawn[:, 20:60], axis=(0, 1)).max() == 0  # even inside
    placed = lay_over(grey(40, 80), heat_at(0, 0, (4, 4)), extent)
    row, column = np.unravel_index(warmth(placed).argmax(), (40, 80))
    assert row < 10 and 20 <= column < 30


def test_the_photo_can_still_be_seen():
    photo = grey(40, 40, 40)
    photo[:, 20:] = 220
    for value in (0.0, 1.0):
        drawn = lay_over(photo, np.full((4, 4), value, np.float32)).mean(2)
        assert drawn[:, 20:].mean() - drawn[:, :20].mean() > 15


def panels(count, name='sky'):
    rng = np.random.default_rng(0)
    return [
        HeatPanel(str(k + 1), name, 0.5, rng.random((7, 7)).astype(np.float32))
        for k in range(count)
    ]


@pytest.mark.parametrize('size', [(50, 50), (2000, 1500), (1500, 2000), (40, 400), (400, 40)])
@pytest.mark.parametrize('count', [0, 1, 4, 12])
def test_sheets_fit_a_screen(size, count):
    sheet = draw_attention_sheet(grey(*size), panels(count), note='Grad-CAM')
    assert sheet.mode == 'RGB'
    assert sheet.width <= 1800 and sheet.height <= 2400
    # All corners are paper: nothing is cut off.
    pixels = np.asarray(sheet)
    assert (pixels[0] == 255).all() and (pixels[-1] == 255).all()
    assert (pixels[:, 0] == 255).all() and (pixels[:, -1] == 255).all()


@pytest.mark.parametrize('count', [1, 4, 12])
def test_each_panel_has_a_place_of_its_own(count):
    """Cells do not overlap: all the warm places of the steps are there."""
    steps = [HeatPanel(str(k + 1), 'sky', 0.5, heat_at(3, 3, (7, 7))) for k in range(count)]
    sheet = np.asarray(draw_attention_sheet(grey(64, 64), steps))
    peaks = warmth(sheet)[: -round(2.6 * 15)] > 120  # without the scale
    assert label(peaks)[1] == count


def test_small_photos_are_magnified_without_smoothing():
    photo = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    shown = np.asarray(attention_sheet._fit(photo, 320))
    assert shown.shape == (300, 300, 3)
    assert np.array_equal(shown[::6, ::6], photo)
    assert attention_sheet._fit(grey(1500, 2000), 320).size == (320, 240)


def test_an_empty_map_says_so_and_names_are_cut(monkeypatch):
    said = []
    monkeypatch.setattr(
        attention_sheet.label_font(13).__class__,
        'draw',
        lambda self, canvas, place, text, *more: said.append(text),
    )
    nothing = HeatPanel('1', 'a very long name ' * 5, 0.25, np.zeros((7, 7), np.float32))
    draw_attention_sheet(grey(300, 300), [nothing, *panels(1)], note='Grad-CAM, log odds')
    assert said.count('nothing speaks for it') == 1
    assert any(text.startswith('a very long') and text.endswith('…') for text in said)
    assert '0.250' in said and '0.500' in said
    assert any('Grad-CAM, log odds' in text for text in said)


def test_the_sheet_is_an_image_that_can_be_written(tmp_path):
    path = tmp_path / 'sheet.png'
    draw_attention_sheet(grey(64, 64), panels(2)).save(path)
    with Image.open(path) as image:
        assert image.format == 'PNG'
