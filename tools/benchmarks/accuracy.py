# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""CNN-RNN models beside models of independent labels, on one feature cache, in one command.

CONFIG is the recommended config; it stands for data, batches, schedule, optimiser and weight
averaging, which all rows share unless a row in comparison/rows/ says otherwise. Thresholds are
chosen on val, and so are learning rates (--lr-factors). A run that is finished is not made again
unless something that decides its figures has changed. See docs/accuracy.md.
"""

import argparse
import sys
from pathlib import Path

from comparison.command import make_parser, read_args, run_comparison
from comparison.trainings import LABEL_ROWS
from rich.console import Console

OUT = Path('work_dirs/accuracy')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, 'the recommended config', LABEL_ROWS, OUT, 'mlp')
    return read_args(parser, arguments, OUT)


def main(arguments: list[str] | None = None, console: Console | None = None) -> int:
    """Train what is missing and write the tables; the exit status is 1 where a run failed."""
    args = parse_args(arguments)
    return run_comparison(args, LABEL_ROWS, console or Console(file=sys.stdout))


if __name__ == '__main__':
    sys.exit(main())
