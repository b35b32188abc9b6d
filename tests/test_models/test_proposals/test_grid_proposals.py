# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models.proposals import GridProposals


def test_windows_by_hand():
    boxes, valid, log_gates, said = GridProposals(4, 50)(torch.zeros(2, 4, 3, 5))
    assert boxes.shape == (2, 13, 4) and valid.shape == log_gates.shape == (2, 13)
    assert valid.all() and not log_gates.any() and said is None
    third = pytest.approx([1 / 3, 0, 1, 2 / 3])
    assert boxes[0, 1].tolist() == third  # to the right of the first, in the first row
    assert boxes[0, 2].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert boxes[1, 4].tolist() == pytest.approx([0, 0, 0.5, 0.5])
    assert boxes[1, 8].tolist() == pytest.approx([0.25, 0.25, 0.75, 0.75])
    assert boxes[1, 12].tolist() == pytest.approx([0.5, 0.5, 1, 1])


@pytest.mark.parametrize('level', [2, 3, 6])
def test_windows_overlap_by_half_and_cover_the_image(level):
    boxes = GridProposals(4, 50, levels=(level,))(torch.zeros(1, 4, 1, 1))[0][0]
    boxes = boxes.view(level, level, 4)
    side = boxes[..., 2] - boxes[..., 0]
    torch.testing.assert_close(side, torch.full_like(side, 2 / (level + 1)))
    torch.testing.assert_close(side, boxes[..., 3] - boxes[..., 1])
    overlap = boxes[:, :-1, 2] - boxes[:, 1:, 0]
    torch.testing.assert_close(overlap, side[:, 1:] / 2)
    assert boxes.amin((0, 1)).tolist()[:2] == [0, 0]
    assert boxes.amax((0, 1)).tolist()[2:] == pytest.approx([1, 1])


def test_fewer_regions_than_windows():
    boxes, valid, _, _ = GridProposals(4, 5)(torch.zeros(1, 4, 2, 2))
    assert torch.equal(boxes, GridProposals(4, 50)(torch.zeros(1, 4, 2, 2))[0][:, :5])
    assert valid.tolist() == [[True] * 5]
    assert GridProposals(4, 0)(torch.zeros(3, 4, 2, 2))[0].shape == (3, 0, 4)


def test_the_whole_image_is_no_level():
    with pytest.raises(UsageError, match='levels has 1: set each level to 2 or more'):
        GridProposals(4, 5, levels=(1, 2))
    assert GridProposals(4, 5).state_dict() == {}  # windows follow from the config
