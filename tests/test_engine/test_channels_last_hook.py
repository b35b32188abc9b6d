# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from types import SimpleNamespace

import torch
from torch import nn

from cnnrnn_mm.engine import ChannelsLastHook


def test_layout_changes_and_the_numbers_do_not():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3))
    images = torch.rand(2, 3, 9, 9)
    before = model(images)
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
    after = model(images)
    assert after.is_contiguous(memory_format=torch.channels_last)
    assert not before.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(after, before)
