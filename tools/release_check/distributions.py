# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The sdist from the tree, the wheel from the sdist, and what they lack or should not hold."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .outcomes import StepError

__all__ = ['build_distributions', 'check_distributions', 'copy_tree', 'unpack']

PACKAGE = 'cnnrnn_mm'
MIM = ('configs', 'tools', 'model-index.yml')
#: What setuptools adds to an sdist.
MADE = ('PKG-INFO', 'setup.cfg')
MADE_FOLDER = f'{PACKAGE}.egg-info/'
#: What a tree may hold of which a distribution must hold nothing.
UNWANTED = ('__pycache__', '.git', '.venv', '.hypothesis', '.pytest_cache', '.ruff_cache')
UNWANTED += ('build', 'dist', 'work_dirs', '_build')
SUFFIXES = ('.pyc', '.pyo', '.pth', '.orig', '.rej', '.egg-info')


def copy_tree(root: Path, target: Path) -> Path:
    """Copy a tree without what ``.gitignore`` names, builds of before among it.

    setuptools puts into an sdist what the egg-info of an earlier build lists; a copy has none.
    """
    lines = (root / '.gitignore').read_text(encoding='utf-8').splitlines()
    ignored = [Path(line).name for line in lines if line and not line.startswith('#')]
    shutil.copytree(root, target, ignore=shutil.ignore_patterns('.git', *ignored), symlinks=True)
    return target


def build_distributions(tree: Path, out: Path) -> tuple[Path, Path]:
    """Run ``python -m build``, which builds the wheel from the sdist.

    Returns:
        The sdist and the wheel, in ``out``.

    Raises:
        StepError: If the build fails.
    """
    command = [sys.executable, '-m', 'build', '--outdir', str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise StepError(f'python -m build failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}')
    (sdist,) = out.glob('*.tar.gz')
    (wheel,) = out.glob('*.whl')
    return sdist, wheel


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist below ``folder``; return its only folder."""
    with tarfile.open(sdist) as archive:
        # Python 3.10 has the argument from 3.10.12 on; the archive is ours.
        if hasattr(tarfile, 'data_filter'):
            archive.extractall(folder, filter='data')
        else:
            archive.extractall(folder)
    (tree,) = folder.iterdir()
    return tree


def check_distributions(tree: Path, sdist: Path, wheel: Path) -> str:
    """Compare what the distributions hold with the tree they were built from.

    The sdist must hold every file of the tree that is not hidden. The wheel must hold the package,
    with ``configs``, ``tools`` and ``model-index.yml`` below ``.mim``, where mim looks, and nothing
    else.

    Returns:
        A note: how many files each holds.

    Raises:
        StepError: If a file is missing or unwanted; the message names each.
    """
    files = _files(tree)
    with tarfile.open(sdist) as archive:
        # Everything is below one folder, cnnrnn_mm-<version>.
        members = [member.name for member in archive if not member.isdir()]
        in_sdist = {name.partition('/')[2] for name in members}
    # Hidden files, such as .gitignore, may be there or not.
    seen = {name for name in in_sdist if name not in MADE and not name.startswith(MADE_FOLDER)}
    seen = {name for name in seen if not name.startswith('.') or _unwanted(name)}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith('/')}
        in_wheel = {name for name in names if '.dist-info/' not in name}
    expected = {name for name in files if name.startswith(f'{PACKAGE}/')}
    expected |= {f'{PACKAGE}/.mim/{name}' for name in files if name.split('/')[0] in MIM}
    faults = [
        *_faults('the sdist', {name for name in files if not name.startswith('.')}, seen),
        *_faults('the wheel', expected, in_wheel),
    ]
    if faults:
        raise StepError('\n'.join([f'{len(faults)} faults: {faults[0]}', *faults[1:]]))
    return f'{len(in_sdist)} files in the sdist, {len(names)} in the wheel'


def _files(tree: Path) -> set[str]:
    paths = (path.relative_to(tree) for path in tree.rglob('*') if path.is_file())
    return {path.as_posix() for path in paths if not _unwanted(path.as_posix())}


def _unwanted(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part in UNWANTED or part.endswith(SUFFIXES) for part in parts)


def _faults(holder: str, expected: set[str], found: Iterable[str]) -> list[str]:
    found = set(found)
    lacking = [f'{holder} lacks {name}' for name in sorted(expected - found)]
    return lacking + [f'{holder} should not hold {name}' for name in sorted(found - expected)]
