# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The backbone matrix: the kept table, quick families for real, and that what fails is seen."""

import json
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from forked_tool import run_forked
from mmpretrain.registry import MODELS
from torch import nn

from cnnrnn_mm.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'tools' / 'benchmarks'
TOOL = FOLDER / 'backbones.py'
DOC = ROOT / 'docs' / 'backbones.md'
#: Each form of features, in seconds.
QUICK = {
    'LeNet5': 'map 120 x 1 x 1',
    'XCiT': 'vector 64',
    'DistilledVisionTransformer': 'vector 64 and vector 64',
    'Conformer': 'vector 512 and vector 64',
    'MlpMixer': 'tokens 64 x 16',
    'SwinTransformer': 'map 192 x 2 x 2',
}


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def tool(monkeypatch):
    """The tool in this process, without child processes."""
    import backbones

    def call(function, *args, timeout):
        return function(*args)

    monkeypatch.setattr(backbones, 'call_apart', call)
    return backbones


@pytest.fixture
def toy():
    """Registers a backbone of one layer whose forward is given."""

    class ToyBackbone(nn.Module):
        def __init__(self, forward) -> None:
            super().__init__()
            self.layer, self.run = nn.Conv2d(3, 4, 1), forward

        def forward(self, images):
            return (self.run(self.layer, images),)

    MODELS.register_module(name='ToyBackbone', module=ToyBackbone)
    yield ToyBackbone
    del MODELS.module_dict['ToyBackbone']


def test_kept_table_has_every_registered_family_and_enough_of_them_work():
    from backbone_matrix.families import FAMILIES, registered_families
    from backbone_matrix.kept_table import read_kept

    kept, registered = read_kept(DOC), registered_families()
    assert len(registered) > 60 and 'CSPNet' not in registered
    assert list(kept) == registered  # none missing, none twice, in the host's order
    assert set(FAMILIES) == set(registered)
    works = [name for name, row in kept.items() if row['CNNRNNHead'] == 'works']
    assert len(works) >= 0.95 * len(kept)
    assert f'{len(works)} of {len(kept)} families work.' in DOC.read_text()
    for name, row in kept.items():
        assert row['in_channels'] == str(FAMILIES[name].channels), name
        assert (row['RLSDHead'] == 'no map') == (FAMILIES[name].map is None), name
        if name not in works:
            assert re.search(rf'\n\| {name} \| `CNNRNNHead` \| `mmpretrain/', DOC.read_text()), name


def test_quick_families_for_real():
    done = run_forked(TOOL, '--families', *QUICK, '--json')
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    found = json.loads(done.stdout)
    assert found['families'] == found['work'] == len(QUICK) and found['losses'] == []
    assert found['largest_child_mib'] < 3000
    for name, features in QUICK.items():
        outcomes = found['outcomes'][name]
        assert outcomes[0]['features'] == features
        assert [one['error'] for one in outcomes] == [''] * len(outcomes), name
    forms = {one['options']['out_type']: one['features'] for one in found['outcomes']['XCiT'][1:5]}
    assert forms['raw'] == 'tokens 17 x 64' and forms['featmap'] == 'map 64 x 4 x 4'
    # Where there is a map, the regions' head is the last.
    assert found['outcomes']['XCiT'][-1]['head'] == 'RLSDHead'
    assert found['outcomes']['MlpMixer'][-1]['head'] == 'CNNRNNHead'


def test_a_family_that_fails_now_ends_with_status_1(tool, monkeypatch, capsys, tmp_path):
    families, out = tool.FAMILIES, tmp_path / 'kept.md'
    arguments = ['--families', 'LeNet5', 'MlpMixer', '--kept', str(out)]
    assert tool.main([*arguments, '--out', str(out)]) == 0
    capsys.readouterr()
    monkeypatch.setitem(families, 'MlpMixer', replace(families['MlpMixer'], channels=63))
    assert tool.main(arguments) == 1
    said = capsys.readouterr()
    assert said.err == 'worked in kept.md and fails now: MlpMixer: CNNRNNHead\n'
    assert 'MlpMixer, CNNRNNHead: loss: UsageError: the head has in_channels=63' in said.out
    assert '1 of 2 families work' in said.out  # the other one went on
    # What never worked is no loss.
    assert tool.main([*arguments, '--out', str(out)]) == 1
    assert tool.main(arguments) == 0
    monkeypatch.setattr(tool, 'registered_families', lambda: ['LeNet5', 'NewNet'])
    assert tool.main(['--kept', str(out)]) == 1
    assert 'NewNet is registered and not in backbone_matrix' in capsys.readouterr().err


def test_a_lost_process_is_a_row(tool, monkeypatch):
    def lose(*_, timeout):
        raise tool.LostProcessError('its process ended with signal 9')

    monkeypatch.setattr(tool, 'call_apart', lose)
    found = dict(tool.try_families(['LeNet5', 'MlpMixer'], 1))
    assert [one.head for one in found['LeNet5']] == ['CNNRNNHead', 'RLSDHead']
    assert [one.head for one in found['MlpMixer']] == ['CNNRNNHead']
    assert {one.error for one in found['LeNet5']} == {'its process ended with signal 9'}


def test_unknown_family_names_what_is_close(tool):
    with pytest.raises(UsageError, match="no backbone 'ResNet50': choose from ResNet"):
        tool.main(['--families', 'ResNet50'])


@pytest.mark.parametrize(
    ('function', 'args', 'message'),
    [
        (os.kill, (0, signal.SIGKILL), None),
        (os._exit, (3,), 'its process ended with exit status 3'),
        (time.sleep, (60,), r'no answer within 0\.3 s'),
    ],
)
def test_the_end_of_a_child_is_not_the_end(function, args, message):
    from backbone_matrix.isolation import LostProcessError, call_apart

    if function is os.kill:
        function, args, message = _kill_oneself, (), 'its process ended with signal 9'
    begin = time.monotonic()
    with pytest.raises(LostProcessError, match=message):
        call_apart(function, *args, timeout=0.3 if function is time.sleep else 60)
    assert time.monotonic() - begin < 30
    assert call_apart(divmod, 7, 3, timeout=60) == (2, 1)


def _kill_oneself():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ('forward', 'error'),
    [
        (lambda layer, images: layer(images), ''),
        (lambda layer, images: layer(images).detach(), 'backward: ArithmeticError: no gradient'),
        (lambda layer, images: layer(images) * float('nan'), 'loss: ArithmeticError: the loss is'),
        (
            lambda layer, images: layer(images) - layer(images).mean(0),
            'predict: .* another feature',
        ),
        (lambda layer, images: layer(images * 0), 'backward: .* no gradient|predict: .* the same'),
        (lambda layer, images: layer(images)[:, :3], 'loss: UsageError: .* set in_channels=3'),
        (lambda layer, images: layer(images[:, :2]), 'loss: RuntimeError: '),
    ],
)
def test_what_a_backbone_does_wrong_is_named(toy, forward, error):
    from backbone_matrix.checks import check_backbone
    from backbone_matrix.family import Family, Form

    family = Family(4, dict(forward=forward), size=8)
    outcome = check_backbone('ToyBackbone', family, Form(4), 'CNNRNNHead')
    assert outcome.works == (error == '')
    assert re.match(error, outcome.error) if error else outcome.features == 'map 4 x 8 x 8'


def test_idle_parameters_are_counted_and_a_foreign_file_is_not_named(toy):
    from backbone_matrix.checks import check_backbone
    from backbone_matrix.family import Family, Form

    family = Family(
        4, dict(forward=lambda layer, images: layer(images).detach() + layer.weight.sum())
    )
    outcome = check_backbone('ToyBackbone', family, Form(4), 'CNNRNNHead')
    assert outcome.idle == 1  # the bias
    missing = check_backbone('NoSuchNet', family, Form(4), 'CNNRNNHead')
    assert missing.error.startswith('build: ') and 'NoSuchNet' in missing.error


def test_tables_go_between_the_marks_and_nothing_is_lost(tmp_path):
    from backbone_matrix.checks import Outcome
    from backbone_matrix.family import Family, Form
    from backbone_matrix.kept_table import BEGIN, END, check_replaceable, read_kept, write_tables
    from backbone_matrix.table_rows import find_losses, table_rows

    families = {
        'ANet': Family(4, dict(arch=dict(a=1)), Form(4, dict(b=2)), (Form(8),)),
        'BNet': Family(2),
    }
    outcomes = {
        'ANet': [
            Outcome('CNNRNNHead', {}, 4, 'map 4 x 1 x 1'),
            Outcome('CNNRNNHead', {}, 8, 'vector 8'),
            Outcome('RLSDHead', dict(b=2), 4, 'map 4 x 1 x 1'),
        ],
        'BNet': [Outcome('CNNRNNHead', {}, 2, error='loss: Oops: a | b', where='mmpretrain/x.py')],
    }
    rows = table_rows(families, outcomes)
    path = tmp_path / 'doc.md'
    path.write_text(f'# Before\n\n{BEGIN}\nold\n{END}\nafter\n')
    write_tables(path, rows, outcomes, 'About.')
    text = path.read_text()
    assert text.startswith('# Before\n\n' + BEGIN) and text.endswith(END + '\nafter\n')
    assert 'old' not in text and '`arch=dict(a=1)`' in text and r'a \| b' in text
    kept = read_kept(path)
    assert list(kept) == ['ANet', 'BNet']
    assert [kept['ANet'][name] for name in ('CNNRNNHead', 'RLSDHead', 'Other forms')] == [
        'works',
        'works: b=2',
        '1 of 1',
    ]
    assert (kept['BNet']['CNNRNNHead'], kept['BNet']['RLSDHead']) == ('fails', 'no map')
    assert find_losses(kept, rows) == []
    broken = replace(outcomes['ANet'][1], error='x'), replace(outcomes['ANet'][2], error='x')
    worse = table_rows(families, {**outcomes, 'ANet': [outcomes['ANet'][0], *broken]})
    assert find_losses(kept, worse) == ['ANet: RLSDHead', 'ANet: Other forms']
    with pytest.raises(UsageError, match=r'holds 1 families that this run leaves out \(BNet'):
        check_replaceable(path, ['ANet'])
    unmarked = tmp_path / 'other.md'
    unmarked.write_text('text')
    with pytest.raises(UsageError, match='has no place for the table'):
        check_replaceable(unmarked, ['ANet', 'BNet'])
    with pytest.raises(UsageError, match='does not exist'):
        check_replaceable(tmp_path / 'nowhere' / 'x.md', [])
    assert unmarked.read_text() == 'text' and sorted(os.listdir(tmp_path)) == ['doc.md', 'other.md']
