# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Whole training steps beside the linear head's, and the GPU script, on a tiny backbone."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

FOLDER = Path(__file__).resolve().parents[1] / 'tools' / 'benchmarks'
CPU = torch.device('cpu')
TINY = {
    'tiny': (
        dict(type='mmpretrain.ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4),
        32,
    )
}


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


def test_batches_hold_distinct_labels_and_are_the_same_for_a_seed():
    from whole_step import make_batch

    one, two = (make_batch(50, 8, 7, CPU, seed=3) for _ in range(2))
    assert torch.equal(one['inputs'], two['inputs'])
    sets = [sample.gt_label.tolist() for sample in one['data_samples']]
    assert sets == [sample.gt_label.tolist() for sample in two['data_samples']]
    assert {len(labels) for labels in sets} == set(range(1, 7))
    assert all(labels == sorted(set(labels)) and max(labels) < 7 for labels in sets)


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_a_row_times_both_heads_in_turn(precision, monkeypatch):
    import whole_step

    seen = []
    honest = whole_step.time_side_by_side

    def watched(cases, device):
        honest(cases, device)
        # as if ours took twice the linear head's time
        made_up = ([10.0, 20.0, 30.0], [20.0, 40.0, 60.0], [30.0, 60.0, 90.0])
        for case, seconds in zip(cases, made_up, strict=True):
            seen.append(len(case.seconds))
            case.seconds = seconds

    monkeypatch.setattr(whole_step, 'time_side_by_side', watched)
    row = whole_step.measure_pair('tiny', 32, precision, 4, 5, 3, CPU, backbones=TINY, hook=True)
    assert seen == [3, 3, 3]
    assert row['ratio'] == row['ratio_low'] == row['ratio_high'] == 2.0
    assert row['hook_ratio'] == row['hook_ratio_low'] == row['hook_ratio_high'] == 1.5
    assert (row['linear_ms'], row['cnnrnn_ms']) == (20.0, 40.0)
    assert row['cnnrnn_images_per_second'] == 100.0
    assert 1.0 < row['memory_ratio'] < 20 and row['cnnrnn_mib'] > row['linear_mib'] > 0


def test_a_step_trains_the_backbone_too():
    from whole_step import _make_step, make_batch

    data = make_batch(4, 32, 5, CPU, seed=0)
    step = _make_step(*TINY['tiny'], 'cnnrnn', 5, 'fp32', data, CPU)
    model = next(
        cell.cell_contents
        for cell in step.__closure__
        if isinstance(cell.cell_contents, torch.nn.Module)
    )
    before = {name: value.clone() for name, value in model.named_parameters()}
    step()
    moved = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    assert 'backbone.conv1.weight' in moved and 'head.decoder.embedding.weight' in moved


def test_the_hook_watches_the_step_that_is_timed():
    from whole_step import HOOKED, _make_step, make_batch

    data = make_batch(4, 32, 5, CPU, seed=0)
    data['inputs'] = data['inputs'].float()
    step = _make_step(*TINY['tiny'], HOOKED, 5, 'fp32', data, CPU)
    step()
    data['inputs'].fill_(float('nan'))
    # A stand-in for a run has no iteration to name, so the hook fails once it wants to speak.
    with pytest.raises(AttributeError, match='SimpleNamespace'):
        step()


def test_bounds_are_broken_only_by_the_whole_interval(monkeypatch, capsys):
    import overhead

    def row(name, low, ratio):
        return dict(backbone=name, image_size=224, precision='fp32', ratio=ratio, ratio_low=low)

    for rows, status in (
        ([row('vgg16', 1.0, 1.04), row('mobilenetv2', 1.0, 1.07)], 0),
        ([row('vgg16', 1.035, 1.04)], 1),
        ([row('mobilenetv2', 1.035, 1.04)], 0),
    ):
        monkeypatch.setattr('sys.argv', ['overhead.py'])
        monkeypatch.setattr(overhead, 'run', lambda args, console, rows=rows: rows)
        assert overhead.main() == status
        assert ('1.040 is above 1.03' in capsys.readouterr().err) == bool(status)


def test_a_device_that_is_not_there_is_one_line(monkeypatch, capsys):
    import overhead

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr('sys.argv', ['overhead.py', '--device', 'cuda:0'])
    with pytest.raises(SystemExit) as ended:
        overhead.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == ('error: there is no device cuda:0: take --device cpu\n')


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys, tmp_path):
    import gpu

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr('sys.argv', ['gpu.py', '--out', str(tmp_path / 'out')])
    assert gpu.main() == 0
    assert capsys.readouterr().out == 'There is no GPU here: nothing was measured.\n'
    assert not (tmp_path / 'out').exists()


def test_all_parts_of_the_gpu_script_run(monkeypatch, tmp_path):
    import device_search
    import gpu
    import whole_step

    for module in (gpu, whole_step, device_search):
        monkeypatch.setitem(module.BACKBONES, 'tiny', TINY['tiny'])
    options = ['--backbones', 'tiny', '--image-sizes', '32', '--precisions', 'fp32', 'bf16']
    options += ['--batch-size', '3', '--labels', '6', '--repeats', '2', '--device', 'cpu']
    gpu.run(gpu.parse_args([*options, '--out', str(tmp_path)]), Console(quiet=True))
    content = json.loads((tmp_path / 'gpu.json').read_text())
    assert [row['precision'] for row in content['training']] == ['fp32', 'bf16']
    (search,) = content['search']
    assert search['waits'] is None and search['share'] > 0 and search['backbone_ms'] > 0
    assert content['run']['versions']['torch'] == torch.__version__.split('+')[0]
