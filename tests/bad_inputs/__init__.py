# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Every bad input that is tried, in one list; docs/bad_input.md is written from it."""

from .annotation_cases import ANNOTATION_CASES
from .case import Case, Outcome, run_case
from .checkpoint_cases import CHECKPOINT_CASES, Bomb
from .command_cases import COMMAND_CASES
from .config_cases import CONFIG_CASES
from .good_run import GoodRun
from .image_cases import IMAGE_CASES, png_bomb
from .proposal_cases import PROPOSAL_CASES
from .table import READ, as_row, read_table, versions, write_table

__all__ = [
    'CASES',
    'READ',
    'Bomb',
    'Case',
    'GoodRun',
    'Outcome',
    'as_row',
    'png_bomb',
    'read_table',
    'run_case',
    'versions',
    'write_table',
]

CASES = (
    *CONFIG_CASES,
    *ANNOTATION_CASES,
    *PROPOSAL_CASES,
    *IMAGE_CASES,
    *CHECKPOINT_CASES,
    *COMMAND_CASES,
)
