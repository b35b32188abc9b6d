# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One environment of a release check: what is installed in it, and what is tried there."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from .environment import Environment
from .outcomes import Step, StepError
from .small_run import SmallRun
from .suite import run_suite

__all__ = ['ReleaseSet']

INSTALLED = Path(__file__).with_name('installed.py')


@dataclass
class ReleaseSet:
    """A release of torch, and everything that is tried with it.

    Attributes:
        environment: Where; it may hold what an earlier check kept.
        python: Interpreter to make it with.
        torch: Release to install, exactly as given.
        torchvision: The same; None leaves the choice to pip.
        distribution: The wheel or the sdist.
        extras: Of the package, to install with it, with commas between.
        constraints: File with the pins that hold.
        tree: The unpacked sdist.
        reuse: Install the distribution alone where the environment is there already.
        pytest: Arguments for the test suite; None leaves it out.
        versions: By package name, once installed.
    """

    environment: Environment
    python: str
    torch: str
    torchvision: str | None
    distribution: Path
    extras: str
    constraints: Path
    tree: Path
    reuse: bool = False
    pytest: list[str] | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def steps(self) -> list[Step]:
        """Everything to try, in order."""
        run = SmallRun(self.environment)
        there = ('install',)
        steps = [
            Step('install', self.install),
            Step('pip check', self.pip_check, there),
            Step('imports', self.imports, there),
            Step('types by prefix', self.types, there),
            Step('mim resources', self.resources, ('imports',)),
            Step('make data', run.make_data, ('mim resources',)),
            Step('train', run.train, ('make data',)),
            Step('resume', run.resume, ('train',)),
            Step('test', run.test, ('resume',)),
            Step('predict', run.predict, ('resume',)),
        ]
        if self.pytest is not None:
            steps.append(Step('test suite', self.suite, there))
            steps.append(Step('tests of the source', self.source_tests, there))
        return steps

    def install(self) -> str:
        """Make the environment and install the distribution with its extras and torch."""
        environment = self.environment
        kept = environment.folder / 'installed'
        if self.reuse and kept.exists():
            options = ('--force-reinstall', '--no-deps')
            environment.install([str(self.distribution)], *options)
        else:
            kept.unlink(missing_ok=True)
            environment.create(self.python)
            # '===' takes no local version, such as +cpu, that was not asked for.
            wanted = [f'{self.distribution}[{self.extras}]', f'torch==={self.torch}', 'torchvision']
            if self.torchvision is not None:
                wanted[-1] += f'==={self.torchvision}'
            environment.install(wanted, '-c', self.constraints)
            kept.touch()
        self.versions = self.ask('versions')
        return ', '.join(f'{name} {version}' for name, version in self.versions.items())

    def pip_check(self) -> str:
        """No installed package contradicts another's requirements."""
        return self.environment.run('pip_check', '-m', 'pip', 'check').strip().splitlines()[-1]

    def imports(self) -> str:
        """Everything imports."""
        found = self.ask('imports')
        return f'{found["modules"]} modules, {found["names"]} public names'

    def types(self) -> str:
        """Every type is found by its prefix."""
        return f'{self.ask("types")["types"]} types'

    def resources(self) -> str:
        """What mim looks for is installed: each config and tool of the sdist."""
        mim = Path(self.ask('imports')['folder']) / '.mim'
        wanted = [self.tree / 'model-index.yml']
        for folder in ('configs', 'tools'):
            wanted += [path for path in (self.tree / folder).rglob('*') if path.is_file()]
        names = sorted(path.relative_to(self.tree).as_posix() for path in wanted)
        missing = [name for name in names if not (mim / name).is_file()]
        if missing:
            raise StepError('\n'.join([f'{len(missing)} missing: {missing[0]}', *missing[1:]]))
        self.environment.mim = mim
        return f'{len(names)} files'

    def suite(self) -> str:
        """The sdist's tests, with nothing but the installed package to import."""
        return run_suite(self.environment, self.tree, self.pytest or [])

    def source_tests(self) -> str:
        """The tests that are about the source tree, in the sdist as it is."""
        return run_suite(self.environment, self.tree, self.pytest or [], of_the_source=True)

    def ask(self, question: str) -> dict:
        """The answer of ``installed.py``, which sees the environment alone."""
        said = self.environment.run(question, '-I', INSTALLED, question)
        return json.loads(said.strip().splitlines()[-1])
