# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import mmcv
import numpy as np
import pytest
import torch
from drawn_samples import LINE, MARGIN, NAMES, draw, has_colour, make_sample, photo_of
from mmengine.visualization import Visualizer
from mmpretrain.engine import VisualizationHook
from mmpretrain.models import MultiLabelLinearClsHead
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import VISUALIZERS
from cnnrnn_mm.visualization import LabelPathVisualizer
from cnnrnn_mm.visualization.label_font import elide, load_font
from cnnrnn_mm.visualization.label_panel import LabelPanel
from cnnrnn_mm.visualization.label_style import MISSED, PLAIN, RIGHT, WRONG
from cnnrnn_mm.visualization.path_tree_edges import BEST


@pytest.fixture
def visualizer():
    return LabelPathVisualizer(draw_tree=False)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def test_photo_stands_left_unchanged_and_the_panel_right(visualizer, photo):
    drawn = draw(visualizer, photo, make_sample())
    np.testing.assert_array_equal(photo_of(drawn, 240, 320), photo)
    panel = drawn[:, MARGIN + 320 :]
    assert panel.shape[1] == 24 * 16 + 2 * MARGIN
    assert (panel < 128).any() and (panel[:, :MARGIN] == 255).all()


@pytest.mark.parametrize(
    ('shape', 'expected'),
    [
        ((64, 64, 3), (320, 320)),
        ((48, 64), (240, 320)),  # grey, magnified 5 times
        ((200, 100, 1), (400, 200)),
        ((3000, 4000, 3), (480, 640)),
        ((1, 700, 4), (1, 640)),
    ],
)
def test_photo_is_brought_to_a_readable_size(visualizer, shape, expected):
    drawn = draw(visualizer, np.zeros(shape, np.uint8), make_sample(gt=None, path=()))
    assert (photo_of(drawn, *expected) == 0).all()
    assert (drawn[:, MARGIN + expected[1]] == 255).all()
    assert (drawn[MARGIN + expected[0] :, : MARGIN + expected[1]] == 255).all()


def test_magnified_photo_is_not_smoothed(visualizer):
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[::2] = 255
    drawn = draw(visualizer, photo, make_sample())
    np.testing.assert_array_equal(
        photo_of(drawn, 320, 320), photo.repeat(5, axis=0).repeat(5, axis=1)
    )


def test_resize_and_rescale_factor(visualizer, photo):
    assert draw(visualizer, photo, make_sample(), resize=480).shape[0] == 480 + 2 * MARGIN
    drawn = draw(visualizer, photo, make_sample(), rescale_factor=3)
    assert drawn.shape[0] == 720 + 2 * 24  # 960 / 40: text, and with it the margin, grows alike


def test_text_grows_with_the_photo():
    """A picture that is 2, 6.25 times as large is the same picture, but for rounding."""
    photo, sample = np.zeros((480, 640, 3), np.uint8), make_sample()
    height, width = draw(LabelPathVisualizer(max_photo=640), photo, sample).shape[:2]
    for edge in (1280, 4000):
        large = np.zeros((edge * 3 // 4, edge, 3), np.uint8)
        drawn = draw(LabelPathVisualizer(max_photo=edge), large, sample)
        expected = (height * edge / 640, width * edge / 640)
        assert drawn.shape[:2] == pytest.approx(expected, rel=0.005)


def test_a_picture_that_would_be_huge_is_refused(visualizer, photo):
    with pytest.raises(UsageError, match='32000 x 24000 pixels is too large to draw: .*resize'):
        draw(visualizer, photo, make_sample(), rescale_factor=100)


@pytest.mark.parametrize(
    'other',
    [
        make_sample(path=(2, 1)),  # the order of the path
        make_sample(path=(1, 3)),
        make_sample(gt=(0, 2)),
        make_sample(gt=None),
        make_sample(steps=[0.9, 0.5, 0.5]),
        make_sample(steps=[0.5, 0.5, 0.9]),  # END's
        make_sample(next_paths=((1,), (2,))),
        make_sample(next_paths=((1,),)),
    ],
)
def test_different_predictions_look_different(visualizer, photo, other):
    drawn = draw(visualizer, photo, make_sample())
    np.testing.assert_array_equal(drawn, draw(visualizer, photo, make_sample()))
    changed = draw(visualizer, photo, other)
    assert changed.shape != drawn.shape or (changed != drawn).any()


def test_bar_is_as_long_as_the_probability(visualizer, photo):
    def filled(share):
        sample = make_sample(gt=None, path=(), next_paths=(), steps=[share])
        panel = draw(visualizer, photo, sample)[:, MARGIN + 320 :]
        rows = (panel == (0x1F, 0x29, 0x33)).all(2).sum(1)
        return rows.max()

    full = filled(1.0)
    assert full > 60
    assert filled(0.5) == pytest.approx(full / 2, abs=8)  # the name's own pixels aside
    assert filled(0.25) < filled(0.5) < filled(0.75) < full


def test_path_holds_one_line_a_step_and_one_for_end(visualizer, photo):
    def height(n):
        drawn = draw(visualizer, photo, make_sample(gt=None, path=range(n), next_paths=()))
        return drawn.shape[0]

    assert height(12) - height(11) == LINE
    assert height(40) - height(21) == 0  # cut at 20 labels, and one line says so
    cut = make_sample(gt=None, path=range(12), next_paths=())
    cut.pred_step_log_probs = cut.pred_step_log_probs[:-1]
    assert height(12) - draw(visualizer, photo, cut).shape[0] == LINE


def test_verdicts_differ_by_a_mark_and_not_by_colour_alone():
    def render(verdict):
        panel = LabelPanel(16)
        panel.row('1', ('dog', verdict._replace(colour='#000000', tint='#ffffff')))
        panel.flow([('dog', verdict._replace(colour='#000000', tint='#ffffff'))])
        return np.asarray(panel.render())

    drawings = [render(verdict) for verdict in (PLAIN, RIGHT, WRONG, MISSED)]
    for i, first in enumerate(drawings):
        for second in drawings[:i]:
            assert (first[:LINE] != second[:LINE]).any() and (first[LINE:] != second[LINE:]).any()


def test_the_font_has_every_sign():
    def ink(sign):
        return bytes(load_font(16).getmask(sign))

    missing = ink('\uffff')
    for sign in ('…', '→', '+', *(verdict.mark for verdict in (RIGHT, WRONG, MISSED))):
        assert ink(sign) != missing, sign


def test_right_wrong_and_missed_have_their_colours(visualizer):
    photo = np.zeros((320, 320, 3), np.uint8)
    cases = {
        ((1,), (1,)): {RIGHT},
        ((), (1,)): {WRONG, MISSED},  # "no label" was the truth, and is missed
        ((), ()): {RIGHT},
        ((1,), ()): {WRONG, MISSED},
        ((1, 2), (1,)): {RIGHT, MISSED},
        ((1, 2), (2, 1, 3)): {RIGHT, WRONG},
        (None, (1,)): set(),
    }
    for (gt, path), expected in cases.items():
        drawn = draw(visualizer, photo, make_sample(gt=gt, path=path, next_paths=()))
        found = {verdict for verdict in (RIGHT, WRONG, MISSED) if has_colour(drawn, verdict.colour)}
        assert found == expected, (gt, path)


def test_many_long_names_stay_inside_and_are_counted(visualizer, photo):
    names = [f'{i} ' + 'very ' * 40 + 'long' for i in range(40)]
    for size in (8, 16, 40):
        sample = make_sample(gt=range(40), path=range(40), next_paths=[range(39), (3,)])
        drawn = visualizer.visualize_cls(photo, sample, classes=names, text_cfg=dict(size=size))
        assert (drawn[:, -size // 2 :] == 255).all()  # nothing runs over the right edge
        assert drawn.shape[1] <= 320 + 40 * size


def test_elide_keeps_what_fits():
    font = load_font(16)
    assert elide('dining\n table', font, 200) == 'dining table'
    for width in (20, 60, 99, 100):
        text = elide('a long class name', font, width)
        kept = text.removesuffix('…')
        assert 'a long class name'.startswith(kept) and font.getlength(text) <= width
        assert font.getlength('a long class name'[: len(kept) + 2] + '…') > width
    assert elide('long', font, 0) == '…'


def test_hidden_labels_are_counted_in_the_line_that_is_left():
    panel = LabelPanel(16)
    panel.flow([('x' * 100, RIGHT)] * 9, lines=1)  # not even one fits beside the count
    few = LabelPanel(16)
    few.flow([('x' * 100, RIGHT)] * 8, lines=1)
    first, second = np.asarray(panel.render()), np.asarray(few.render())
    assert first.shape == (LINE, 384, 3)
    assert (first != second).any()  # +9 and +8


def without(sample, *fields):
    for field in fields:
        delattr(sample, field)
    return sample


@pytest.mark.parametrize(
    'sample',
    [
        DataSample(),
        DataSample().set_gt_label([]),
        DataSample().set_gt_label(3),
        DataSample().set_gt_score(torch.tensor([0.0, 1, -1])),
        DataSample().set_pred_label([]),
        DataSample().set_pred_label([5, 2]),
        DataSample().set_pred_label(3).set_pred_score(torch.rand(10)).set_gt_label(3),
        make_sample(gt=()),
        make_sample(path=()),
        make_sample(gt=(), path=(), next_paths=()),
        make_sample(path=(1, 1, 1), gt=(1, 1)),
        make_sample(path=(99,)),  # no name for it
        make_sample(steps=[0.0, 1.0, float('nan')]),
        make_sample(img_path='no/such/file.jpg'),
        make_sample(img_path=None),
        without(make_sample(), 'pred_step_log_probs', 'pred_path_log_probs'),
        without(make_sample(), 'pred_label'),
        without(make_sample(), 'pred_score', 'gt_label'),
    ],
)
@pytest.mark.parametrize('flag', [None, 'draw_gt', 'draw_pred', 'draw_score'])
def test_odd_samples(visualizer, photo, sample, flag):
    options = {} if flag is None else {flag: False}
    draw(visualizer, photo, sample, **options)


def test_what_is_switched_off_is_not_drawn(visualizer, photo):
    plain = draw(visualizer, photo, make_sample(), draw_gt=False)
    np.testing.assert_array_equal(plain, draw(visualizer, photo, make_sample(gt=None)))
    truth_only = draw(visualizer, photo, make_sample(), draw_pred=False)
    other = make_sample(path=(5, 6, 7), next_paths=())
    np.testing.assert_array_equal(truth_only, draw(visualizer, photo, other, draw_pred=False))
    bare = draw(visualizer, photo, make_sample(), draw_score=False)
    other = make_sample(steps=[0.1, 0.2, 0.3])
    np.testing.assert_array_equal(bare, draw(visualizer, photo, other, draw_score=False))


def test_sample_of_the_host_head_is_drawn_best_first(visualizer, photo):
    torch.manual_seed(0)
    head = MultiLabelLinearClsHead(num_classes=6, in_channels=8, thr=0.3)
    with torch.no_grad():
        sample = head.predict((4 * torch.randn(1, 8),), [DataSample().set_gt_label([0, 5])])[0]
    assert len(sample.pred_label) > 1 and 'pred_paths' not in sample
    drawn = draw(visualizer, photo, sample)
    sample.pred_label = sample.pred_label.flip(0)  # a set: no order to show
    np.testing.assert_array_equal(drawn, draw(visualizer, photo, sample))


def test_names_come_from_the_dataset(visualizer, photo):
    bare = visualizer.visualize_cls(photo, make_sample())
    visualizer.dataset_meta = dict(classes=NAMES)
    named = visualizer.visualize_cls(photo, make_sample())
    assert (bare != named).any()
    np.testing.assert_array_equal(named, draw(visualizer, photo, make_sample()))


def test_get_image_gives_the_drawing(visualizer, photo):
    drawn = draw(visualizer, photo, make_sample())  # the host's inferencer asks for it
    got = visualizer.get_image()
    assert got.shape == drawn.shape
    assert np.abs(got.astype(int) - drawn).mean() < 1


def test_the_drawing_goes_to_the_backends(tmp_path, photo):
    visualizer = VISUALIZERS.build(
        dict(
            type='LabelPathVisualizer',
            name='backends',
            vis_backends=[dict(type='LocalVisBackend')],
            save_dir=str(tmp_path),
        )
    )
    assert isinstance(visualizer, LabelPathVisualizer)
    drawn = draw(visualizer, photo, make_sample(), name='dog', step=3)
    (path,) = tmp_path.rglob('dog_3.png')
    np.testing.assert_array_equal(mmcv.imread(path, channel_order='rgb'), drawn)


@pytest.mark.parametrize('on_disk', [True, False])
def test_through_the_hook(tmp_path, photo, on_disk):
    name = f'hook {on_disk}'
    visualizer = VISUALIZERS.build(dict(type='cnnrnn_mm.LabelPathVisualizer', name=name))
    assert Visualizer.get_current_instance() is visualizer
    visualizer.dataset_meta = dict(classes=NAMES)
    hook = VisualizationHook(enable=True, interval=2, out_dir=str(tmp_path / 'out'))
    paths = [tmp_path / f'{i}.png' for i in range(4)]
    if on_disk:
        for path in paths:
            mmcv.imwrite(photo[..., ::-1], str(path))
    # what the host's pipeline gives: BGR, resized
    inputs = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    inputs[:, 0] = 200
    for batch in range(2):
        samples = [make_sample(img_path=str(path)) for path in paths[2 * batch : 2 * batch + 2]]
        hook.after_test_iter(None, batch, dict(inputs=inputs), samples)
    written = sorted((tmp_path / 'out').iterdir())
    assert [path.name for path in written] == ['0.png_0.png', '2.png_0.png']
    drawn = mmcv.imread(written[0], channel_order='rgb')
    if on_disk:
        np.testing.assert_array_equal(photo_of(drawn, 240, 320), photo)
    else:
        assert (photo_of(drawn, 320, 320) == (200, 0, 0)).all()


def test_reload_photo_can_be_switched_off(tmp_path, photo):
    mmcv.imwrite(photo, str(tmp_path / 'a.png'))
    sample = make_sample(img_path=str(tmp_path / 'a.png'))
    black = np.zeros((320, 320, 3), np.uint8)
    drawn = draw(LabelPathVisualizer(reload_photo=False), black, sample)
    assert (photo_of(drawn, 320, 320) == 0).all()


def test_no_global_figure_is_left_behind(visualizer, photo):
    import matplotlib.pyplot as plt

    draw(visualizer, photo, make_sample())
    assert plt.get_fignums() == []


def test_options(photo):
    few = LabelPathVisualizer(draw_tree=False, num_next_paths=1, max_labels=2)
    most = LabelPathVisualizer(draw_tree=False)
    sample = make_sample(path=range(8), next_paths=[(1,), (2,), (3,)])
    saved = draw(most, photo, sample).shape[0] - draw(few, photo, sample).shape[0]
    assert saved == 5 * LINE + 2 * LINE  # 6 labels less, 1 line to say so; 2 paths less
    large = LabelPathVisualizer(draw_tree=False, font_size=32)
    assert draw(large, photo, sample).shape[1] == 320 + 24 * 32 + 3 * 32
    with pytest.raises(ValueError, match='min_photo 640'):
        LabelPathVisualizer(min_photo=640, max_photo=320)
    with pytest.raises(ValueError, match='may hold only size'):
        draw(most, photo, sample, text_cfg=dict(color='red'))


def test_next_paths_start_after_the_best_and_have_their_own_probability(photo):
    visualizer = LabelPathVisualizer(draw_tree=False, num_next_paths=1)
    photo = np.zeros_like(photo)
    sample = make_sample(gt=(1,), path=(1,), next_paths=((2,), ()))
    drawn = draw(visualizer, photo, sample)
    assert has_colour(drawn, WRONG.colour)
    sample.pred_path_log_probs = torch.tensor([-1.0, -2.0, -9.0])
    np.testing.assert_array_equal(drawn, draw(visualizer, photo, sample))
    sample.pred_path_log_probs = torch.tensor([-1.0, -2.5, -3.0])
    assert (drawn != draw(visualizer, photo, sample)).any()


def test_probability_of_the_path_is_the_exponential(visualizer, photo):
    first, second = make_sample(), make_sample()
    second.pred_path_log_probs = first.pred_path_log_probs + math.log(0.5)
    drawn = draw(visualizer, photo, first)
    assert (drawn != draw(visualizer, photo, second)).any()
    second.pred_path_log_probs = first.pred_path_log_probs + 1e-6  # rounds to the same figures
    np.testing.assert_array_equal(drawn, draw(visualizer, photo, second))


def test_the_tree_stands_below_and_needs_two_paths(photo):
    plain, tree = LabelPathVisualizer(draw_tree=False, num_next_paths=0), LabelPathVisualizer()
    sample = make_sample()
    bare, drawn = draw(plain, photo, sample), draw(tree, photo, sample)
    assert drawn.shape[1] == bare.shape[1] and drawn.shape[0] > bare.shape[0] + 3 * LINE
    upper = bare.shape[0] - MARGIN
    np.testing.assert_array_equal(drawn[:upper], bare[:upper])  # as it is without the tree
    assert has_colour(drawn[upper:], BEST) and not has_colour(bare, BEST)
    single = make_sample(next_paths=())
    np.testing.assert_array_equal(draw(tree, photo, single), draw(plain, photo, single))
    np.testing.assert_array_equal(
        draw(tree, photo, sample, draw_pred=False), draw(plain, photo, sample, draw_pred=False)
    )


@pytest.mark.parametrize(
    'other',
    [
        make_sample(gt=(0, 2)),
        make_sample(gt=None),
        make_sample(next_paths=((1,), (2,))),
        make_sample(next_paths=((1,), (), (1, 2, 3))),
        without(make_sample(), 'pred_path_log_probs'),
    ],
)
def test_different_trees_look_different(photo, other):
    visualizer = LabelPathVisualizer()
    trees = [draw(visualizer, photo, one)[240 + MARGIN * 2 :] for one in (make_sample(), other)]
    assert trees[0].shape != trees[1].shape or (trees[0] != trees[1]).any()


def test_a_tree_without_sound_probabilities_has_no_numbers(photo):
    visualizer, sample = LabelPathVisualizer(), make_sample()
    sample.pred_path_log_probs = torch.tensor([-1.0, float('nan'), -2.0])
    drawn = draw(visualizer, photo, sample)[240 + MARGIN * 2 :]
    bare = draw(visualizer, photo, without(make_sample(), 'pred_path_log_probs'))
    np.testing.assert_array_equal(drawn, bare[240 + MARGIN * 2 :])


def test_paths_beyond_the_most_are_left_out_of_the_tree(photo):
    few, sample = LabelPathVisualizer(num_tree_paths=2), make_sample(next_paths=((3,), (4,), (5,)))
    two = make_sample(next_paths=((3,),))
    np.testing.assert_array_equal(draw(few, photo, sample), draw(few, photo, two))


def test_drawings_can_be_drawn_on(visualizer, photo):
    drawn = draw(visualizer, photo, make_sample())
    visualizer.set_image(visualizer.get_image())
    visualizer.draw_bboxes(np.array([[20, 20, 90, 90]]), edge_colors='r', line_widths=6)
    again = visualizer.get_image()
    assert again.shape == drawn.shape and (again.astype(int) - drawn).max() > 100
