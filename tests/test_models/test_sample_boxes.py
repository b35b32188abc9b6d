# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models.sample_boxes import boxes_of


def make_sample(boxes, key='gt_bboxes', **metainfo):
    sample = DataSample()
    sample.set_field(boxes, key)
    for name, value in ({'img_path': 'a.jpg', 'img_shape': (50, 200)} | metainfo).items():
        sample.set_field(value, name, field_type='metainfo')
    return sample


@pytest.mark.parametrize('key', ['gt_bboxes', 'proposals'])
@pytest.mark.parametrize('kind', [np.array, np.float32, torch.tensor, list])
def test_shares_of_width_and_height(key, kind):
    sample = make_sample(kind([[20, 5, 200, 50], [0, 0, 1, 1]]), key, img_shape=(50, 200, 3))
    found = boxes_of(sample, key)
    wanted = torch.tensor([[0.1, 0.1, 1.0, 1.0], [0, 0, 0.005, 0.02]])
    assert found.dtype == torch.float32 and torch.allclose(found, wanted)


def test_no_boxes():
    for boxes in (np.zeros((0, 4), np.float32), [], torch.zeros(0, 4)):
        assert boxes_of(make_sample(boxes), 'gt_bboxes').shape == (0, 4)


@given(
    side=st.integers(1, 2000),
    edges=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
)
def test_what_was_clipped_to_the_image_is_inside(side, edges):
    """Rounding neither takes a box out of [0, 1] nor its area."""
    x1, y1 = np.float32(edges[0] * (side - 0.01)), np.float32(edges[1] * (side - 0.01))
    box = np.float32([[x1, y1, max(x1 + 0.01, edges[2] * side), max(y1 + 0.01, edges[3] * side)]])
    found = boxes_of(make_sample(box.clip(0, side), img_shape=(side, side)), 'gt_bboxes')[0]
    assert 0 <= found[0] < found[2] <= 1 and 0 <= found[1] < found[3] <= 1


def test_rounding_is_cut_off():
    found = boxes_of(make_sample([[-0.001, 0, 200.001, 50]]), 'gt_bboxes')
    assert found.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ('box', 'message'),
    [
        ([10, 10, 10, 20], r'box 1 of gt_bboxes of image a\.jpg \(10, 10, 10, 20\) has no area'),
        ([10, 30, 20, 20], 'has no area'),
        (
            [10, 10, 201, 20],
            r'\(10, 10, 201, 20\) leaves the image of 200 x 50: correct it, and put',
        ),
        ([-1, 10, 20, 20], 'leaves the image of 200 x 50'),
        ([float('nan'), 10, 20, 20], 'leaves the image'),
    ],
)
def test_bad_boxes_are_named(box, message):
    with pytest.raises(UsageError, match=message):
        boxes_of(make_sample(torch.tensor([[0, 0, 1, 1], box])), 'gt_bboxes')


def test_what_is_missing_is_named_with_its_remedy():
    sample = make_sample([[0, 0, 1, 1]], 'boxes')
    fields = r"algorithm_keys=\('gt_bboxes', 'gt_bboxes_labels'\)"
    message = rf'a\.jpg has no gt_bboxes: set boxes=True in the dataset and {fields} in PackInputs'
    with pytest.raises(UsageError, match=message):
        boxes_of(sample, 'gt_bboxes')
    with pytest.raises(
        UsageError, match=r"has no proposals: add dict\(type='cnnrnn_mm.LoadProposals"
    ):
        boxes_of(sample, 'proposals')
    with pytest.raises(UsageError, match=r"no img_shape: add 'img_shape' to meta_keys"):
        boxes_of(make_sample([[0, 0, 1, 1]], img_shape=None), 'gt_bboxes')
    with pytest.raises(UsageError, match=r'have shape \(1, 3\): give \(n, 4\)'):
        boxes_of(make_sample([[0, 0, 1]]), 'gt_bboxes')
