# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import PrecomputedFeatures


def test_features_pass_unchanged():
    backbone = PrecomputedFeatures()
    backbone.init_weights()
    features = torch.rand(2, 5)
    (given,) = backbone(features)
    assert given is features
    assert not backbone.state_dict() and not list(backbone.parameters())


@pytest.mark.parametrize('shape', [(2, 3, 8, 8), (3, 2, 5)], ids=['images', 'normalised features'])
def test_anything_but_vectors_is_refused(shape):
    with pytest.raises(UsageError, match=r'not \(N, F\): use .*cnnrnn_mm\.FeatureDataset'):
        PrecomputedFeatures()(torch.rand(shape))
