# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
from mmcv.transforms import LoadImageFromFile, RandomChoice, RandomFlip
from mmpretrain.datasets import PackInputs

from cnnrnn_mm.datasets.transforms import LoadImage, OrderLabels
from cnnrnn_mm.datasets.transforms.pipeline_parts import check_pipeline_parts
from cnnrnn_mm.errors import UsageError

INFO = {'img_path': 'a.jpg'}


class MyOwn:
    """Of another package: it may load and pack."""


@pytest.mark.parametrize(
    ('transforms', 'info'),
    [
        ([LoadImage(), OrderLabels(), PackInputs()], INFO),
        ([LoadImageFromFile(), PackInputs()], INFO),
        ([PackInputs()], {'img': 1, 'img_path': 'a.jpg'}),
        ([PackInputs()], {'img': 1}),
        ([RandomChoice([[LoadImage(), RandomFlip(0.5)], [LoadImage()]]), PackInputs()], INFO),
        ([MyOwn()], INFO),
        ([], INFO),
    ],
)
def test_what_passes(transforms, info):
    check_pipeline_parts(transforms, info, 'a')


@pytest.mark.parametrize(
    ('transforms', 'message'),
    [
        ([LoadImage(), OrderLabels()], r'of a \(LoadImage, OrderLabels\) packs .*PackInputs'),
        ([OrderLabels(), PackInputs()], r'of a \(OrderLabels, PackInputs\) loads .*LoadImage'),
        ([RandomChoice([[RandomFlip(0.5)]]), PackInputs()], r'\(RandomFlip, PackInputs\) loads'),
    ],
)
def test_what_is_missing(transforms, message):
    with pytest.raises(UsageError, match=message):
        check_pipeline_parts(transforms, INFO, 'a')
