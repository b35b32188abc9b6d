"""What the distributions hold, what the pins cover, what the launchers pass on.

Everything is built without isolation, with the running interpreter, in a copy of the tree.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    '.gitignore',
    'CHANGELOG.md',
    'CITATION.cff',
    'LICENSE',
    'MANIFEST.in',
    'Makefile',
    'README.md',
    'constraints.txt',
    'model-index.yml',
    'pyproject.toml',
    'setup.py',
)
FOLDERS = ('cnnrnn_mm', 'configs', 'docs', 'tests', 'tools')
#: What a tree may hold besides; none of it is for users.
LEFT_BEHIND = (
    '.venv/pyvenv.cfg',
    'build/lib/cnnrnn_mm/gone.py',
    'cnnrnn_mm/.mim/configs/gone.py',
    'cnnrnn_mm/__pycache__/registry.cpython-311.pyc',
    'configs/__pycache__/cnnrnn_demo.cpython-311.pyc',
    'data/demo_scenes/JPEGImages/0.jpg',
    'docs/_build/html/index.html',
    'tests/__pycache__/tiny_run.cpython-311.pyc',
    'tools/__pycache__/train.cpython-311.pyc',
    'work_dirs/cnnrnn_demo/epoch_1.pth',
)
MIM = 'cnnrnn_mm/.mim'
OLDEST_SETUPTOOLS = '77.0.3'  # as pyproject.toml asks

pytestmark = pytest.mark.skipif(
    not (ROOT / 'cnnrnn_mm').is_dir(), reason='needs the source of the package beside the tests'
)


def build(kind: str, tree: Path, out: Path) -> Path:
    """Call one PEP 517 hook in ``tree``; return the file it made in ``out``."""
    out.mkdir()
    code = f'from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})'
    done = subprocess.run([sys.executable, '-c', code], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.iterdir()
    return built


def files_under(folder: Path) -> set[str]:
    paths = {p.relative_to(folder) for p in folder.rglob('*') if p.is_file()}
    return {p.as_posix() for p in paths if not {'__pycache__', '.mim', '_build'} & set(p.parts)}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename for info in archive.infolist() if not info.is_dir()}


def requirements_of(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        metadata = Parser().parsestr(archive.read(name).decode())
    return [Requirement(text) for text in metadata.get_all('Requires-Dist')]


@pytest.fixture
def tree(tmp_path) -> Path:
    return copy_tree(tmp_path / 'tree')


def copy_tree(target: Path) -> Path:
    if Version(version('setuptools')) < Version(OLDEST_SETUPTOOLS):
        pytest.skip(f'needs setuptools {OLDEST_SETUPTOOLS}, here is {version("setuptools")}')
    target.mkdir()
    for name in FILES:
        shutil.copy2(ROOT / name, target / name)
    for name in FOLDERS:
        ignored = shutil.ignore_patterns('__pycache__', '.mim', '_build')
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    return target


def unpack(sdist: Path, folder: Path) -> Path:
    folder.mkdir()
    subprocess.check_call(['tar', '-xf', sdist, '-C', folder])
    (unpacked,) = folder.iterdir()
    return unpacked


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('wheel')
    return build('wheel', copy_tree(folder / 'tree'), folder / 'out')


def test_wheel_holds_the_package_and_the_mim_resources_and_nothing_else(wheel):
    expected = {f'cnnrnn_mm/{name}' for name in files_under(ROOT / 'cnnrnn_mm')}
    expected |= {f'{MIM}/configs/{name}' for name in files_under(ROOT / 'configs')}
    expected |= {f'{MIM}/tools/{name}' for name in files_under(ROOT / 'tools')}
    expected |= {f'{MIM}/model-index.yml'}
    found = {name for name in names_in(wheel) if '.dist-info/' not in name}
    assert found == expected
    assert f'{MIM}/tools/train.py' in found
    assert any(name.startswith(f'{MIM}/configs/') and name.endswith('.py') for name in found)


def test_wheel_keeps_the_launchers_executable(wheel):
    with zipfile.ZipFile(wheel) as archive:
        scripts = [info for info in archive.infolist() if info.filename.endswith('.sh')]
    assert len(scripts) == 4
    assert all(info.external_attr >> 16 & 0o111 for info in scripts)


def test_wheel_built_from_the_sdist_is_the_same(wheel, tree, tmp_path):
    unpacked = unpack(build('sdist', tree, tmp_path / 'sdist'), tmp_path / 'unpacked')
    # The tests read pages of the docs and the files at the root, too.
    for name in FOLDERS:
        assert files_under(ROOT / name) == files_under(unpacked / name)
    assert {name for name in FILES if not (unpacked / name).is_file()} == set()
    assert names_in(build('wheel', unpacked, tmp_path / 'out')) == names_in(wheel)


def test_neither_holds_what_was_left_behind_in_the_tree(wheel, tree, tmp_path):
    for name in LEFT_BEHIND:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text('left behind')
    # As an editable install links them.
    (tree / MIM / 'tools').symlink_to(Path('..', '..', 'tools'))
    unpacked = unpack(build('sdist', tree, tmp_path / 'sdist'), tmp_path / 'unpacked')
    kept = {name for name in LEFT_BEHIND if (unpacked / name).exists()}
    assert kept == set()
    assert not (unpacked / MIM).exists()
    shutil.rmtree(tree / 'build')  # setuptools takes up what an earlier build in the tree left
    assert names_in(build('wheel', tree, tmp_path / 'out')) == names_in(wheel)


def test_second_build_does_not_ship_what_was_deleted(tree, tmp_path):
    stale = {f'{MIM}/configs/stale.py': 'configs', 'cnnrnn_mm/stale.py': 'cnnrnn_mm'}
    for folder in stale.values():
        (tree / folder / 'stale.py').touch()
    assert set(stale) <= names_in(build('wheel', tree, tmp_path / 'first'))
    for folder in stale.values():
        (tree / folder / 'stale.py').unlink()
    assert not set(stale) & names_in(build('wheel', tree, tmp_path / 'second'))


@pytest.mark.skipif(shutil.which('git') is None, reason='needs git')
def test_editable_install_links_the_resources_and_leaves_nothing_to_track(tree, tmp_path):
    def git(*arguments: str) -> str:
        return subprocess.check_output(['git', *arguments], cwd=tree, text=True)

    git('init', '-q')
    git('add', '.')
    before = git('status', '--porcelain', '--untracked-files=all')
    # What an earlier install left has to give way.
    (tree / MIM / 'tools').mkdir(parents=True)
    (tree / MIM / 'model-index.yml').symlink_to('gone')
    build('editable', tree, tmp_path / 'out')
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (tree / MIM / name).resolve() == (tree / name).resolve()
        assert (tree / MIM / name).exists()
    assert git('status', '--porcelain', '--untracked-files=all') == before


def test_constraints_pin_every_requirement_once_and_within_its_range(wheel):
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith('#')]
    pinned = {canonicalize_name(pin.name): str(pin.specifier) for pin in pins}
    assert len(pinned) == len(pins)
    assert all(specifier.startswith('==') for specifier in pinned.values())

    requirements = requirements_of(wheel)
    assert {'torch', 'mmpretrain', 'mmcv-lite', 'pytest'} <= {r.name for r in requirements}
    for requirement in requirements:
        pin = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin.removeprefix('==')), (requirement, pin)


def test_hard_dependencies_leave_the_choice_of_mmcv_to_the_user(wheel):
    hard = {needed.name for needed in requirements_of(wheel) if needed.marker is None}
    assert 'mmpretrain' in hard
    assert not hard & {'mmcv', 'mmcv-lite'}


def test_model_index_loads():
    load = pytest.importorskip('modelindex.load_model_index').load
    index = load(str(ROOT / 'model-index.yml'))
    assert [collection.name for collection in index.collections] == ['CNN-RNN', 'RLSD']
    assert index.check(silent=True) == []


OPTION = 'work_dir=a folder'  # the space shows whether quoting survives


@pytest.mark.parametrize(
    ('script', 'arguments', 'passed_on'),
    [
        ('dist_train.sh', ['c.py', '2'], ['train.py', 'c.py', '--launcher', 'pytorch']),
        (
            'dist_test.sh',
            ['c.py', 'c.pth', '2'],
            ['test.py', 'c.py', 'c.pth', '--launcher', 'pytorch'],
        ),
        (
            'slurm_train.sh',
            ['part', 'job', 'c.py', 'out'],
            ['train.py', 'c.py', '--work-dir=out', '--launcher', 'slurm'],
        ),
        (
            'slurm_test.sh',
            ['part', 'job', 'c.py', 'c.pth'],
            ['test.py', 'c.py', 'c.pth', '--launcher', 'slurm'],
        ),
    ],
)
def test_launchers_pass_their_arguments_on(script, arguments, passed_on, tmp_path):
    for stub in ('python-stub', 'srun'):
        (tmp_path / stub).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (tmp_path / stub).chmod(0o755)
    environment = os.environ | {
        'PATH': f'{tmp_path}{os.pathsep}{os.environ["PATH"]}',
        'PYTHON': 'python-stub',
    }
    command = [ROOT / 'tools' / script, *arguments, '--cfg-options', OPTION]
    printed = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
    words = printed.splitlines()
    tail = words[-len(passed_on) - 2 :]
    assert [Path(tail[0]).name, *tail[1:]] == [*passed_on, '--cfg-options', OPTION]
    assert tail[0] == str(ROOT / 'tools' / passed_on[0])
    if script.startswith('dist'):
        assert '--nproc-per-node=2' in words


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_launchers_say_what_they_need(script):
    done = subprocess.run([ROOT / 'tools' / script, 'c.py'], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'usage:' in done.stderr and 'CONFIG' in done.stderr
