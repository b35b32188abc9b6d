# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models.proposals import GivenProposals

MAPS = torch.zeros(3, 4, 2, 2)


def sample(*boxes, shape=(50, 100)):
    """Boxes in pixels of an image of height 50 and width 100."""
    made = DataSample(metainfo=dict(img_shape=shape))
    made.set_field(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), 'proposals')
    return made


FIRST = sample([10, 10, 50, 50], [0, 0, 100, 25], [20, 5, 40, 10])
SECOND = sample([0, 25, 10, 50])
NONE = sample()


def test_the_first_ones_in_their_order():
    boxes, valid, log_gates, said = GivenProposals(4, 2)(MAPS, [FIRST, SECOND, NONE])
    assert valid.tolist() == [[True, True], [True, False], [False, False]]
    expected = torch.tensor([[0.1, 0.2, 0.5, 1.0], [0.0, 0.0, 1.0, 0.5], [0.0, 0.5, 0.1, 1.0]])
    torch.testing.assert_close(boxes[valid], expected)
    assert log_gates.shape == (3, 2) and not log_gates.any() and said is None


def test_more_asked_than_exist():
    boxes, valid, _, _ = GivenProposals(4, 50)(MAPS[:2], [FIRST, SECOND])
    assert boxes.shape == (2, 3, 4) and valid.sum(1).tolist() == [3, 1]


def test_no_proposals_at_all():
    boxes, valid, log_gates, _ = GivenProposals(4, 50)(MAPS[:2], [NONE, NONE])
    assert boxes.shape == (2, 0, 4) and valid.shape == log_gates.shape == (2, 0)


def test_without_data_samples_the_model_is_named():
    with pytest.raises(UsageError, match="type='cnnrnn_mm.RegionClassifier'"):
        GivenProposals(4, 2)(MAPS)
