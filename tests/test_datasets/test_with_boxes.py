# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Each box is a rectangle of its own colour: where the colour is, there the box must be."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import Compose
from mmpretrain.registry import TRANSFORMS

from cnnrnn_mm.datasets import WithBoxes
from cnnrnn_mm.errors import UsageError

#: Far apart, so that no mixture of two at a border looks like a third.
COLOURS = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0], [255, 255, 0]], dtype=np.uint8)
GREY = 100
MOVES = {
    'RandomCrop': dict(type='RandomCrop', crop_size=(24, 30)),
    'padded': dict(type='RandomCrop', crop_size=(40, 36), padding=4),
    'padded unevenly': dict(type='RandomCrop', crop_size=(34, 45), padding=(1, 5, 7, 2)),
    'padded in pairs': dict(type='RandomCrop', crop_size=(40, 36), padding=(3, 6)),
    'padded where needed': dict(type='RandomCrop', crop_size=(61, 64), pad_if_needed=True),
    'padded twice': dict(type='RandomCrop', crop_size=(61, 64), padding=(2, 0), pad_if_needed=True),
    'flip': dict(type='RandomFlip', prob=0.5),
    'flips': dict(
        type='RandomFlip', prob=[0.3, 0.3, 0.3], direction=['horizontal', 'vertical', 'diagonal']
    ),
    'CenterCrop': dict(type='CenterCrop', crop_size=(30, 23)),
    'padded CenterCrop': dict(type='CenterCrop', crop_size=(70, 33), auto_pad=True),
    'Pad': dict(type='Pad', size_divisor=32),
}
#: All take the nearest pixel, so that no colours are mixed and a box stays sharp.
RESIZES = {
    name: dict(config, interpolation='nearest')
    for name, config in {
        'Resize': dict(type='Resize', scale=(57, 44)),
        'Resize, same ratio': dict(type='Resize', scale=(80, 60), keep_ratio=True),
        'Resize by factors': dict(type='Resize', scale_factor=(0.75, 1.5)),
        'RandomChoiceResize': dict(type='RandomChoiceResize', scales=[(40, 50), (60, 32)]),
        'RandomResizedCrop': dict(type='RandomResizedCrop', scale=48, crop_ratio_range=(0.3, 1.0)),
        'EfficientNetRandomCrop': dict(type='EfficientNetRandomCrop', scale=50, min_covered=0.4),
        'its fallback': dict(type='EfficientNetRandomCrop', scale=90, max_attempts=0),
        'ResizeEdge': dict(type='ResizeEdge', scale=40),
        'ResizeEdge, long': dict(type='ResizeEdge', scale=61, edge='long'),
    }.items()
}


@pytest.fixture(autouse=True)
def _scope(default_scope):
    default_scope('mmpretrain')


def paint(size, boxes):
    """An image (H, W, 3) with a rectangle for each box of whole pixels."""
    image = np.full((*size, 3), GREY, dtype=np.uint8)
    for (x1, y1, x2, y2), colour in zip(boxes, COLOURS, strict=False):
        image[y1:y2, x1:x2] = colour
    return image


def find(image, colour):
    """The box around the pixels that are nearer to a colour than to grey; None for none."""
    apart = np.abs(image.astype(int) - colour.astype(int)).max(-1)
    ys, xs = np.nonzero(apart < (255 - GREY) / 2)
    if not len(xs):
        return None
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def results_of(image, boxes, **keys):
    size = image.shape[:2]
    return dict(
        img=image.copy(),
        img_shape=size,
        ori_shape=size,
        gt_bboxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        gt_bboxes_labels=np.arange(len(boxes)),
        **keys,
    )


@st.composite
def scenes(draw):
    """Size of an image, and up to four boxes in it that do not overlap: one in each quarter."""
    height, width = draw(st.integers(34, 70)), draw(st.integers(34, 70))
    boxes = []
    for row in (0, 1):
        for column in (0, 1):
            if draw(st.booleans()):
                left, top = column * (width // 2), row * (height // 2)
                x1 = draw(st.integers(left, left + width // 2 - 2))
                y1 = draw(st.integers(top, top + height // 2 - 2))
                x2 = draw(st.integers(x1 + 1, left + width // 2))
                y2 = draw(st.integers(y1 + 1, top + height // 2))
                boxes.append((x1, y1, x2, y2))
    return (height, width), boxes


def check_scene(scene, configs, seed, tolerance):
    """The image is the one without boxes, and each box is where its colour is."""
    size, boxes = scene
    image = paint(size, boxes)
    with_boxes = WithBoxes(configs)
    np.random.seed(seed)
    moved = with_boxes(
        results_of(image, boxes, proposals=np.array(boxes, dtype=np.float64).reshape(-1, 4)[::-1])
    )
    after = np.random.random()
    np.random.seed(seed)
    wanted = Compose(configs)(dict(img=image.copy(), img_shape=size, ori_shape=size))
    assert after == np.random.random()  # not one draw more
    assert np.array_equal(moved['img'], wanted['img'])
    assert moved['img_shape'][:2] == wanted['img'].shape[:2]
    labels = moved['gt_bboxes_labels'].tolist()
    found = dict(zip(labels, moved['gt_bboxes'], strict=True))
    height, width = moved['img'].shape[:2]
    for box in found.values():
        assert (box[:2] >= 0).all() and box[2] <= width and box[3] <= height
        assert (box[2:] > box[:2]).all()
    for label, colour in enumerate(COLOURS[: len(boxes)]):
        place = find(moved['img'], colour)
        if place is not None:
            assert np.abs(found[label] - place).max() <= tolerance
        elif label in found:  # it was blurred away
            assert tolerance and (found[label][2:] - found[label][:2]).min() <= 1
    assert np.array_equal(moved['proposals'], moved['gt_bboxes'][::-1])
    assert moved['gt_bboxes'].dtype == moved['proposals'].dtype == np.float32
    return moved


@pytest.mark.parametrize('name', MOVES)
@settings(max_examples=15)
@given(scene=scenes(), seed=st.integers(0, 2**32 - 1))
def test_boxes_are_where_their_pixels_went(name, scene, seed):
    check_scene(scene, [MOVES[name]], seed, 0)


@pytest.mark.parametrize('name', RESIZES)
@settings(max_examples=15)
@given(scene=scenes(), seed=st.integers(0, 2**32 - 1))
def test_boxes_of_resized_images_to_a_pixel(name, scene, seed):
    check_scene(scene, [RESIZES[name]], seed, 1.01)


@settings(max_examples=40)
@given(
    scene=scenes(),
    names=st.lists(st.sampled_from(sorted(MOVES)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_chains_of_transforms(scene, names, seed):
    check_scene(scene, [MOVES[name] for name in names], seed, 0)


def test_what_a_crop_leaves_of_boxes():
    """An image of 6 x 4 cropped to its inner 4 x 2, by hand."""
    boxes = [(0, 0, 1, 4), (0, 0, 3, 2), (1, 1, 5, 3), (5, 0, 6, 4), (0, 0, 6, 4)]
    results = results_of(
        np.zeros((4, 6, 3), np.uint8), boxes, proposals=[[0, 0, 6, 1], [4, 2, 6, 3]]
    )
    found = WithBoxes(dict(type='CenterCrop', crop_size=(4, 2)))(results)
    assert found['gt_bboxes'].tolist() == [[0, 0, 2, 1], [0, 0, 4, 2], [0, 0, 4, 2]]
    assert found['gt_bboxes_labels'].tolist() == [1, 2, 4]
    assert found['proposals'].tolist() == [[3, 1, 4, 2]]


def test_one_transform_alone_moves_no_boxes():
    """Why WithBoxes is needed; the day the host moves them, this fails."""
    boxes = [(2, 3, 9, 8)]
    for name in ('RandomCrop', 'RandomResizedCrop', 'ResizeEdge'):
        config = {**MOVES, **RESIZES}[name]
        found = TRANSFORMS.build(config)(results_of(paint((50, 60), boxes), boxes))
        assert found['gt_bboxes'].tolist() == [[2, 3, 9, 8]]
    for config in (MOVES['flip'] | dict(prob=1.0), RESIZES['Resize'], MOVES['CenterCrop']):
        results = results_of(paint((50, 60), boxes), boxes, proposals=np.array(boxes))
        found = TRANSFORMS.build(config)(results)
        assert found['gt_bboxes'].tolist() != [[2, 3, 9, 8]]
        assert found['proposals'].tolist() == [[2, 3, 9, 8]]


@pytest.mark.parametrize('keys', [(), ('proposals',), ('gt_bboxes',)])
def test_keys_that_are_not_there(keys):
    boxes = np.array([[1, 2, 3, 4]], dtype=np.float32)
    results = dict(img=np.zeros((8, 8, 3), np.uint8), **dict.fromkeys(keys, boxes))
    found = WithBoxes(dict(type='RandomFlip', prob=1.0))(results)
    assert [key for key in ('gt_bboxes', 'proposals') if key in found] == sorted(keys)
    for key in keys:
        assert found[key].tolist() == [[5, 2, 7, 4]]


def test_no_boxes_and_lists_of_boxes():
    for boxes, left in (([], []), (np.zeros((0, 4)), []), ([[0, 0, 2, 2]], [[0, 0, 4, 4]])):
        results = dict(img=np.zeros((8, 8, 3), np.uint8), gt_bboxes=boxes)
        results['gt_bboxes_labels'] = np.zeros(len(boxes), np.int64)
        found = WithBoxes([RESIZES['ResizeEdge'] | dict(scale=16)])(results)
        assert found['gt_bboxes'].tolist() == left and found['gt_bboxes'].shape == (len(left), 4)
        assert len(found['gt_bboxes_labels']) == len(left)


def test_it_can_be_copied_and_pickled_after_use():
    transform = WithBoxes([MOVES['RandomCrop'], RESIZES['RandomResizedCrop']])
    boxes = [(4, 5, 20, 30)]
    results = results_of(paint((50, 60), boxes), boxes)
    transform(copy.deepcopy(results))
    for again in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        found = []
        for one in (transform, again):
            np.random.seed(3)
            found.append(one(copy.deepcopy(results))['gt_bboxes'])
        assert np.array_equal(*found)


def test_transforms_it_can_not_follow():
    with pytest.raises(
        UsageError, match='can not follow Rotate: put it outside if .* RandomCrop, R'
    ):
        WithBoxes([dict(type='Rotate', angle=10.0)])
