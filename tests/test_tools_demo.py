# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""``tools/demo.py`` with tools that only write down how they were called."""

import json
import os
import runpy
import shutil
import signal
import time
from argparse import Namespace
from pathlib import Path

import pytest
from forked_tool import ForkedTool
from tiny_run import ROOT

#: Waits in the model and epoch that the test names, as a training does that takes its time.
TRAIN = """
import json, os, sys, time
from pathlib import Path

name, work = Path(sys.argv[1]).stem, Path(sys.argv[sys.argv.index('--work-dir') + 1])
work.mkdir(parents=True, exist_ok=True)
with open('calls', 'a') as calls:
    calls.write(json.dumps(['train', name, '--resume' in sys.argv, sys.argv[-1]]) + chr(10))
for epoch in (1, 2):
    if os.environ.get('WAIT') == f'{name} {epoch}':
        Path('waits').touch()
        time.sleep(600)
    (work / f'epoch_{epoch}.pth').touch()
    (work / 'last_checkpoint').write_text(str(work / f'epoch_{epoch}.pth'))
(work / 'best_epoch_2.pth').touch()
"""
TEST = """
import json, sys
from pathlib import Path

Path(sys.argv[sys.argv.index('--out') + 1]).write_text(json.dumps({
    'multi-label/mAP': 1.5, 'label-set/C-F1': 2, 'label-set/O-F1': 3,
    'label-set/exact-match': 4, 'law_broken': 5}))
with open('calls', 'a') as calls:
    calls.write(json.dumps(['test', Path(sys.argv[1]).stem, Path(sys.argv[2]).name]) + chr(10))
"""
#: With a process group of its own, as in a terminal; the scenes are drawn in other tests.
DEMO = """
import os, runpy
import cnnrnn_mm.datasets.demo_scenes as scenes

os.setsid()
scenes.generate_demo_scenes = lambda root: root
runpy.run_path('tools/demo.py', run_name='__main__')
"""
FIRST, SECOND = 'cnnrnn_demo', 'linear_demo'


@pytest.fixture
def demo(tmp_path):
    """``demo(wait, *args)`` runs the tool, and ends it with Ctrl-C where ``wait`` says."""
    (tmp_path / 'tools').mkdir()
    shutil.copy(ROOT / 'tools' / 'demo.py', tmp_path / 'tools')
    (tmp_path / 'tools' / 'train.py').write_text(TRAIN)
    (tmp_path / 'tools' / 'test.py').write_text(TEST)
    (tmp_path / 'demo.py').write_text(DEMO)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / f'{FIRST}.py').write_text('a = 1')

    def run(wait=''):
        tool = ForkedTool(tmp_path / 'demo.py', '--work-dir', 'work', cwd=tmp_path, WAIT=wait)
        while wait and not (tmp_path / 'waits').exists() and tool.process.is_alive():
            time.sleep(0.05)
        if wait:
            os.killpg(tool.process.pid, signal.SIGINT)  # what a terminal sends: to all of the group
            (tmp_path / 'waits').unlink()
        done = tool.finish()
        with pytest.raises(ProcessLookupError):  # nothing of the group lives on
            os.killpg(tool.process.pid, 0)
        calls = tmp_path / 'calls'
        made = [json.loads(line) for line in calls.read_text().splitlines()]
        calls.unlink()
        return done, made

    return run


def call(tool, name, resumed=False):
    """What a tool writes down."""
    if tool == 'test':
        return ['test', name, 'best_epoch_2.pth']
    return ['train', name, resumed, 'randomness.seed=0']


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(demo, tmp_path):
    done, calls = demo(f'{FIRST} 2')
    assert done.returncode == 130
    assert done.stderr == 'interrupted: the same command goes on after the last whole epoch\n'
    assert 'Traceback' not in done.stdout and 'Going on' not in done.stdout
    assert calls == [call('train', FIRST)]

    done, calls = demo(f'{SECOND} 1')
    assert done.returncode == 130
    assert done.stderr.startswith('interrupted: ') and done.stderr.count('\n') == 1
    assert 'Going on with the unfinished demo in work' in done.stdout
    assert calls == [call('train', FIRST, True), call('test', FIRST), call('train', SECOND)]

    done, calls = demo()
    assert done.returncode == 0, done.stderr
    assert calls[:2] == [call('train', FIRST, True), call('test', FIRST)]
    assert calls[2:] == [call('train', SECOND), call('test', SECOND)]
    assert 'since it was resumed' in done.stdout and 'CNN-RNN' in done.stdout
    assert not (tmp_path / 'work' / 'unfinished.json').exists()


def test_what_is_an_unfinished_demo(tmp_path):
    """One that is not at its end, of the same seed and configs; of others nothing is resumed."""
    (tmp_path / 'tools').mkdir()
    tool = Path(shutil.copy(ROOT / 'tools' / 'demo.py', tmp_path / 'tools'))
    goes_on = runpy.run_path(str(tool))['goes_on']
    config, work = tmp_path / 'configs' / f'{FIRST}.py', tmp_path / 'work'
    config.parent.mkdir()
    config.write_text('a = 1')
    for name in ('last_checkpoint', 'best_a_epoch_1.pth', 'epoch_1.pth'):
        (work / FIRST).mkdir(parents=True, exist_ok=True)
        (work / FIRST / name).write_text('old')

    def ask(seed=0):
        return goes_on(Namespace(work_dir=str(work), seed=seed))

    def left():
        return sorted(one.name for one in (work / FIRST).iterdir())

    assert not ask() and left() == ['epoch_1.pth']  # that one is written over
    (work / FIRST / 'last_checkpoint').write_text('epoch_1.pth')
    assert ask() and ask() and left() == ['epoch_1.pth', 'last_checkpoint']
    assert not ask(1) and left() == ['epoch_1.pth']
    assert ask(1)
    config.write_text('a = 2')
    assert not ask(1) and ask(1)
    (work / 'unfinished.json').write_text('{"se')
    assert not ask(1) and ask(1)
    (work / 'unfinished.json').unlink()
    assert not ask(1)
