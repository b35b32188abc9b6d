# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Does a heat map say something about the model? On a small one that has learnt to see.

The scenes have coloured squares of 7 x 7 pixels on 28 x 28, each colour a label. The checks are
those of Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: with random weights and
for other labels the map is another.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from scipy.stats import spearmanr
from torch import nn

from cnnrnn_mm.apis.attention import step_attention
from cnnrnn_mm.apis.attention.pointing import box_share, mass_share, peak_in_box, peak_of
from cnnrnn_mm.apis.trained_model import TrainedModel

pytest.importorskip('captum')

COLOURS = ((230, 40, 40), (40, 220, 40), (60, 60, 240))
SIDE, SQUARE = 28, 7
METHODS = ('grad_cam', 'deconvolution')


class SmallNetwork(nn.Sequential):
    """Three convolutions; a map of 7 x 7."""

    def __init__(self):
        layers = []
        for inputs, outputs, step in ((3, 12, 1), (12, 16, 2), (16, 24, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, step, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers.insert(3, nn.MaxPool2d(2))
        super().__init__(*layers)

    def forward(self, inputs):
        return (super().forward(inputs),)


def draw(labels, rng):
    """A scene and the boxes of its labels; squares keep apart."""
    pixels = rng.integers(60, 110, (SIDE, SIDE, 1)).repeat(3, 2).astype(np.uint8)
    boxes, corners = {}, [(x, y) for x in (1, 18) for y in (1, 18)]
    for label, place in zip(labels, rng.permutation(4), strict=False):
        x, y = np.array(corners[place]) + rng.integers(0, 3, 2)
        pixels[y : y + SQUARE, x : x + SQUARE] = COLOURS[label]
        boxes[label] = (x, y, x + SQUARE, y + SQUARE)
    return pixels, boxes


@pytest.fixture(scope='module')
def trained():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    head = dict(
        type='cnnrnn_mm.CNNRNNHead', num_classes=3, in_channels=24, embed_dims=16, hidden_dims=16,
        recurrent='gru', dropout=0.0,
    )  # fmt: skip
    model = dict(type='ImageClassifier', backbone=SmallNetwork(), head=head)
    model['neck'] = dict(type='GlobalAveragePooling')
    model['data_preprocessor'] = dict(
        type='ClsDataPreprocessor', num_classes=3, mean=[100] * 3, std=[60] * 3, to_rgb=False
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(model).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        images, samples = [], []
        for _ in range(24):
            labels = np.flatnonzero(rng.random(3) < 0.5).tolist()
            pixels, _ = draw(labels, rng)
            images.append(torch.from_numpy(pixels[..., ::-1].transpose(2, 0, 1).copy()))
            samples.append(_sample(labels))
        data = model.data_preprocessor(dict(inputs=images, data_samples=samples), True)
        loss = sum(model(**data, mode='loss').values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3, 'it has not learnt'
    pipeline = [dict(type='cnnrnn_mm.LoadImage'), dict(type='PackInputs')]
    cfg = Config(dict(default_scope='mmpretrain'))
    return TrainedModel(model.eval(), ('red', 'green', 'blue'), pipeline, cfg, 'x.pth')


def _sample(labels):
    return DataSample().set_gt_label(torch.tensor(labels, dtype=torch.long))


@pytest.mark.parametrize('method', METHODS)
def test_of_one_square_the_map_lies_on_it(trained, method):
    rng, hits, shares = np.random.default_rng(1), [], []
    for number in range(12):
        label = number % 3
        pixels, boxes = draw([label], rng)
        found = step_attention(trained, pixels, method=method)
        assert found.labels == [label], 'the model is wrong'
        hits.append(peak_in_box(found.maps[0], boxes[label], tolerance=1))
        shares.append(mass_share(found.maps[0], boxes[label]))
    assert np.mean(hits) >= 0.9
    assert np.mean(shares) >= 4 * box_share((SIDE, SIDE), boxes[label])


@pytest.mark.parametrize('method', METHODS)
def test_of_several_squares_each_label_has_its_own(trained, method):
    rng, own, other = np.random.default_rng(2), [], []
    for _ in range(8):
        pixels, boxes = draw([0, 1, 2], rng)
        found = step_attention(trained, pixels, [0, 1, 2], method)
        for step, heat in enumerate(found.maps):
            own.append(mass_share(heat, boxes[step]))
            other += [mass_share(heat, boxes[one]) for one in boxes if one != step]
    assert np.mean(own) > 3 * np.mean(other)


def similarity(one, two):
    return abs(spearmanr(one.flatten(), two.flatten()).statistic)


@pytest.mark.parametrize('method', METHODS)
def test_with_random_weights_the_map_is_another(trained, method):
    rng, kept, lost = np.random.default_rng(3), [], []
    for seed in range(4):
        torch.manual_seed(seed)
        other = copy.deepcopy(trained.model)
        for part in other.backbone:
            if hasattr(part, 'reset_parameters'):
                part.reset_parameters()
        pixels, _ = draw([0, 1, 2], rng)
        noisy = np.clip(pixels.astype(int) + rng.integers(-3, 4, pixels.shape), 0, 255)
        maps = step_attention(trained, pixels, [0, 1, 2], method).maps
        again = step_attention(trained, noisy.astype(np.uint8), [0, 1, 2], method).maps
        random = step_attention(replace(trained, model=other), pixels, [0, 1, 2], method).maps
        kept += [similarity(*pair) for pair in zip(maps, again, strict=True)]
        lost += [similarity(*pair) for pair in zip(maps, random, strict=True) if pair[1].any()]
    assert len(lost) >= 6
    assert np.mean(kept) > 0.9, kept
    assert np.mean(lost) < 0.7, lost


def test_pointing_by_hand():
    heat = torch.zeros(4, 6)
    assert peak_of(heat) is None
    assert not peak_in_box(heat, (0, 0, 6, 4))
    assert mass_share(heat, (0, 0, 6, 4)) == 0
    heat[2, 4], heat[0, 0] = 3.0, 1.0
    assert peak_of(heat) == (4, 2)
    assert peak_in_box(heat, (4, 2, 5, 3)) and peak_in_box(heat, (0, 0, 6, 4))
    for outside in ((0, 0, 4, 4), (5, 0, 6, 4), (0, 0, 6, 2), (0, 3, 6, 4)):
        assert not peak_in_box(heat, outside)
        assert peak_in_box(heat, outside, tolerance=0.5)  # of the pixel's centre
    assert not peak_in_box(heat, (0, 0, 4, 2), tolerance=0.7)  # the corner is farther than edges
    assert peak_in_box(heat, (0, 0, 4, 2), tolerance=0.71)
    assert mass_share(heat, (4, 2, 5, 3)) == 0.75
    assert mass_share(heat, (0, 0, 3, 3)) == 0.25
    assert box_share((4, 6), (0, 0, 3, 2)) == 0.25
