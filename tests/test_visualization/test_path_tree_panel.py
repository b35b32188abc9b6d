# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.visualization.label_font import label_font
from cnnrnn_mm.visualization.label_style import PLAIN, RIGHT, WRONG
from cnnrnn_mm.visualization.path_tree import build_path_tree, merge_chains
from cnnrnn_mm.visualization.path_tree_edges import BEST, OTHER
from cnnrnn_mm.visualization.path_tree_layout import lay_out_tree, small_size
from cnnrnn_mm.visualization.path_tree_panel import draw_path_tree

PATHS = [['bus', 'car'], ['bus', 'car', 'dog'], ['bus'], ['car', 'bus'], []]
PROBS = [0.4, 0.2, 0.1, 0.05, 0.02]


def pixels_of(drawn, colour):
    return (drawn == tuple(bytes.fromhex(colour[1:]))).all(2)


def lay_out(paths=PATHS, probs=PROBS, width=700, size=16, most=30):
    chains = merge_chains(build_path_tree(paths, probs))
    return lay_out_tree(chains, lambda name: (name, PLAIN), size, width, most)


def say(one):
    """What stands there: labels, and the number behind them."""
    return [text for text, _, _ in one.flow.chips], one.number


def test_every_part_of_the_tree_is_written_with_its_mass():
    expected = [
        (['bus'], '0.700'), (['car', 'bus', 'END'], '0.050'), (['END'], '0.020'),
        (['car'], '0.600'), (['END'], '0.100'), (['END'], '0.400'), (['dog', 'END'], '0.200'),
    ]  # fmt: skip
    wide, narrow = lay_out(), lay_out(width=300)
    assert wide.is_wide and not narrow.is_wide
    assert [say(one) for one in wide.placed] == expected
    assert sorted(map(str, map(say, narrow.placed))) == sorted(map(str, expected))


@pytest.mark.parametrize('size', [8, 16, 40])
@pytest.mark.parametrize('width', [160, 300, 700, 2400])
@pytest.mark.parametrize('long', [False, True])
def test_nothing_overlaps_and_nothing_sticks_out(width, size, long):
    name = 'name that has more than forty characters, ' if long else ''
    paths = [[name + label for label in path] for path in PATHS]
    layout = lay_out(paths, width=width, size=size)
    boxes = []
    for one in layout.placed:
        assert one.left >= 0 and one.number_right <= width + 1e-6
        assert one.top + one.flow.lines * one.flow.line <= layout.height + 1
        right = max(one.flow._end_of(i) for i in range(len(one.flow.chips)))
        if one.flow.chips[0][0] != '…':  # where not even a letter has room
            assert one.left + right <= max(one.number_right, width)
        boxes.append(
            (one.left, one.top, one.number_right, one.top + one.flow.line * one.flow.lines)
        )
        if one.parent is not None:
            behind = one.parent.number_right if layout.is_wide else one.parent.left
            assert one.left > behind
    for number, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:number]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            assert apart
    numbers = label_font(small_size(size), bold=True)
    for one in layout.placed:  # the number stands behind the labels
        start = one.number_right - numbers.getlength(one.number)
        assert one.flow.chips[0][0] == '…' or start >= one.left + one.flow.end


def test_lines_are_as_wide_as_the_mass():
    """Of two children behind the root, in pixels of their colours a little before the labels."""
    for probs in ([0.6, 0.2], [0.4, 0.4], [0.5, 0.001]):
        layout = lay_out([['bus'], ['car']], probs)
        drawn = draw_path_tree([['bus'], ['car']], probs, width=724)
        x = round(layout.placed[0].left) + 12 - 4
        measured = [pixels_of(drawn, colour)[:, x].sum() for colour in (BEST, OTHER)]
        expected = [max(1.2 * 16 * prob / sum(probs), 16 / 12) for prob in probs]
        assert measured == pytest.approx(expected, abs=2)


@pytest.mark.parametrize('width', [300, 700])
def test_only_the_best_path_has_its_colour(width):
    drawn = draw_path_tree(PATHS, PROBS, width=width)
    rows = np.flatnonzero(pixels_of(drawn, BEST).any(1))
    assert rows.max() < drawn.shape[0] * (0.5 if width == 300 else 0.45)  # it stands on top
    last = draw_path_tree(PATHS, PROBS[::-1], width=width)
    assert (last.shape != drawn.shape) or (last != drawn).any()
    assert pixels_of(last, OTHER).any()


def test_labels_are_judged_by_the_truth():
    def found(truth):
        drawn = draw_path_tree(PATHS, PROBS, truth=truth)
        return [pixels_of(drawn, verdict.tint).any() for verdict in (PLAIN, RIGHT, WRONG)]

    assert found(None) == [True, False, False]
    assert found(['bus', 'car', 'dog']) == [False, True, False]
    assert found([]) == [False, False, True]
    assert found(['dog']) == [False, True, True]


@pytest.mark.parametrize('paths', [[], [[]], [['cat']], [['cat'] * 25], PATHS])
@pytest.mark.parametrize('known', [True, False])
@pytest.mark.parametrize('width', [160, 720])
def test_picture_has_the_width_asked_for_and_is_writable(paths, known, width):
    probs = [0.1] * len(paths) if known else None
    drawn = draw_path_tree(paths, probs, width=width)
    assert drawn.shape[1:] == (width, 3) and drawn.dtype == np.uint8
    assert drawn.flags.c_contiguous and drawn.flags.writeable
    assert (drawn[:, :12] == 255).all() and (drawn[:, -12:] == 255).all()
    assert pixels_of(drawn, BEST).any() == bool(paths)


def test_numbers_only_where_probabilities_are_known():
    assert [one.number for one in lay_out(probs=None).placed] == [''] * 7
    assert all(one.number for one in lay_out().placed)


def test_many_labels_between_two_branches_are_counted():
    layout = lay_out([[f'l{i}' for i in range(25)]], [0.5], most=3)
    assert say(layout.placed[0])[0] == ['l0', 'l1', 'l2', '+22', 'END']


def test_too_narrow():
    with pytest.raises(UsageError, match='too narrow: give at least 160'):
        draw_path_tree(PATHS, PROBS, width=100)
