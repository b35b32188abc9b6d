# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import math

import mmcv
import numpy as np
import pytest
import torch
from mmengine.visualization import Visualizer
from mmpretrain.engine import VisualizationHook
from mmpretrain.models import MultiLabelLinearClsHead
from mmpretrain.structures import DataSample
from PIL import Image, ImageDraw

from cnnrnn_mm.registry import VISUALIZERS
from cnnrnn_mm.visualization import LabelPathVisualizer
from cnnrnn_mm.visualization.label_panel import (
    MISSED,
    PLAIN,
    RIGHT,
    WRONG,
    LabelPanel,
    elide,
    load_font,
)
from cnnrnn_mm.visualization.numbered_tag import draw_tag, tag_size
from cnnrnn_mm.visualization.region_boxes import _find_place

NAMES = [f'class {i}' for i in range(40)]
MARGIN = 16
LINE = 26


@pytest.fixture
def visualizer():
    return LabelPathVisualizer()


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def make_sample(gt=(0, 1), path=(1, 2), next_paths=((1,), ()), steps=None, **meta):
    """A sample as the postprocessor writes it; every step is 0.5 probable, unless given."""
    sample = DataSample(metainfo=meta).set_pred_label(torch.tensor(path, dtype=torch.long))
    if gt is not None:
        sample.set_gt_label(torch.tensor(gt, dtype=torch.long))
    sample.set_pred_score(torch.linspace(0, 1, len(NAMES)))
    paths = [list(path), *map(list, next_paths)]
    steps = torch.full((len(path) + 1,), 0.5) if steps is None else torch.tensor(steps)
    sample.set_field(paths, 'pred_paths')
    sample.set_field(steps.log(), 'pred_step_log_probs')
    sample.set_field(-torch.arange(1.0, len(paths) + 1), 'pred_path_log_probs')
    return sample


def draw(visualizer, photo, sample, **options):
    drawn = visualizer.visualize_cls(photo, sample, classes=NAMES, **options)
    assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3
    return drawn


def photo_of(drawn, height, width):
    return drawn[MARGIN : MARGIN + height, MARGIN : MARGIN + width]


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
    assert drawn.shape[0] == 720 + 2 * MARGIN


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


def has_colour(drawn, colour):
    return (drawn == tuple(bytes.fromhex(colour[1:]))).all(2).any()


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
    few = LabelPathVisualizer(num_next_paths=1, max_labels=2)
    most = LabelPathVisualizer()
    sample = make_sample(path=range(8), next_paths=[(1,), (2,), (3,)])
    saved = draw(most, photo, sample).shape[0] - draw(few, photo, sample).shape[0]
    assert saved == 5 * LINE + 2 * LINE  # 6 labels less, 1 line to say so; 2 paths less
    large = LabelPathVisualizer(font_size=32)
    assert draw(large, photo, sample).shape[1] == 320 + 24 * 32 + 3 * 32
    with pytest.raises(ValueError, match='min_photo 640'):
        LabelPathVisualizer(min_photo=640, max_photo=320)
    with pytest.raises(ValueError, match='may hold only size'):
        draw(most, photo, sample, text_cfg=dict(color='red'))


def test_next_paths_start_after_the_best_and_have_their_own_probability(photo):
    visualizer = LabelPathVisualizer(num_next_paths=1)
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


# Regions.
WHOLE = [0.0, 0.0, 1.0, 1.0]


def with_regions(*boxes, gt=(1,), path=None, **options):
    """The labels 1, 2, ... have these regions, of which the first is right."""
    path = range(1, len(boxes) + 1) if path is None else path
    sample = make_sample(gt=gt, path=path, next_paths=(), **options)
    sample.set_field(torch.tensor(boxes).float().view(-1, 4), 'pred_label_regions')
    return sample


def colours_at(photo, places):
    """Hexadecimal colours of pixels (x, y)."""
    return ['#' + bytes(photo[y, x]).hex() for x, y in places]


@pytest.mark.parametrize(
    ('shape', 'drawn_as'),
    [((200, 400), (200, 400)), ((50, 50), (350, 350)), ((3000, 1500), (640, 320))],
    ids=['as it is', 'magnified', 'shrunk'],
)
def test_a_region_is_a_box_on_the_photo(visualizer, shape, drawn_as):
    """A line of two pixels in the label's colour between white rims, edge by edge."""
    height, width = drawn_as
    sample = with_regions([0.25, 0.3, 0.75, 0.9], [0.5, 0.5, 0.55, 0.6])
    drawn = draw(visualizer, np.zeros((*shape, 3), np.uint8), sample)
    photo = photo_of(drawn, height, width)
    left, top, right, bottom = (
        round(width * 0.25), round(height * 0.3), round(width * 0.75), round(height * 0.9),
    )  # fmt: skip
    line = ['#000000', '#ffffff', RIGHT.colour, RIGHT.colour, '#ffffff', '#000000']
    x, y = round(width * 0.4), round(height * 0.8)  # away from tags and from the other box
    assert colours_at(photo, [(left + i, y) for i in range(-1, 5)]) == line
    assert colours_at(photo, [(right - 1 - i, y) for i in range(-1, 5)]) == line
    assert colours_at(photo, [(x, top + i) for i in range(-1, 5)]) == line
    assert colours_at(photo, [(x, bottom - 1 - i) for i in range(-1, 5)]) == line
    assert has_colour(photo[height // 2 :], WRONG.colour)  # the second label is wrong
    assert not photo[bottom:].any() and not photo[:, right:].any() and not photo[:, :left].any()


def test_regions_can_be_left_out(photo):
    sample, bare = with_regions([0.2, 0.2, 0.6, 0.6], WHOLE), make_sample(gt=(1,), next_paths=())
    plain = draw(LabelPathVisualizer(), photo, bare)
    assert (photo_of(draw(LabelPathVisualizer(), photo, sample), 240, 320) != photo).any()
    off = LabelPathVisualizer(draw_regions=False)
    np.testing.assert_array_equal(draw(off, photo, sample), plain)
    without_labels = draw(LabelPathVisualizer(), photo, sample, draw_pred=False)
    np.testing.assert_array_equal(photo_of(without_labels, 240, 320), photo)


def test_the_whole_image_has_no_box_and_the_panel_says_so(visualizer, photo):
    whole, bare = with_regions(WHOLE, WHOLE), make_sample(gt=(1,), next_paths=())
    drawn, plain = draw(visualizer, photo, whole), draw(visualizer, photo, bare)
    np.testing.assert_array_equal(photo_of(drawn, 240, 320), photo)
    assert drawn.shape == plain.shape
    rows = np.flatnonzero((drawn != plain).any((1, 2)))
    assert len(rows) and rows.max() - rows.min() < 2 * LINE  # only the two lines of the path
    changed = np.flatnonzero((drawn != plain).any((0, 2)))
    name = MARGIN * 2 + 320 + round(3.1 * 16) + load_font(16).getlength('class 1')
    room = load_font(12, bold=True).getlength('whole image')
    assert changed.min() >= name and changed.max() - changed.min() <= room + 2
    # A long name does not lose it.
    names = ['very ' * 20] * 40
    drawn, plain = (visualizer.visualize_cls(photo, one, classes=names) for one in (whole, bare))
    assert (drawn != plain).any()


def test_an_empty_prediction_has_no_region(visualizer, photo):
    drawn = draw(visualizer, photo, with_regions(path=()))
    bare = make_sample(gt=(1,), path=(), next_paths=())
    np.testing.assert_array_equal(drawn, draw(visualizer, photo, bare))


def test_labels_of_one_region_share_a_box_and_keep_their_colours(visualizer):
    black = np.zeros((320, 320, 3), np.uint8)
    box = [0.25, 0.25, 0.75, 0.75]
    photo = photo_of(draw(visualizer, black, with_regions(box, box, box, gt=(1, 3))), 320, 320)
    right, wrong, rim = [RIGHT.colour] * 2, [WRONG.colour] * 2, ['#ffffff']
    assert colours_at(photo, [(80 + i, 200) for i in range(8)]) == [
        *rim, *right, *rim, *wrong, *rim, '#000000',
    ]  # fmt: skip
    # Three tags beside each other above the left corner, in the order of the path.
    ground = [colours_at(photo, [(80 + 17 * i + 2, 66)])[0] for i in range(3)]
    assert ground == [RIGHT.colour, WRONG.colour, RIGHT.colour]


def test_the_number_beside_the_label_is_the_tag_on_the_photo(visualizer):
    """In the label's colour, on the photo and in its line, whatever the order of the lines."""
    black = np.zeros((320, 320, 3), np.uint8)
    sample = with_regions([0.1, 0.3, 0.4, 0.6], [0.6, 0.3, 0.9, 0.6])
    font = load_font(12, bold=True)
    width, height = tag_size('1', font)

    def tag(number, colour):
        image = Image.new('RGB', (width, height))
        draw_tag(ImageDraw.Draw(image), (0, 0), number, colour, font)
        return np.asarray(image)

    host = with_regions([0.1, 0.3, 0.4, 0.6], [0.6, 0.3, 0.9, 0.6])
    del host.pred_paths  # its labels are sorted by score: 2 comes first
    for one, order in ((sample, ('1', '2')), (host, ('2', '1'))):
        drawn = draw(visualizer, black, one)
        panel, tops = drawn[:, MARGIN + 320 :], {}
        for number, colour, left in (('1', RIGHT.colour, 32), ('2', WRONG.colour, 192)):
            pattern = tag(number, colour)
            photo = photo_of(drawn, 320, 320)
            np.testing.assert_array_equal(photo[96 - height : 96, left : left + width], pattern)
            (tops[number],) = (
                y
                for y in range(len(panel) - height)
                for x in range(4 * MARGIN)
                if (panel[y : y + height, x : x + width] == pattern).all()
            )
        assert tuple(sorted(tops, key=tops.get)) == order


def places_of_tags(boxes, size, photo):
    taken = []
    for box in boxes:
        left, top = _find_place(box, size, photo, taken)
        taken.append((left, top, left + size[0], top + size[1]))
    return taken


@pytest.mark.parametrize('shape', [(320, 320), (640, 213)])
def test_tags_stay_on_the_photo_and_apart(shape):
    """Six regions, equal or alike or at the edges."""
    rng, (width, height), size = np.random.default_rng(0), shape, (17, 17)
    for spread in (0, 3, 60):
        for corner in ((0, 0), (width - 70, height - 70), (width // 2, 5), (3, height // 2)):
            boxes = [
                tuple(
                    int(np.clip(edge + rng.integers(-spread, spread + 1), 0, most))
                    for edge, most in zip(
                        (*corner, corner[0] + 66, corner[1] + 66), shape * 2, strict=True
                    )
                )
                for _ in range(6)
            ]
            boxes = [
                (min(a, c - 1), min(b, d - 1), c, d) for a, b, c, d in boxes if c > 0 and d > 0
            ]
            taken = places_of_tags(boxes, size, shape)
            for number, (left, top, right, bottom) in enumerate(taken):
                assert left >= 0 and right <= width and top >= 0 and bottom <= height
                for other in taken[:number]:
                    across = min(right, other[2]) - max(left, other[0])
                    down = min(bottom, other[3]) - max(top, other[1])
                    assert across <= 0 or down <= 0


def test_tags_stand_above_their_box_and_do_not_hide_a_small_one():
    assert _find_place((50, 60, 200, 200), (17, 17), (320, 320), []) == (50, 43)
    assert _find_place((50, 0, 200, 200), (17, 17), (320, 320), []) == (50, 0)
    assert _find_place((0, 0, 6, 6), (17, 17), (320, 320), []) == (0, 6)
    assert _find_place((310, 310, 320, 320), (17, 17), (320, 320), []) == (303, 293)


@pytest.mark.parametrize('size', [8, 16, 40])
@pytest.mark.parametrize('shape', [(1, 1), (50, 50), (3, 400), (700, 900)])
def test_regions_of_no_or_odd_size(visualizer, shape, size):
    boxes = [[0, 0, 0, 0], [1, 1, 1, 1], [-0.1, 0.5, 1.2, 0.5001], [0.999, 0, 1, 1], WHOLE]
    sample, photo = with_regions(*boxes), np.zeros((*shape, 3), np.uint8)
    drawn = draw(visualizer, photo, sample, text_cfg=dict(size=size))
    bare = draw(visualizer, photo, make_sample(path=range(1, 6)), text_cfg=dict(size=size))
    assert (drawn[:size] == 255).all() and (drawn[:, :size] == 255).all()
    assert bare.shape[1] <= drawn.shape[1]


def test_regions_beyond_the_labels_that_are_drawn():
    black, boxes = np.zeros((320, 320, 3), np.uint8), [[0.1, 0.1, 0.2, 0.2], [0.6, 0.6, 0.8, 0.8]]
    drawn = draw(LabelPathVisualizer(max_labels=1), black, with_regions(*boxes))
    photo = photo_of(drawn, 320, 320)
    assert photo[:160, :160].any() and not photo[160:].any()


def test_not_one_region_for_each_label(visualizer, photo):
    sample = with_regions(WHOLE, path=(1, 2))
    message = r'pred_label_regions have shape \(1, 4\) for 2 predicted labels: .*draw_regions=False'
    with pytest.raises(ValueError, match=message):
        draw(visualizer, photo, sample)
