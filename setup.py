"""Put ``configs/``, ``tools/`` and ``model-index.yml`` under ``cnnrnn_mm/.mim``, where mim looks.

Everything else about the package is in ``pyproject.toml``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_RESOURCES = ('configs', 'tools', 'model-index.yml')


class BuildPyWithMim(build_py):
    """``build_py`` that adds the mim resources: copied for a wheel, linked for an editable install.

    ``editable_mode`` is what setuptools sets for ``pip install -e``; the command line shows only
    ``editable_wheel``, so a test for ``develop`` in ``sys.argv`` would miss it.
    """

    def run(self) -> None:
        """Build the modules, then put the resources beside them."""
        # What a build leaves outlives it: without this, a file that has been deleted would ship.
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib, 'cnnrnn_mm'), ignore_errors=True)
        super().run()
        package = ROOT if self.editable_mode else Path(self.build_lib)
        target = package / 'cnnrnn_mm' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MIM_RESOURCES:
            if self.editable_mode:
                (target / name).symlink_to(Path('..', '..', name))
            else:
                copy(ROOT / name, target / name)


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, without what Python leaves in it."""
    if source.is_dir():
        ignored = shutil.ignore_patterns('__pycache__', '*.py[cod]')
        shutil.copytree(source, target, ignore=ignored)
    else:
        shutil.copy2(source, target)


setup(cmdclass={'build_py': BuildPyWithMim})
