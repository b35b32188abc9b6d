# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Whole training steps, backbone and all, of two heads on the same backbone.

Axis letters: N images of a batch, C labels, F channels, S side of the image in pixels.
"""

import contextlib
from collections.abc import Iterator
from statistics import median
from types import SimpleNamespace

import numpy as np
import torch
from measuring import Case, peak_bytes, time_side_by_side
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from cnnrnn_mm.engine.hooks import NonFiniteLossHook

__all__ = ['BACKBONES', 'PRECISIONS', 'make_batch', 'measure_pair']

#: Config and channels F of what each gives; random weights, which take as long as trained ones.
BACKBONES = {
    'vgg16': (dict(type='VGG', depth=16), 512),
    'mobilenetv2': (dict(type='MobileNetV2'), 1280),
    'resnet50': (dict(type='ResNet', depth=50), 2048),
    'swin_t': (dict(type='SwinTransformer', arch='tiny', drop_path_rate=0.2), 768),
}
PRECISIONS = ('fp32', 'tf32', 'bf16')
LINEAR, OURS, HOOKED = 'linear', 'cnnrnn', 'hooked'
MIB = 2**20
#: Draws of the rounds for the interval of the ratio.
RESAMPLES = 2000


def measure_pair(
    name: str,
    image_size: int,
    precision: str,
    batch_size: int,
    num_labels: int,
    repeats: int,
    device: torch.device,
    seed: int = 0,
    backbones: dict = BACKBONES,
    hook: bool = False,
) -> dict:
    """Time and memory of a step with ``CNNRNNHead`` and with ``MultiLabelLinearClsHead``.

    A step is what the host's training loop does with a batch: normalisation, forward, loss,
    backward and the optimiser's step (SGD with momentum). Both are timed once in each round, and
    with ``hook`` a third, ``CNNRNNHead`` watched by ``NonFiniteLossHook``.

    Returns:
        Milliseconds, MiB and images a second of each, and the median of the rounds' ratios with
        its 95 % bootstrap interval; ``hook_ratio`` likewise, beside ``CNNRNNHead`` without it.
    """
    data = make_batch(batch_size, image_size, num_labels, device, seed)
    backbone, channels = backbones[name]
    steps = {}
    for case in (LINEAR, OURS, HOOKED)[: 3 if hook else 2]:
        torch.manual_seed(seed)
        steps[case] = _make_step(backbone, channels, case, num_labels, precision, data, device)
    with _matmul_precision(precision):
        memory = {}
        for head, step in steps.items():
            step()  # not measured: the first call is slow, and makes the optimiser's state
            memory[head] = peak_bytes(step, device) / MIB
        cases = {head: Case(step, scale=1e3, repeats=repeats) for head, step in steps.items()}
        time_side_by_side(list(cases.values()), device)
    seconds = {head: np.array(case.seconds) for head, case in cases.items()}
    ratio, low, high = _ratio(seconds[OURS] / seconds[LINEAR], seed)
    row = dict(
        backbone=name,
        image_size=image_size,
        precision=precision,
        batch_size=batch_size,
        num_labels=num_labels,
        repeats=repeats,
        ratio=ratio,
        ratio_low=low,
        ratio_high=high,
        memory_ratio=memory[OURS] / memory[LINEAR],
    )
    if hook:
        names = ('hook_ratio', 'hook_ratio_low', 'hook_ratio_high')
        row.update(zip(names, _ratio(seconds[HOOKED] / seconds[OURS], seed), strict=True))
    for head, case in cases.items():
        row[f'{head}_ms'] = median(case.seconds)
        row[f'{head}_mib'] = memory[head]
        row[f'{head}_images_per_second'] = 1e3 * batch_size / median(case.seconds)
    return row


def make_batch(
    batch_size: int, image_size: int, num_labels: int, device: torch.device, seed: int
) -> dict:
    """N random images, each with one to six labels, as a data loader would give them."""
    draw = np.random.default_rng(seed)
    shape = (batch_size, 3, image_size, image_size)
    images = torch.from_numpy(draw.integers(0, 256, shape, dtype=np.uint8)).to(device)
    samples = []
    for _ in range(batch_size):
        count = min(int(draw.integers(1, 7)), num_labels)
        labels = torch.from_numpy(draw.choice(num_labels, count, replace=False))
        samples.append(DataSample().set_gt_label(labels.sort().values))
    return dict(inputs=images, data_samples=samples)


def _make_step(backbone, channels, case, num_labels, precision, data, device):
    """A call that makes one step."""
    ours = dict(type='cnnrnn_mm.CNNRNNHead', embed_dims=512, hidden_dims=512)
    head = dict(type='MultiLabelLinearClsHead') if case == LINEAR else ours
    cfg = dict(
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(head, num_classes=num_labels, in_channels=channels),
        data_preprocessor=dict(type='ClsDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg).to(device).train()
        optimizer = build_optim_wrapper(
            model, dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-3, momentum=0.9))
        )

    def step() -> None:
        before()
        batch = model.data_preprocessor(data, training=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bf16'):
            losses = model(**batch, mode='loss')
        optimizer.update_params(model.parse_losses(losses)[0])
        after()

    before, after = _watch(model, optimizer, data) if case == HOOKED else (_nothing, _nothing)
    return step


def _watch(model, optimizer, data):
    """What ``NonFiniteLossHook`` does before and after a step."""
    hook, runner = NonFiniteLossHook(), SimpleNamespace(model=model, optim_wrapper=optimizer)
    hook.before_train(runner)
    return (
        lambda: hook.before_train_iter(runner, 0, data),
        lambda: hook.after_train_iter(runner, 0, data),
    )


def _nothing() -> None:
    pass


@contextlib.contextmanager
def _matmul_precision(precision: str) -> Iterator[None]:
    """Let CUDA's matrix products and convolutions use TF32, or keep them from it."""
    flags = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = precision != 'fp32'
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def _ratio(ratios: np.ndarray, seed: int) -> tuple[float, float, float]:
    """The median and its 95 % bootstrap interval."""
    rows = np.random.default_rng(seed).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    medians = np.median(ratios[rows], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)
