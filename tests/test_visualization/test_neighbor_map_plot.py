# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from itertools import combinations

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.text import Annotation, Text
from test_figures import ODD_NAMES, assert_inside

from cnnrnn_mm.visualization.neighbor_map_plot import plot_neighbor_map


def shown_names(figure):
    return [one for one in figure.axes[0].texts if isinstance(one, Annotation)]


@pytest.mark.parametrize('count', [1, 2, 8, 90])
def test_names_stand_apart_and_lines_lead_to_the_nearest(count):
    generator = np.random.default_rng(count)
    names = [*ODD_NAMES, *(f'label {one}' for one in range(count))][:count]
    points = generator.normal(size=(count, 2))
    nearest = generator.integers(count, size=count)
    figure = plot_neighbor_map(names, points, nearest, 'what is shown')
    texts = shown_names(figure)
    note = figure.axes[0].get_xlabel()
    left_out = int(note.split('No room for ')[1].split()[0]) if 'No room' in note else 0
    assert len(texts) == count - left_out and left_out <= count // 10
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(one).shrunk(0.98, 0.98) for one in texts]  # without lines
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert_inside(figure)
    (lines,) = (one for one in figure.axes[0].collections if isinstance(one, LineCollection))
    for label, line in enumerate(lines.get_segments()):
        np.testing.assert_allclose(line, points[[label, nearest[label]]])
    if count == 8:
        assert {text.get_text() for text in texts} >= {'cat', r'a\$b', 'd', 'e', 'f'}


def test_names_without_room_are_counted():
    figure = plot_neighbor_map(['a long name here'] * 50, np.zeros((50, 2)), np.zeros(50, int))
    shown = len(shown_names(figure))
    assert 0 < shown < 50
    assert f'No room for {50 - shown} names.' in figure.axes[0].get_xlabel()
