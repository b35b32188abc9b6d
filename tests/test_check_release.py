# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The release check's own logic; no environment is made here."""

import io
import subprocess
import sys
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    '.gitignore': '__pycache__/\ndata/\n*.egg-info/\ncnnrnn_mm/.mim/\n',
    'README.md': 'read me',
    'setup.py': '',
    'model-index.yml': '',
    'cnnrnn_mm/__init__.py': '',
    'cnnrnn_mm/models/head.py': '',
    'cnnrnn_mm/py.typed': '',
    'configs/demo.py': '',
    'tools/train.py': '',
    'tests/test_head.py': '',
}
WHEEL = (
    *(name for name in FILES if name.startswith('cnnrnn_mm/')),
    *(
        f'cnnrnn_mm/.mim/{name}'
        for name in ('model-index.yml', 'configs/demo.py', 'tools/train.py')
    ),
    'cnnrnn_mm-1.dist-info/METADATA',
)
SDIST = (*FILES, 'PKG-INFO', 'setup.cfg', 'cnnrnn_mm.egg-info/SOURCES.txt')


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))


def part(name):
    return import_module(f'release_check.{name}')


def make_tree(folder, names=tuple(FILES)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(FILES.get(name, ''))
    return folder


def make_distributions(folder, sdist=SDIST, wheel=WHEEL):
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / 'it.tar.gz', 'w:gz') as archive:
        for name in sdist:
            archive.addfile(tarfile.TarInfo(f'cnnrnn_mm-1/{name}'), io.BytesIO(b''))
    with zipfile.ZipFile(folder / 'it.whl', 'w') as archive:
        for name in wheel:
            archive.writestr(name, '')
    return folder / 'it.tar.gz', folder / 'it.whl'


def test_pins_of_one_torch_are_left_out_and_no_others():
    text = (ROOT / 'constraints.txt').read_text()
    every = {line for line in text.splitlines() if line and not line.startswith('#')}
    kept = set(part('pins').relax_pins(text).splitlines())
    assert kept < every
    gone = {Requirement(pin).name for pin in every - kept}
    named = {'torch', 'torchvision', 'triton', 'sympy'}
    assert named < gone
    assert all(name.startswith(('nvidia-', 'cuda-')) for name in gone - named)
    left = {Requirement(pin).name for pin in kept}
    assert {'torchmetrics', 'numpy', 'setuptools', 'mmengine', 'mmcv-lite'} <= left


def test_more_pins_are_left_out_by_name_and_a_wrong_name_is_told():
    relax = part('pins').relax_pins
    text = '# a comment\nnumpy==2.2.6\nnumpy-financial==1.0\nMy_Package==1  # why\ntorch==2\n'
    assert relax(text) == 'numpy==2.2.6\nnumpy-financial==1.0\nMy_Package==1\n'
    assert relax(text, ['numpy', 'my_package']) == 'numpy-financial==1.0\n'
    with pytest.raises(ValueError, match='numpyy fits no pin'):
        relax(text, ['numpyy'])


def test_distributions_that_hold_everything_pass(tmp_path):
    tree = make_tree(tmp_path / 'tree')
    made = make_distributions(tmp_path / 'out')
    note = part('distributions').check_distributions(tree, *made)
    assert note == f'{len(SDIST)} files in the sdist, {len(WHEEL)} in the wheel'


@pytest.mark.parametrize(
    ('missing', 'where', 'message'),
    [
        ('cnnrnn_mm/py.typed', 'wheel', '1 faults: the wheel lacks cnnrnn_mm/py.typed'),
        (
            'cnnrnn_mm/.mim/configs/demo.py',
            'wheel',
            '1 faults: the wheel lacks cnnrnn_mm/.mim/configs/demo.py',
        ),
        ('tests/test_head.py', 'sdist', '1 faults: the sdist lacks tests/test_head.py'),
    ],
)
def test_missing_file_is_named(tmp_path, missing, where, message):
    tree = make_tree(tmp_path / 'tree')
    names = {'sdist': SDIST, 'wheel': WHEEL}
    names[where] = [name for name in names[where] if name != missing]
    made = make_distributions(tmp_path / 'out', **names)
    with pytest.raises(part('outcomes').StepError) as caught:
        part('distributions').check_distributions(tree, *made)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ('unwanted', 'where'),
    [
        ('cnnrnn_mm/__pycache__/head.cpython-311.pyc', 'wheel'),
        ('tests/test_head.py', 'wheel'),
        ('work_dirs/run/epoch_1.pth', 'sdist'),
        ('.git/HEAD', 'sdist'),
        ('docs/_build/index.html', 'sdist'),
        ('gone.py', 'sdist'),
    ],
)
def test_unwanted_file_is_named(tmp_path, unwanted, where):
    # What the tree holds, too, is unwanted nonetheless; but for a file that it has not.
    tree = make_tree(tmp_path / 'tree', [*FILES, *([unwanted] if unwanted != 'gone.py' else [])])
    names = {'sdist': SDIST, 'wheel': WHEEL}
    names[where] = [*names[where], unwanted]
    made = make_distributions(tmp_path / 'out', **names)
    with pytest.raises(part('outcomes').StepError, match=f'the {where} should not hold {unwanted}'):
        part('distributions').check_distributions(tree, *made)


def test_copy_leaves_out_what_git_ignores(tmp_path):
    extra = ('.git/HEAD', 'data/photo.jpg', 'cnnrnn_mm.egg-info/SOURCES.txt')
    extra += ('cnnrnn_mm/.mim/tools/train.py', 'tools/__pycache__/train.pyc')
    tree = make_tree(tmp_path / 'tree', (*FILES, *extra))
    copy = part('distributions').copy_tree(tree, tmp_path / 'copy')
    found = {p.relative_to(copy).as_posix() for p in copy.rglob('*') if p.is_file()}
    assert found == set(FILES)


def fail(message):
    raise part('outcomes').StepError(message)


def test_failing_step_shows_in_the_table_and_the_exit_status():
    outcomes = part('outcomes')
    told = []
    good = outcomes.run_steps([outcomes.Step('install', lambda: 'torch 9.0 [all]')])
    steps = [
        outcomes.Step('install', lambda: ''),
        outcomes.Step(
            'train', lambda: fail('exit status 1: KeyError: [x]\nsecond line'), ('install',)
        ),
        outcomes.Step('resume', lambda: pytest.fail('was run'), ('train',)),
        outcomes.Step('test suite', lambda: '3 passed', ('install',)),
    ]
    bad = outcomes.run_steps(steps, lambda name, outcome: told.append((name, outcome.status)))
    assert told == [
        ('install', 'ok'),
        ('train', 'failed'),
        ('resume', 'not run'),
        ('test suite', 'ok'),
    ]
    assert outcomes.exit_status({'a': good}) == 0
    assert outcomes.exit_status({'a': good, 'b': bad}) == 1
    assert outcomes.exit_status({'a': {}}) == 1  # nothing was checked

    stream = io.StringIO()
    Console(file=stream, width=150).print(outcomes.outcome_table({'torch 9': good, 'torch 8': bad}))
    rows = [line for line in stream.getvalue().splitlines() if '│' in line]
    cells = {row.split('│')[1].strip(): [c.strip() for c in row.split('│')[2:4]] for row in rows}
    assert cells['install'] == ['ok torch 9.0 [all]', 'ok']
    assert cells['train'] == ['', 'failed: exit status 1: KeyError: [x]']
    assert cells['resume'] == ['', 'not run: needs train']
    assert 'second line' not in stream.getvalue()


CASE = '<testcase classname="tests.test_a" name="{0}" time="1">{1}</testcase>'


def report(path, *inner):
    cases = ''.join(CASE.format(f'test_{n}', text) for n, text in enumerate(inner))
    skipped = sum('<skipped' in text for text in inner)
    path.write_text(
        f'<testsuites><testsuite tests="{len(inner)}" skipped="{skipped}" failures="0" errors="0" '
        f'time="7.6">{cases}</testsuite></testsuites>'
    )
    return path


def test_counts_of_a_suite(tmp_path):
    count, error = part('suite').count_tests, part('outcomes').StepError
    assert count(report(tmp_path / 'a.xml', '', '', '<skipped/>')) == '2 passed, 1 skipped, 8 s'
    with pytest.raises(error) as caught:
        count(report(tmp_path / 'b.xml', '', '<failure/>', '<skipped/>', '<error/>'))
    assert str(caught.value).splitlines() == [
        '2 failed, 1 passed, 1 skipped, 8 s',
        'tests.test_a.test_1',
        'tests.test_a.test_3',
    ]
    with pytest.raises(error, match='no test ran'):
        count(report(tmp_path / 'c.xml', '<skipped/>'))


def test_command_runs_without_the_source_and_a_failure_names_the_last_line(tmp_path, monkeypatch):
    """The environment's python is this one here; PYTHONPATH has to be gone."""
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    environment = part('environment').Environment(tmp_path / 'set', threads=3)
    environment.python = Path(sys.executable)
    code = (
        'import os; print(os.getcwd(), os.environ.get("PYTHONPATH"), os.environ["OMP_NUM_THREADS"])'
    )
    assert environment.run('ask', '-c', code).split() == [str(tmp_path / 'set/run'), 'None', '3']
    assert (tmp_path / 'set/logs/ask.txt').read_text().endswith(' None 3\n')
    with pytest.raises(part('outcomes').StepError) as caught:
        environment.run(
            'bad', '-c', 'print("begun", flush=True); raise SystemExit("no such thing")'
        )
    first, *rest = str(caught.value).splitlines()
    assert first == 'exit status 1: no such thing'
    assert rest == ['begun', 'no such thing']
    assert environment.run('five', '-c', 'raise SystemExit(5)', accept=(0, 5)) == ''


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--torch', '2.4.1', '--python', 'python0'], '--python python0: there is no such'),
        (['--torch', '2.4.1', '2.11.0', '--torchvision', '0.19.1'], '2 torch, but 1 torchvision'),
        (['--torch', '2.4.1', '--reuse'], '--reuse needs --folder'),
        (['--torch', '2.4.1', '--relax', 'nump'], '--relax: nump fits no pin'),
        (['--python', sys.executable], 'required: --torch'),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message):
    tool = [sys.executable, ROOT / 'tools' / 'check_release.py', *arguments]
    done = subprocess.run(tool, capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
