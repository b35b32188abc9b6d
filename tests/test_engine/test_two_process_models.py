# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Steps of two gloo processes, model by model, are those of one process on the joined batch."""

import pytest
import torch
from process_pair import run_processes

#: Two steps of SGD on four images; each of two processes has two of them.
SCRIPT = """
import os
import mmpretrain.models, torch
from mmengine.model import MMDistributedDataParallel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

rank, size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
if size > 1:
    torch.distributed.init_process_group('gloo')

SMALL = dict(num_classes=5, embed_dims=8, hidden_dims=8, dropout=0.0)
RESNET = dict(
    type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4, norm_eval=True
)
DEIT3 = dict(type='DeiT3', img_size=32, patch_size=16, arch=dict(
    embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32
))
STAGES = [
    dict(num_modules=1, num_branches=number + 1, block='BASIC', num_blocks=(1,) * (number + 1),
         num_channels=(4, 8, 16, 32)[:number + 1])
    for number in range(4)
]
HRNET = dict(type='HRNet', norm_eval=True, extra={
    f'stage{number + 1}': stage for number, stage in enumerate(STAGES)
})
MODELS_ = dict(
    marginal=dict(
        backbone=RESNET, neck=dict(type='GlobalAveragePooling'),
        head=dict(type='cnnrnn_mm.CNNRNNHead', in_channels=32, marginal=dict(), **SMALL),
    ),
    skip=dict(
        backbone=RESNET, neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='cnnrnn_mm.CNNRNNHead', in_channels=32, num_classes=5,
            decoder=dict(type='SkipDecoder', embed_dims=8, hidden_dims=8, dropout=0.0),
            marginal=dict(hidden_dims=8, dropout=0.0),
        ),
    ),
    rlsd=dict(
        backbone=RESNET,
        neck=dict(
            type='cnnrnn_mm.RegionLocalizationNeck', in_channels=32, num_regions=4, sample_size=2,
            proposals=dict(type='GridProposals'),
        ),
        head=dict(type='cnnrnn_mm.RLSDHead', in_channels=32, marginal=dict(), **SMALL),
    ),
    hybrid=dict(
        backbone=RESNET,
        head=dict(
            type='cnnrnn_mm.HybridHead', num_classes=5, in_channels=32,
            path_head=dict(type='CNNRNNHead', embed_dims=8, hidden_dims=8, dropout=0.0),
            label_head=dict(type='CSRAClsHead', num_heads=1, lam=0.5),
        ),
    ),
    deit3=dict(backbone=DEIT3, head=dict(type='cnnrnn_mm.CNNRNNHead', in_channels=16, **SMALL)),
    hrnet=dict(backbone=HRNET, head=dict(type='cnnrnn_mm.CNNRNNHead', in_channels=32, **SMALL)),
)
IDLE = ('deit3', 'hrnet')
LABELS = [[0], [3, 1], [], [2, 4, 0]]


def train(name, **options):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='ImageClassifier', **MODELS_[name]))
    model.train()
    images, samples = torch.randn(4, 3, 32, 32), []
    for labels in LABELS:
        score = torch.zeros(5).index_fill(0, torch.tensor(labels, dtype=torch.long), 1.0)
        sample = DataSample(metainfo=dict(img_shape=(32, 32))).set_gt_label(labels)
        samples.append(sample.set_gt_score(score))
    mine = slice(rank, None, size)
    images, samples = images[mine], samples[mine]
    run = model if size == 1 else MMDistributedDataParallel(
        model, broadcast_buffers=False, device_ids=None, **options
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        loss, _ = model.parse_losses(run(images, samples, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {key: value.detach() for key, value in model.state_dict().items()}


found = {name: train(name, find_unused_parameters=name in IDLE) for name in MODELS_}
torch.save(found, f'weights_{rank}.pth')
if size > 1:
    for name in IDLE:
        try:
            train(name)
        except RuntimeError as error:
            assert 'Expected to have finished reduction' in str(error), error
        else:
            raise AssertionError(f'{name} has no idle parameters')
    torch.distributed.barrier()
"""


@pytest.mark.slow
def test_equals_one_process(tmp_path, monkeypatch):
    """RLSD, marginal branches and hybrids; DeiT3 and HRNet have parameters without a gradient."""
    one, two = tmp_path / 'one', tmp_path / 'two'
    one.mkdir()
    two.mkdir()
    (two / 'script.py').write_text(SCRIPT)
    monkeypatch.chdir(one)
    exec(SCRIPT, {})
    run_processes(two / 'script.py', cwd=two)
    alone = torch.load(one / 'weights_0.pth', weights_only=True)
    assert len(alone) == 6
    for rank in (0, 1):
        joined = torch.load(two / f'weights_{rank}.pth', weights_only=True)
        for name, weights in alone.items():
            assert weights.keys() == joined[name].keys()
            for key, value in weights.items():
                torch.testing.assert_close(
                    joined[name][key], value, atol=1e-5, rtol=1e-4, msg=f'{rank} {name} {key}'
                )
