# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The scripts for Slurm, with an ``srun`` that does on this machine what Slurm does on many."""

import json
import os
import stat
import subprocess
import sys

import pytest
import torch
from forked_tool import ForkedTool
from process_pair import free_port
from tiny_run import ROOT, TRAIN, VAL, environment, write_config

#: Writes its arguments and starts the tasks, each with Slurm's variables.
SRUN = """#!{python}
import json, os, subprocess, sys
from pathlib import Path

folder = Path(os.environ['RECORDS'])
words = sys.argv[1:]
first = next(number for number, word in enumerate(words) if not word.startswith('-'))
(folder / 'srun.json').write_text(json.dumps(words[:first]))
options = dict(word.lstrip('-').split('=', 1) for word in words[:first])
tasks = int(options['ntasks'])
started = []
for number in range(tasks):
    variables = dict(
        SLURM_PROCID=str(number), SLURM_LOCALID=str(number % int(options['ntasks-per-node'])),
        SLURM_NTASKS=str(tasks), SLURM_NODELIST='node[1-2]',
    )
    started.append(subprocess.Popen(words[first:], env={{**os.environ, **variables}}))
sys.exit(max(one.wait() for one in started))
"""
SCONTROL = '#!/bin/sh\necho "$@" > "$RECORDS/scontrol"\necho 127.0.0.1\necho node2\n'
#: Stands for Python and writes what it was started with.
RECORDER = """#!{python}
import json, os, sys
name = os.environ['RECORDS'] + '/task_' + os.environ['SLURM_PROCID'] + '.json'
json.dump(dict(words=sys.argv[1:], environment=dict(os.environ)), open(name, 'w'))
"""


@pytest.fixture
def slurm(tmp_path):
    """``slurm(script, *words, **variables)`` runs a script and gives what it ended with."""
    for name, text in (('srun', SRUN), ('scontrol', SCONTROL), ('recorder', RECORDER)):
        path = tmp_path / 'bin' / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(python=sys.executable) if '{python}' in text else text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(script, *words, **variables):
        path = f'{tmp_path / "bin"}{os.pathsep}{os.environ["PATH"]}'
        return subprocess.run(
            ['bash', str(ROOT / 'tools' / script), *map(str, words)],
            env={**environment(), 'PATH': path, 'RECORDS': str(tmp_path), **variables},
            capture_output=True,
            text=True,
            timeout=900,
        )

    return run


@pytest.mark.parametrize(
    ('script', 'given', 'tool', 'expected'),
    [
        ('slurm_train.sh', 'work', 'train.py', ['a.py', '--work-dir=work']),
        ('slurm_test.sh', 'a.pth', 'test.py', ['a.py', 'a.pth']),
    ],
)
def test_every_task_gets_the_tool_and_its_options(slurm, tmp_path, script, given, tool, expected):
    """A name with a space stays one word; the cluster's own options go to srun."""
    done = slurm(
        script,
        *('part', 'my job', 'a.py', given, '--cfg-options', 'a=x y'),
        PYTHON=str(tmp_path / 'bin' / 'recorder'),
        GPUS='4',
        GPUS_PER_NODE='2',
        SRUN_ARGS='--time=1:00 --account=lab',
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / 'srun.json').read_text()) == [
        *('--partition=part', '--job-name=my job', '--gres=gpu:2', '--ntasks=4'),
        *('--ntasks-per-node=2', '--cpus-per-task=5', '--kill-on-bad-exit=1'),
        *('--time=1:00', '--account=lab'),
    ]
    for number in range(4):
        task = json.loads((tmp_path / f'task_{number}.json').read_text())
        options = ['--launcher', 'slurm', '--cfg-options', 'a=x y']
        assert task['words'][0] == '-u' and os.path.samefile(
            task['words'][1], ROOT / 'tools' / tool
        )
        assert task['words'][2:] == [*expected, *options]
        first = task['environment']['PYTHONPATH'].split(os.pathsep)[0]
        assert os.path.samefile(first, ROOT)


def test_too_few_arguments_say_what_is_wanted(slurm):
    for script in ('slurm_train.sh', 'slurm_test.sh'):
        done = slurm(script, 'part', 'job', 'a.py')
        assert done.returncode == 2 and done.stderr.startswith('usage: ')
        assert done.stderr.count('\n') == 1


@pytest.mark.slow
def test_two_tasks_train_together(slurm, voc_folder, tmp_path, monkeypatch):
    """What the script starts, started with Slurm's variables as forks, which is faster."""
    monkeypatch.delenv('MASTER_ADDR', raising=False)
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    once = '\ntrain_cfg = dict(by_epoch=True, max_epochs=1)\n'
    config, work = write_config(root, tmp_path / 'a.py', once), tmp_path / 'work'
    recorder = str(tmp_path / 'bin' / 'recorder')
    slurm('slurm_train.sh', 'part', 'job', config, work, GPUS='2', PYTHON=recorder)
    port, runs = free_port(), []
    for number in range(2):
        task = json.loads((tmp_path / f'task_{number}.json').read_text())
        said = {
            name: value
            for name, value in task['environment'].items()
            if name in ('PATH', 'RECORDS') or name.startswith('SLURM_')
        }
        # What another launcher left behind is not what counts.
        runs.append(ForkedTool(*task['words'][1:], MASTER_PORT=port, RANK='7', **said))
    for run in runs:
        done = run.finish()
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert (tmp_path / 'scontrol').read_text() == 'show hostnames node[1-2]\n'
    checkpoint = torch.load(work / 'epoch_1.pth', weights_only=True)
    assert len(checkpoint['random_state']['ranks']) == 2
    assert checkpoint['meta']['iter'] == 2  # 12 images, 4 a step in each of two processes
