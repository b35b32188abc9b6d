# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The test suite of the unpacked sdist, run against the installed package."""

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from .environment import Environment
from .outcomes import StepError

__all__ = ['count_tests', 'run_suite']

#: Tests of the source tree, which skip where the package is not beside the tests.
SOURCE_TESTS = ('tests/test_packaging.py', 'tests/test_apis/test_model_hub.py')
TESTS_FAILED = 1


def run_suite(
    environment: Environment, tree: Path, arguments: Sequence[str], of_the_source: bool = False
) -> str:
    """Run pytest in a copy of an unpacked sdist.

    The copy lacks the package's folder, so the tests and the processes that they start can import
    none but the installed package. With ``of_the_source`` the copy is whole and only
    :data:`SOURCE_TESTS` run.

    Args:
        environment: Where the package is installed.
        tree: The unpacked sdist; it stays as it is.
        arguments: More for pytest.
        of_the_source: See above.

    Returns:
        How many tests passed and were skipped, and the seconds.

    Raises:
        StepError: If a test fails or none runs; the message names those that failed.
    """
    name = 'source_tests' if of_the_source else 'suite'
    copy, report = environment.folder / name, environment.logs / f'{name}.xml'
    shutil.rmtree(copy, ignore_errors=True)
    report.unlink(missing_ok=True)
    shutil.copytree(tree, copy)
    words = ['-m', 'pytest', f'--junitxml={report}', '-p', 'no:cacheprovider', *arguments]
    if of_the_source:
        words += SOURCE_TESTS
    else:
        shutil.rmtree(copy / 'cnnrnn_mm')
    environment.run(name, *words, cwd=copy, accept=(0, TESTS_FAILED))
    return count_tests(report)


def count_tests(report: Path) -> str:
    """Sum up a JUnit report, as :func:`run_suite` says."""
    suites = list(ElementTree.parse(report).getroot().iter('testsuite'))
    total, skipped = (sum(int(s.get(key, '0')) for s in suites) for key in ('tests', 'skipped'))
    failed = [
        f'{case.get("classname")}.{case.get("name")}'
        for suite in suites
        for case in suite.iter('testcase')
        if case.find('failure') is not None or case.find('error') is not None
    ]
    seconds = sum(float(suite.get('time', '0')) for suite in suites)
    counts = f'{total - skipped - len(set(failed))} passed, {skipped} skipped'
    if failed:
        names = sorted(set(failed))
        raise StepError('\n'.join([f'{len(names)} failed, {counts}, {seconds:.0f} s', *names]))
    if total == skipped:
        raise StepError(f'no test ran: {counts}')
    return f'{counts}, {seconds:.0f} s'
