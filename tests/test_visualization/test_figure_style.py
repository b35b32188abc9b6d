# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import matplotlib
import pytest

from cnnrnn_mm.visualization import figure_style
from cnnrnn_mm.visualization.figure_style import drawable_names, figure_names, styled


@pytest.fixture
def one_font(monkeypatch):
    """As on a machine that has no more fonts than matplotlib brings."""
    monkeypatch.setattr(figure_style, '_fonts', lambda: ('DejaVu Sans',))


def test_names_that_can_not_be_drawn_become_numbers(one_font):
    names = ['cat', '汽车', 'ελέφαντας', '', 'car 汽', 'naïve café']
    assert figure_names(names) == ['cat', '#1', 'ελέφαντας', '#3', '#4', 'naïve café']
    assert drawable_names(names) == figure_names(names)


def test_names_are_one_line_and_no_formula_and_not_too_long(one_font):
    assert figure_names(['a\nb  c', '$x$', 'n' * 30], longest=10) == [
        'a b c',
        r'\$x\$',
        'n' * 9 + '…',
    ]
    assert drawable_names(['$x$', 'n' * 30]) == ['$x$', 'n' * 30]


def test_style_leaves_nothing_behind():
    before = dict(matplotlib.rcParams)

    @styled
    def draw():
        assert matplotlib.rcParams['font.family'][0] == 'DejaVu Sans'
        raise RuntimeError('in the middle')

    with pytest.raises(RuntimeError, match='in the middle'):
        draw()
    assert dict(matplotlib.rcParams) == before
