# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""``tools/test.py --tta`` with PathTTA."""

import mmengine
import pytest
import torch
from forked_tool import ForkedTool, run_forked
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from tiny_run import ROOT, TRAIN, VAL, load_config

from cnnrnn_mm.models import PathTTA

TOOL = ROOT / 'tools' / 'test.py'
VIEWS = """
tta_model = dict(type='cnnrnn_mm.PathTTA')
tta_pipeline = [*pipeline, dict(type='TestTimeAug', transforms=[
    [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
    [dict(type='PackInputs')],
])]
custom_hooks = [dict(type='EMAHook', momentum=0.01)]
model['head'].update(marginal=dict(), postprocessor=dict(constraints=dict(order='training')))
"""
SAME = "tta_pipeline[1]['transforms'][0][1]['prob'] = 0.0\n"


@pytest.fixture(scope='module')
def run(tmp_path_factory, voc_folder):
    """``run(extra)``: the config with views, and a checkpoint of random weights."""
    folder = tmp_path_factory.mktemp('tta')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    cfg = load_config(root, folder, VIEWS)
    init_default_scope('mmpretrain')
    torch.manual_seed(1)
    model = MODELS.build(cfg.model)
    for weight in model.head.parameters():
        torch.nn.init.normal_(weight, std=0.7)
    weights, checkpoint = model.state_dict(), folder / 'weights.pth'
    order = {'': {'order': 'given', 'sequence': [2, 3, 0, 1]}}
    meta = dict(label_order=order, dataset_meta=dict(classes=list(cfg.data.metainfo.classes)))
    last = {f'module.{name}': value for name, value in weights.items()}
    last |= {f'module.{name}': torch.rand_like(one) for name, one in model.named_parameters()}
    last = {
        **last,
        'steps': torch.tensor(7),
    }  # those of the last step; it is the average that counts
    torch.save(dict(state_dict=weights, ema_state_dict=last, meta=meta), checkpoint)

    def make(name, extra=''):
        made = folder / name
        made.mkdir()
        load_config(root, made, VIEWS + extra)
        return made / 'tiny.py', checkpoint

    return make


def test_tool(run, tmp_path):
    """With equal views as without views; with others as the model in this process answers."""
    config, checkpoint = run('flip')
    same, _ = run('same', SAME)
    jobs = {
        name: ForkedTool(TOOL, path, checkpoint, *words, '--out', tmp_path / f'{name}.pkl')
        for name, path, words in (
            ('plain', config, []), ('same', same, ['--tta']), ('flip', config, ['--tta']),
        )
    }  # fmt: skip
    found = {}
    for name, job in jobs.items():
        done = job.finish()
        assert done.returncode == 0, done.stderr[-3000:]
        assert 'multi-label/mAP' in done.stdout + done.stderr
        found[name] = mmengine.load(tmp_path / f'{name}.pkl')
    for plain, equal, flipped in zip(*found.values(), strict=True):
        flips = {'flip', 'flip_direction'}  # of RandomFlip
        assert plain.keys() | flips == equal.keys() == flipped.keys()
        assert plain['img_path'] == equal['img_path'] and plain['pred_paths'] == equal['pred_paths']
        torch.testing.assert_close(plain['pred_score'], equal['pred_score'], atol=1e-5, rtol=0)
        assert flipped['gt_label'].tolist() == plain['gt_label'].tolist()
    changes = [
        float((one['pred_score'] - two['pred_score']).abs().max())
        for one, two in zip(found['plain'], found['flip'], strict=True)
    ]
    assert max(changes) > 1e-3

    cfg = Config.fromfile(config)
    cfg.launcher, cfg.work_dir, cfg.load_from = 'none', str(tmp_path / 'here'), str(checkpoint)
    cfg.custom_hooks = []  # the average is what stands in the checkpoint's state_dict
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    runner = Runner.from_cfg(cfg)
    assert isinstance(runner.model, PathTTA)
    runner.test()  # with the host's pseudo_collate
    batch = next(iter(runner.test_dataloader))
    for sample, stored in zip(runner.model.test_step(batch), found['flip'], strict=False):
        assert sample.pred_paths == stored['pred_paths']
        torch.testing.assert_close(sample.pred_score, stored['pred_score'], atol=1e-5, rtol=1e-4)


def test_pipeline_without_views(run, tmp_path):
    config, checkpoint = run('bare', "tta_pipeline = [*pipeline, dict(type='PackInputs')]\n")
    done = run_forked(TOOL, config, checkpoint, '--tta', '--work-dir', tmp_path / 'work')
    assert done.returncode == 2, done.stderr[-3000:]
    assert done.stderr.strip().splitlines()[-1] == (
        'error: the images come without views: put TestTimeAug into tta_pipeline, with PackInputs '
        'inside'
    )
