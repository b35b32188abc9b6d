# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest

from cnnrnn_mm.visualization import order_sheet
from cnnrnn_mm.visualization.label_panel import LabelPanel
from cnnrnn_mm.visualization.order_sheet import draw_order_sheet

CLASSES = ['bus', 'cat', '汽车']
PHOTO = np.random.default_rng(0).integers(0, 256, (100, 200, 3), dtype=np.uint8)


@pytest.fixture
def written(monkeypatch):
    """What the panel is told to write: (kind, text, ...)."""
    said = []

    class Panel(LabelPanel):
        def heading(self, text, note=''):
            said.append(('heading', text, note))
            super().heading(text, note)

        def row(self, lead, label, share=None, number=''):
            said.append(('row', lead, label[0]))
            super().row(lead, label, share, number)

        def note(self, text):
            said.append(('note', text))
            super().note(text)

        def flow(self, labels, **options):
            said.append(('flow', [name for name, _ in labels]))
            super().flow(labels, **options)

    monkeypatch.setattr(order_sheet, 'LabelPanel', Panel)
    return said


def test_labels_are_numbered_in_their_order_up_to_end(written):
    draw_order_sheet([('original', PHOTO)], [2, 0], CLASSES, 'rare_first', '1 of 5: a.jpg')
    assert ('note', '1 of 5: a.jpg') in written
    assert written[-4:] == [
        ('heading', 'LABELS', 'rare first'),
        ('row', '1', '汽车'),
        ('row', '2', 'bus'),
        ('row', '3', 'END'),
    ]


def test_no_label_and_no_order(written):
    draw_order_sheet([('original', PHOTO)], [], CLASSES, 'frequent_first')
    assert written[-2:] == [('note', 'no label'), ('row', '1', 'END')]
    draw_order_sheet([('original', PHOTO)], [1, 5], CLASSES, None, difficult=[0])
    assert written[-5:] == [
        ('heading', 'LABELS', 'in no order'),
        ('row', '', 'cat'),
        ('row', '', '5'),
        ('heading', 'DIFFICULT OBJECTS ONLY', ''),
        ('flow', ['bus']),
    ]


def test_many_labels_are_counted(written):
    draw_order_sheet([('a', PHOTO)], list(range(9)), None, 'given', max_labels=4)
    assert written[-3:] == [('row', '4', '3'), ('note', 'and 5 more'), ('row', '10', 'END')]


def test_photos_stand_unchanged_under_their_titles():
    small = PHOTO[:20, :30]
    sheet = np.asarray(draw_order_sheet([('a', small), ('b', small[:10])], [0], CLASSES, None))
    magnified = small.repeat(10, 0).repeat(10, 1)
    np.testing.assert_array_equal(sheet[16 + 24 :][:200, 16:][:, :300], magnified)
    np.testing.assert_array_equal(sheet[16 + 24 :][:100, 332:][:, :300], magnified[:100])
    assert (sheet[:16] == 255).all() and (sheet[:, :16] == 255).all()


@pytest.mark.parametrize('count', [1, 2, 3, 4, 7])
def test_photos_make_rows_that_do_not_overlap(count):
    colours = [np.full((40, 50, 3), 20 * number + 40, np.uint8) for number in range(count)]
    photos = [(f'stage {number}', one) for number, one in enumerate(colours)]
    sheet = np.asarray(draw_order_sheet(photos, [0], CLASSES, 'given', rescale_factor=1.0))
    for number in range(count):
        found = (sheet == 20 * number + 40).all(-1)
        rows, columns = np.nonzero(found)
        inner = found[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert inner.sum() >= 40 * 50


@pytest.mark.parametrize(
    ('image', 'expected'),
    [
        (np.array([[0.0, 1.0], [0.5, 0.0]]), [0, 255, 128, 0]),
        (np.array([[-2.0, 2.0], [0.0, 0.0]]), [0, 255, 128, 128]),
        (np.array([[0, 255], [7, 9]], np.uint8), [0, 255, 7, 9]),
        (np.array([[0, 1], [1, 0]], np.uint8), [0, 1, 1, 0]),
        (np.array([[20.4, 254.6], [7, 9]]), [20, 255, 7, 9]),
        (np.full((2, 2), -1.0), [0, 0, 0, 0]),
    ],
)
def test_values_of_any_range_are_drawn(image, expected):
    found = order_sheet._to_pixels(image)
    assert found.shape == (2, 2, 3) and found.dtype == np.uint8
    assert found[..., 0].ravel().tolist() == expected
    np.testing.assert_array_equal(order_sheet._to_pixels(image[..., None]), found)
