# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Try every bad input of tests/bad_inputs and write what the tools say to docs/bad_input.md."""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the cases, write the table; the exit status is 1 if a case does not end as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', default='', help='print the cases with this text, write nothing')
    args = parser.parse_args()
    sys.path[:0] = [str(ROOT / 'tests'), str(ROOT)]
    from bad_inputs import CASES, GoodRun, run_case, write_table

    torch.set_num_threads(1)
    console, outcomes, wrong = Console(), [], 0
    cases = [case for case in CASES if args.only in f'{case.area}: {case.name}']
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / 'good').mkdir()
        run = GoodRun(Path(folder) / 'good')
        for number, case in enumerate(track(cases, console=Console(stderr=True))):
            outcome = run_case(case, run, Path(folder) / str(number))
            outcomes.append(outcome)
            bad = outcome.crashed or outcome.status != case.status or outcome.left
            wrong += bool(bad)
            if bad or args.only:
                text = f'{case.area}: {case.name}: exit {outcome.status}: {outcome.message}'
                console.print(text, markup=False, soft_wrap=True)
                console.print(outcome.crashed or outcome.left or '', markup=False)
    if not args.only:
        write_table(CASES, outcomes)
        console.print(f'{len(CASES)} inputs, {wrong} not as they should be: docs/bad_input.md')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
