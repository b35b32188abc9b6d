# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import torch

from cnnrnn_mm.models import GlobalMaxPooling


def test_maximum_of_each_channel_and_stage():
    maps = torch.tensor([[[[1.0, 5.0], [-2.0, 0.0]], [[-3.0, -1.0], [-7.0, -4.0]]]])
    first, second = GlobalMaxPooling()((maps, -maps))
    assert first.tolist() == [[5.0, -1.0]]
    assert second.tolist() == [[2.0, 7.0]]
    assert [one.tolist() for one in GlobalMaxPooling()(maps)] == [[[5.0, -1.0]]]
