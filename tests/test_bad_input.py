# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Each bad input ends with one line, in bounded time, and leaves nothing behind."""

import os
import shutil
from collections import Counter

import pytest
from bad_inputs import CASES, READ, GoodRun, as_row, read_table, run_case, versions
from forked_tool import run_forked
from tiny_run import ROOT

from cnnrnn_mm.apis import report_usage_errors
from cnnrnn_mm.registry import MODELS

AREAS = {'config': 40, 'annotation': 80, 'image': 20, 'checkpoint': 25, 'command line': 35}

ALONE = ('unrecognized arguments', '--out-item needs', '--top must be')


@pytest.fixture(scope='module')
def good_run(tmp_path_factory):
    return GoodRun(tmp_path_factory.mktemp('good'))


@pytest.fixture(scope='module')
def kept():
    return read_table()


def test_the_kept_table_has_all_cases_once(kept):
    assert Counter(row[:2] for row in kept[1]) == Counter(
        (case.name.replace('|', '¦'), f'`{case.tool}`') for case in CASES
    )
    assert max(Counter((case.area, case.name, case.tool) for case in CASES).values()) == 1
    found = Counter(case.area for case in CASES)
    assert all(found[area] >= count for area, count in AREAS.items())


@pytest.mark.parametrize('case', CASES, ids=lambda case: f'{case.area}: {case.name}')
def test_bad_input(case, good_run, kept, tmp_path):
    outcome = run_case(case, good_run, tmp_path / 'here')
    assert not outcome.crashed
    assert outcome.status == case.status, outcome.message
    if case.status:
        assert len(outcome.errors) == 1
        assert case.says in outcome.message
        assert outcome.message.isprintable()
        # What is wrong, then what to do; argparse's own messages may be what is wrong alone.
        assert ': ' in outcome.message or outcome.message.startswith(ALONE)
    else:
        assert outcome.message == READ
    assert outcome.left == []
    recorded, rows = kept
    if recorded == versions():
        assert as_row(case, outcome) in rows, 'run python tools/benchmarks/bad_input.py'


@pytest.mark.parametrize('wanted', [True, False])
def test_a_traceback_on_demand(wanted, monkeypatch, capsys, default_scope):
    """What is hidden from the user is there for who looks for a mistake of ours."""
    default_scope('mmpretrain')
    if wanted:
        monkeypatch.setenv('CNNRNN_TRACEBACK', '1')
    with pytest.raises(SystemExit) as ending, report_usage_errors():
        MODELS.build(dict(type='cnnrnn_mm.CNNRNNHead', num_classes=3, in_channels=4, beams=3))
    said = capsys.readouterr().err
    assert ending.value.code == 2
    assert ('Traceback' in said) == wanted
    assert said.splitlines()[-1].startswith('error: cnnrnn_mm.CNNRNNHead(beams=3')


def test_mistakes_of_ours_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), report_usage_errors():
        1 / 0  # noqa: B018 - raises


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write and read anywhere')
def test_folders_without_permission(good_run, tmp_path):
    (tmp_path / 'out').mkdir(mode=0o500)
    tool = ROOT / 'tools' / 'dataset_converters' / 'voc.py'
    done = run_forked(tool, good_run.voc, '--split', 'val', '--out', tmp_path / 'out' / 'a.json')
    assert done.returncode == 2 and 'Permission denied' in done.stderr
    voc = shutil.copytree(good_run.voc, tmp_path / 'voc')
    (voc / 'Annotations').chmod(0o000)
    done = run_forked(tool, voc, '--split', 'val', '--out', tmp_path / 'a.json')
    (voc / 'Annotations').chmod(0o700)
    assert done.returncode == 2 and 'Permission denied' in done.stderr
    assert 'Traceback' not in done.stderr
