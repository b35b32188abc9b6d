# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from drawn_samples import LINE, MARGIN, draw, has_colour, make_sample, photo_of
from PIL import Image, ImageDraw

from cnnrnn_mm.visualization import LabelPathVisualizer
from cnnrnn_mm.visualization.label_font import label_font, load_font
from cnnrnn_mm.visualization.label_style import RIGHT, WRONG
from cnnrnn_mm.visualization.numbered_tag import draw_tag, tag_size
from cnnrnn_mm.visualization.region_boxes import _find_place


@pytest.fixture
def visualizer():
    return LabelPathVisualizer(draw_tree=False)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)


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
    font = label_font(12, bold=True)
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
