# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""MMPretrain's own tools on a run of this project, as docs/standard_tools.md says of them."""

import inspect
import json
import re
import runpy
import sys
from pathlib import Path

import mmengine
import mmpretrain
import numpy as np
import pytest
import torch
from forked_tool import run_forked
from matplotlib import pyplot
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.apis import get_model
from mmpretrain.datasets import KFoldDataset
from mmpretrain.visualization import UniversalVisualizer
from tiny_run import CLASSES, ROOT, TRAIN, VAL, write_config

from cnnrnn_mm.apis import load_trained_model
from cnnrnn_mm.apis.attention import step_attention
from cnnrnn_mm.errors import UsageError

TOOLS = Path(mmpretrain.__file__).parent / '.mim' / 'tools'
EXTRA = """
custom_hooks = [dict(type='EMAHook', momentum=0.5)]
auto_scale_lr = dict(base_batch_size=2)
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TOOLS.is_dir(), reason="needs MMPretrain's .mim folder"),
]


@pytest.fixture(scope='module')
def run(voc_folder, tmp_path_factory):
    """A run by the host's train.py and test.py: (config, checkpoint, predictions, folder)."""
    folder = tmp_path_factory.mktemp('standard')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    config = write_config(root, folder / 'tiny.py', EXTRA)
    checkpoint, predictions = folder / 'work' / 'epoch_2.pth', folder / 'predictions.pkl'
    words = ('--work-dir', folder / 'work', '--auto-scale-lr')
    done = run_forked(TOOLS / 'train.py', config, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    words = ('--work-dir', folder / 'test', '--out', predictions)
    done = run_forked(TOOLS / 'test.py', config, checkpoint, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return config, checkpoint, predictions, folder


@pytest.fixture
def host(monkeypatch, capsys, tmp_path):
    """``host(tool, *args)`` runs a tool of the host in this process and returns what it prints."""

    def run_here(tool, *args):
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        monkeypatch.chdir(tmp_path)
        pyplot.close('all')
        runpy.run_path(str(TOOLS / tool), run_name='__main__')
        return capsys.readouterr().out

    return run_here


def log_of(folder):
    """The lines that a run wrote to its JSON log."""
    (path,) = (one for one in folder.glob('*/vis_data/*.json') if one.name[0] == '2')
    return path, [json.loads(line) for line in path.read_text().splitlines()]


def curves():
    """The y values of the lines in the current figure."""
    return [line.get_ydata().tolist() for line in pyplot.gcf().axes[0].lines]


def test_auto_scale_lr(run):
    """Four images a batch, two where the rate was chosen."""
    _, lines = log_of(run[3] / 'work')
    assert [one['lr'] for one in lines if 'loss' in one] == pytest.approx([0.2] * 3 + [0.18] * 3)


def test_metrics_of_stored_predictions(run, host):
    (path,) = (one for one in (run[3] / 'test').glob('*/*.json'))
    tested = json.loads(path.read_text())
    words = ('--metric', 'type=cnnrnn_mm.LabelSetMetric', '--metric', 'type=AveragePrecision')
    said = host('analysis_tools/eval_metric.py', run[2], *words)
    found = {name: float(value) for name, value in re.findall(r"'(.+?)': ([\d.]+)", said)}
    assert found.keys() >= {'multi-label/mAP', 'label-set/O-F1', 'label-set/exact-match'}
    assert found == pytest.approx({name: tested[name] for name in found}, abs=1e-4)


def test_logs(run, host):
    path, lines = log_of(run[3] / 'work')
    assert 'slowest epoch' in host('analysis_tools/analyze_logs.py', 'cal_train_time', path)
    for key in ('loss', 'label-set/exact-match'):
        out = run[3] / 'curve.png'
        host('analysis_tools/analyze_logs.py', 'plot_curve', path, '--keys', key, '--out', out)
        assert out.stat().st_size > 5000
    host('visualization/vis_scheduler.py', run[0], '--not-show', '-d', 12)
    assert curves() == [pytest.approx([0.1] * 3 + [0.09] * 3)]


@pytest.mark.parametrize('words', [[], ['--no-ema']], ids=['average', 'last'])
def test_publish(run, host, tmp_path, words):
    """Plain types alone, small, and it answers as the weights that were asked for."""
    host('model_converters/publish_model.py', run[1], tmp_path / 'out.pth', *words)
    (path,) = tmp_path.glob('out_*.pth')
    full, out = (torch.load(one, weights_only=True) for one in (run[1], path))
    assert 'optimizer' in full and not {'optimizer', 'ema_state_dict', 'message_hub'} & out.keys()
    assert out['meta']['label_order'] == full['meta']['label_order']
    assert tuple(out['meta']['dataset_meta']['classes']) == CLASSES
    last = {name[7:]: one for name, one in full['ema_state_dict'].items() if name != 'steps'}
    assert any(not torch.equal(one, full['state_dict'][name]) for name, one in last.items())
    expected = last if words else full['state_dict']
    model = get_model(str(run[0]), str(path))
    torch.testing.assert_close(dict(model.state_dict()), dict(expected))


def test_flops_are_those_of_backbone_and_neck(run, host, tmp_path):
    def flops_of(config):
        said = host('analysis_tools/get_flops.py', config, '--shape', 32)
        return float(re.search(r'Flops: ([\d.]+)M', said)[1]) * 1e6

    model, counted = get_model(str(run[0])).eval(), []

    def count(layer, _, maps):
        counted.append(layer.weight.numel() * maps.shape[-1] * maps.shape[-2])

    for layer in model.backbone.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    model(torch.rand(1, 3, 32, 32))
    assert flops_of(run[0]) == pytest.approx(sum(counted), rel=0.05)

    proposals = "proposals=dict(type='ProposalNetwork', anchor_sizes=(0.3, 0.5), min_size=0.1)"
    neck = f"type='cnnrnn_mm.RegionLocalizationNeck', in_channels=32, {proposals}"
    head = "type='cnnrnn_mm.RLSDHead'"
    config = tmp_path / 'regions.py'
    config.write_text(
        f'_base_ = [{str(run[0])!r}]\nmodel = dict(neck=dict(_delete_=True, {neck}), '
        f'head=dict({head}))\n'
    )
    network = 4 * 4 * 32 * 32 * 3 * 3  # its 3 x 3 convolution on a map of 4 x 4
    assert flops_of(config) > flops_of(run[0]) + network


def test_browse(run, host, tmp_path, monkeypatch):
    """Without a run nobody fits an order, so the labels of the training split are shown as sets."""
    shown = {}
    draw = UniversalVisualizer.visualize_cls

    def look(self, image, sample, *args, name, **kwargs):
        shown[name] = sorted(CLASSES[one] for one in sample.gt_label)
        return draw(self, image, sample, *args, name=name, **kwargs)

    monkeypatch.setattr(UniversalVisualizer, 'visualize_cls', look)
    words = (run[0], '--not-show', '-n', 3, '-o', tmp_path)
    with pytest.raises(UsageError, match='was never fitted'):
        host('visualization/browse_dataset.py', *words)
    as_sets = 'train_dataloader.dataset.pipeline.1.order=random'
    host('visualization/browse_dataset.py', *words, '--cfg-options', as_sets)
    assert shown == {f'train_{one:04d}.jpg': sorted(TRAIN[one]) for one in range(3)}
    assert {one.name for one in tmp_path.glob('*.jpg')} == shown.keys()


def test_verify(run, host, tmp_path, voc_folder):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN[:3]})
    bad = root / 'JPEGImages' / 'train_0001.jpg'
    bad.write_bytes(b'no photo')
    words = (
        'train_dataloader.dataset.pipeline.0.type=LoadImageFromFile',
        f'train_dataloader.dataset.data_root={root}',
    )
    list_of = tmp_path / 'broken.log'
    host('misc/verify_dataset.py', run[0], '--out-path', list_of, '--cfg-options', *words)
    assert list_of.read_text().split() == [str(bad)]


def test_cam_of_the_first_label(run, host, tmp_path, monkeypatch):
    """grad-cam's map of a label's score at the first step is ours, which is captum's."""
    why = 'needs grad-cam 1.4.8 and captum: docs/standard_tools.md'
    library = pytest.importorskip('pytorch_grad_cam', reason=why)
    pytest.importorskip('captum', reason=why)
    if 'use_cuda' not in inspect.signature(library.GradCAM).parameters:
        pytest.skip(why)
    maps, draw = [], library.utils.image.show_cam_on_image

    def look(photo, heat, **kwargs):
        maps.append(heat)
        return draw(photo, heat, **kwargs)

    monkeypatch.setattr('pytorch_grad_cam.utils.image.show_cam_on_image', look)
    photo = str(next(run[3].glob('voc/JPEGImages/val_0000.jpg')))
    layer, words = 'backbone.layer4', ('--save-path', tmp_path / 'cam.png', '--target-category')
    trained = load_trained_model(run[1], run[0])
    for label in range(len(CLASSES)):
        host('visualization/vis_cam.py', photo, *run[:2], '--target-layers', layer, *words, label)
        ours = step_attention(trained, photo, path=[label], layer=layer, score='logit').maps[0]
        ours = np.asarray(ours) - float(ours.min())  # grad-cam also subtracts the least value
        np.testing.assert_allclose(maps[-1], ours / max(ours.max(), 1e-7), atol=1e-3)
    assert any(one.max() > one.min() for one in maps)
    assert (tmp_path / 'cam.png').stat().st_size > 500


def test_what_needs_one_label_an_image(run, host, tmp_path):
    """No meaning for sets; if one of these runs some day, the table has to change."""
    with pytest.raises(AssertionError, match="doesn't match the target"):
        host('analysis_tools/confusion_matrix.py', run[0], run[2], '--out', tmp_path / 'cm.pkl')
    stored = [one | dict(pred_label=torch.arange(4)) for one in mmengine.load(run[2])]
    mmengine.dump(stored, tmp_path / 'four.pkl')
    with pytest.raises(RuntimeError, match='must match the size'):
        words = (run[0], tmp_path / 'four.pkl', '--out-dir', tmp_path)
        host('analysis_tools/analyze_results.py', *words)


def test_folds(run, tmp_path):
    """The label order of a fold is that of its own training images."""
    words = ('--num-splits', 3, '--fold', 1, '--seed', 4, '--work-dir', tmp_path)
    options = ('--cfg-options', 'train_cfg.max_epochs=1')
    done = run_forked(TOOLS / 'kfold-cross-valid.py', run[0], *words, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    found = torch.load(tmp_path / 'fold1' / 'epoch_1.pth', weights_only=True)['meta']['label_order']
    data = Config.fromfile(run[0]).data
    init_default_scope('mmpretrain')
    fold = KFoldDataset(dict(data, split='train', pipeline=[]), fold=1, num_splits=3, seed=4)
    labels = [label for one in range(len(fold)) for label in fold[one]['gt_label']]
    counts = np.bincount(labels, minlength=len(CLASSES))
    assert found['']['sequence'] == np.argsort(-counts, kind='stable').tolist()
    assert len(fold) == 8


@pytest.mark.parametrize('path', sorted((ROOT / 'configs').glob('*.py')), ids=lambda one: one.stem)
def test_configs_say_at_which_batch_size_the_rate_was_chosen(path):
    cfg = Config.fromfile(path)
    assert cfg.auto_scale_lr == dict(base_batch_size=cfg.train_dataloader.batch_size)
