# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the figures show, read from the figures; and that no text covers another."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Annotation

from cnnrnn_mm.visualization.area_recall_plot import (
    plot_recall_by_box_area,
    plot_recall_by_class_area,
)
from cnnrnn_mm.visualization.class_score_bars import plot_class_scores
from cnnrnn_mm.visualization.label_map_plot import plot_label_map
from cnnrnn_mm.visualization.label_statistics_plots import (
    plot_information,
    plot_label_counts,
    plot_set_sizes,
)

ODD_NAMES = ['cat', '汽车', 'a$b', '$x_{', 'a very long name that goes on and on', 'd', 'e', 'f']


@pytest.fixture(autouse=True)
def _no_warnings():
    """Missing glyphs and layouts that fail are warnings in matplotlib."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        yield


def boxes_of(texts, figure):
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]


def assert_apart(texts, figure):
    boxes = boxes_of(texts, figure)
    assert len(boxes) > 1
    for first, second in combinations(boxes, 2):
        assert not first.shrunk(0.98, 0.98).overlaps(second.shrunk(0.98, 0.98))


def assert_inside(figure):
    """Nothing is cut off at the edge of the picture."""
    figure.draw_without_rendering()
    room, tight = figure.bbox, figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert tight.x0 >= room.x0 - 1 and tight.x1 <= room.x1 + 1
    assert tight.y0 >= room.y0 - 1 and tight.y1 <= room.y1 + 1


def scores(seed, num_classes):
    return tuple(100 * np.random.default_rng(seed).random((2, num_classes)))


@pytest.mark.parametrize(('num_classes', 'num_methods'), [(1, 1), (20, 2), (130, 1)])
def test_class_score_pages_show_each_class_once(num_classes, num_methods):
    counts = np.random.default_rng(1).permutation(num_classes) + 1
    both = {f'method {i}': scores(i, num_classes) for i in range(num_methods)}
    never = {name: np.zeros(num_classes, bool) for name in both}
    names = [f'class {i}' for i in range(num_classes)]
    pages = plot_class_scores(names, counts, both, never, 'title')
    shown = []
    for page in pages:
        left, right = page.axes
        for panel, column in ((left, 0), (right, 1)):
            for index, (bars, values) in enumerate(
                zip(panel.containers, both.values(), strict=True)
            ):
                widths = [bar.get_width() for bar in bars]
                order = np.argsort(-counts)[len(shown) : len(shown) + len(widths)]
                assert widths == pytest.approx(values[column][order].tolist()), index
        shown += [text.get_text().split('  ')[0] for text in left.get_yticklabels()]
        assert len(left.get_yticklabels()) * (num_methods + 0.6) <= 100  # fits on a screen
        if page is pages[-1] and num_classes < 100:
            assert_inside(page)
            if num_classes > 1:
                assert_apart(left.get_yticklabels(), page)
    assert shown == [names[i] for i in np.argsort(-counts)]


def test_absent_classes_are_left_out_and_undefined_scores_marked():
    counts = np.array([3, 0, 0, 5])
    both = {'A': (np.array([50.0, 0, 0, 0]), np.array([50.0, 0, 0, 0]))}
    (page,) = plot_class_scores(list('abcd'), counts, both, {'A': [False, True, False, True]})
    left, right = page.axes
    names = [text.get_text().split('  ')[0] for text in left.get_yticklabels()]
    assert names == ['d', 'a', 'c']  # b is neither there nor predicted
    crosses = [[line.get_ydata().tolist() for line in panel.lines][-1] for panel in (left, right)]
    assert crosses == [[0.0], [2.0]]  # d is never predicted, c has no image
    assert '1 of 4 classes neither there nor predicted' in page.get_suptitle()


def test_points_of_classes_and_their_names():
    rng = np.random.default_rng(0)
    areas = np.exp(rng.normal(-2, 1, 60)).clip(0.001, 1)
    areas[5] = np.nan
    names = [f'name {i}' for i in range(60)]
    recalls = {'A': 100 * rng.random(60), 'B': 100 * rng.random(60)}
    figure = plot_recall_by_class_area(names, rng.integers(1, 99, 60), areas, recalls)
    (axes,) = figure.axes
    there = np.arange(60) != 5
    for points, (method, recall) in zip(axes.collections[1:], recalls.items(), strict=True):
        expected = np.stack([areas[there], recall[there]], 1)
        np.testing.assert_allclose(points.get_offsets(), expected, err_msg=method)
    written = [one for one in axes.texts if isinstance(one, Annotation)]
    figure.draw_without_rendering()
    extents = [super(Annotation, one).get_window_extent() for one in written]
    room = axes.get_window_extent()
    assert len(written) > 40
    for first, second in combinations(extents, 2):
        assert not first.overlaps(second)
    for extent in extents:
        assert room.x0 <= extent.x0 and extent.x1 <= room.x1
        assert room.y0 <= extent.y0 and extent.y1 <= room.y1
    pixels = axes.transData.transform(
        np.concatenate([np.stack([areas[there], one[there]], 1) for one in recalls.values()])
    )
    for text, extent in zip(written, extents, strict=True):
        assert not any(extent.contains(*pixel) for pixel in pixels), text
        number = int(text.get_text().split()[1])
        assert text.xy[0] == areas[number]  # at its own class
    left_out = 59 - len(written)
    note = axes.get_title(loc='right')
    assert note == (f'no room for {left_out} of 59 names' if left_out else '')
    assert_inside(figure)


def test_recall_in_bins_has_its_intervals():
    rows = np.array([[1, 10, 10.0, 2, 40], [5, 11, 45.0, 21, 72]])
    figure = plot_recall_by_box_area([0.01, 0.2], [0.001, 0.05], {'A': rows, 'B': rows + 1})
    (axes,) = figure.axes
    for container, values in zip(axes.containers, (rows, rows + 1), strict=True):
        line, _, (bars,) = container.lines
        assert line.get_ydata().tolist() == values[:, 2].tolist()
        ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
        assert ends == [pytest.approx(values[i, 3:].tolist()) for i in range(2)]
    assert axes.get_title(loc='right') == '10 to 11 labels a bin'
    lists = plot_recall_by_box_area([0.01, 0.2], [0.001, 0.05], {'A': rows.tolist()})
    assert lists.axes[0].get_title(loc='right') == '10 to 11 labels a bin'
    assert_inside(figure)


@pytest.mark.parametrize('num_classes', [1, 8])
def test_label_statistics_figures(num_classes):
    names = (ODD_NAMES * 40)[:num_classes]
    counts = np.arange(num_classes)[::-1] * 3  # the last class has no image
    together = np.minimum(counts[:, None], counts[None]) // 2
    np.fill_diagonal(together, counts)
    sequence = np.argsort(-counts, kind='stable')
    figure = plot_label_counts(names, counts, sequence, 'title')
    bars = [bar.get_width() for bar in figure.axes[0].containers[0]]
    assert bars == counts[sequence][:40].tolist()
    assert_inside(figure)

    sure = np.ones_like(together, bool)
    figure = plot_label_map(names, together, sequence, 2000, sure, 'title')
    given, lift = (panel.images[0].get_array() for panel in figure.axes[:2])
    if num_classes > 1:
        a, b = sequence[:2]
        assert given[0, 1] == pytest.approx(100 * together[a, b] / counts[a])
        expected = np.log2(together[a, b] * 2000 / counts[a] / counts[b])
        assert lift[0, 1] == pytest.approx(np.clip(expected, -4, 4))
        assert_apart(figure.axes[0].get_yticklabels(), figure)
    assert_inside(figure)

    pairs = [(0, i) for i in range(1, num_classes)]
    figure = plot_information(names, pairs, np.linspace(1, 0.1, len(pairs)), 'gain', 'title')
    assert len(figure.axes[0].patches) == min(len(pairs), 40)
    assert_inside(figure)


def test_only_the_most_frequent_of_many_classes_are_named():
    counts = np.arange(50)  # the first class has no image
    names, sequence = [f'name {i}' for i in range(50)], np.argsort(-counts)
    bars, curve = plot_label_counts(names, counts, sequence).axes
    shown = [text.get_text() for text in bars.get_yticklabels()]
    assert shown == [f'name {i}' for i in range(49, 9, -1)]
    assert curve.lines[0].get_ydata().tolist() == list(range(49, 0, -1))
    assert curve.get_title(loc='left') == 'all 50 classes, 1 without images'
    together = np.diag(counts)
    figure = plot_label_map(names, together, sequence, 99, np.ones_like(together, bool))
    assert len(figure.axes[0].get_yticklabels()) == 30
    assert 'the 30 most frequent of 50 classes' in figure.get_suptitle()
    pairs = [(i, i + 1) for i in range(45)]
    assert len(plot_information(names, pairs, np.ones(45)).axes[0].patches) == 40


def test_unsure_pairs_have_no_colour():
    together = np.array([[9, 3, 2], [3, 9, 1], [2, 1, 9]])
    sure = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    figure = plot_label_map(list('abc'), together, [0, 1, 2], 30, sure)
    shown = ~np.ma.getmaskarray(figure.axes[1].images[0].get_array())
    assert (shown == sure).all()


@pytest.mark.parametrize('sizes', [[5], [0, 4, 6], [1] * 60])
def test_set_sizes_are_shares(sizes):
    figure = plot_set_sizes(sizes, np.array(sizes) * 0.5)
    (axes,) = figure.axes
    bars = [bar.get_height() for bar in axes.containers[0]]
    assert bars == pytest.approx([100 * one / sum(sizes) for one in sizes])
    assert axes.lines[0].get_ydata() == pytest.approx([50 * one / sum(sizes) for one in sizes])
    assert_inside(figure)
