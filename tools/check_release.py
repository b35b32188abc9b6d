# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Check the distributions in empty environments, one for each release of torch.

Builds the sdist from the tree and the wheel from the sdist, then for each torch makes a virtual
environment, installs the wheel with the extras mmcv-lite, demo and test under the pins of
constraints.txt (but for those that torch itself brings), and away from the source: imports
everything, looks every type up, makes data, trains, resumes, tests and predicts. With --tests the
sdist's test suite runs against what is installed. The exit status is 1 if anything failed.

An environment takes 5 to 6 GB and some minutes; it is removed unless --keep is given.
"""

import argparse
import importlib.util
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from release_check.distributions import build_distributions, check_distributions, copy_tree, unpack
from release_check.environment import Environment
from release_check.outcomes import Outcome, Step, exit_status, outcome_table, run_steps
from release_check.pins import relax_pins
from release_check.release_set import ReleaseSet
from rich.console import Console
from rich.markup import escape

ROOT = Path(__file__).resolve().parents[1]


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--torch', nargs='+', metavar='X', required=True, help='releases, such as 2.4.1')
    add('--torchvision', nargs='+', metavar='X', help="one for each torch (pip's choice)")
    add('--python', default=sys.executable, help='interpreter of the environments (this one)')
    add('--from', dest='source', choices=['wheel', 'sdist'], default='wheel', help='(%(default)s)')
    add('--extras', default='mmcv-lite,demo,test', help='to install with it (%(default)s)')
    add('--relax', nargs='+', metavar='NAME', default=[], help='more packages to leave unpinned')
    add('--tests', action='store_true', help='run the test suite, too')
    add('--pytest', metavar='ARGS', default='-n 2 --dist loadfile', help='("%(default)s")')
    add('--folder', type=Path, help='for builds, environments and logs (a temporary one)')
    add('--keep', action='store_true', help='remove nothing')
    add('--reuse', action='store_true', help='only install the wheel anew where --folder has all')
    args = parser.parse_args(arguments)
    if args.torchvision is None:
        args.torchvision = [None] * len(args.torch)
    if len(args.torchvision) != len(args.torch):
        parser.error(f'{len(args.torch)} torch, but {len(args.torchvision)} torchvision')
    if shutil.which(args.python) is None:
        parser.error(f'--python {args.python}: there is no such interpreter')
    asked = [args.python, '-c', 'import platform; print(platform.python_version())']
    args.version = subprocess.check_output(asked, text=True).strip()
    if args.reuse and args.folder is None:
        parser.error('--reuse needs --folder, where an earlier check was kept')
    try:
        args.pins = relax_pins((ROOT / 'constraints.txt').read_text(encoding='utf-8'), args.relax)
    except ValueError as error:
        parser.error(f'--relax: {error}')
    if importlib.util.find_spec('build') is None:
        parser.error("the package build is not installed: pip install '.[dev]'")
    return args


def check(args: argparse.Namespace, folder: Path, console: Console) -> int:
    """Build, then check each set; return the exit status."""

    def tell(name: str, outcome: Outcome) -> None:
        colour = {'ok': 'green', 'failed': 'red'}.get(outcome.status, 'yellow')
        console.print(
            f'  [{colour}]{outcome.status}[/] {name}: {escape(outcome.note)}', soft_wrap=True
        )

    for old in ('source', 'dist', 'sdist'):
        shutil.rmtree(folder / old, ignore_errors=True)
    console.rule('build')
    tree, built = copy_tree(ROOT, folder / 'source'), {}

    def build() -> str:
        built['sdist'], built['wheel'] = build_distributions(tree, folder / 'dist')
        built['tree'] = unpack(built['sdist'], folder / 'sdist')
        return ', '.join(path.name for path in (built['sdist'], built['wheel']))

    def contents() -> str:
        return check_distributions(tree, built['sdist'], built['wheel'])

    steps = [Step('build', build), Step('contents', contents, ('build',))]
    sets = {'the tree': run_steps(steps, tell)}
    if built:
        pins = folder / 'constraints.txt'
        pins.write_text(args.pins, encoding='utf-8')
        for torch, torchvision in zip(args.torch, args.torchvision, strict=True):
            name = f'torch {torch}, Python {args.version}'
            console.rule(name)
            release = ReleaseSet(
                environment=Environment(folder / f'torch_{torch}_python_{args.version}'),
                python=args.python,
                torch=torch,
                torchvision=torchvision,
                distribution=built[args.source],
                extras=args.extras,
                constraints=pins,
                tree=built['tree'],
                reuse=args.reuse,
                pytest=shlex.split(args.pytest) if args.tests else None,
            )
            sets[name] = run_steps(release.steps(), tell)
            if not args.keep:
                shutil.rmtree(release.environment.folder / 'venv', ignore_errors=True)
    console.print(outcome_table(sets))
    return exit_status(sets)


def main() -> int:
    """Check in a temporary folder or a given one."""
    args = parse_args()
    console = Console()
    if args.folder is None and not args.keep:
        with tempfile.TemporaryDirectory(prefix='release_') as folder:
            return check(args, Path(folder), console)
    folder = (args.folder or Path(tempfile.mkdtemp(prefix='release_'))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    status = check(args, folder, console)
    console.print(f'logs: {folder}/torch_*/logs')
    return status


if __name__ == '__main__':
    sys.exit(main())
