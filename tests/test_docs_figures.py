"""The tables of figures in the docs say what the published logs of the runs say."""

import json
import re
import runpy
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / 'docs'
ROW_FILES = ROOT / 'tools' / 'benchmarks' / 'comparison'
#: Page, heading, log, folders of rows, the last more important, and how many cells are compared at
#: least, so that a table that is no longer read is noticed.
TABLES = [
    ('accuracy.md', 'Corel5k', 'accuracy_corel5k', ['rows'], 300),
    ('accuracy.md', 'Demo scenes', 'accuracy_demo', ['rows'], 90),
    ('accuracy.md', 'Five classes of VOC', 'accuracy_voc5', ['rows'], 60),
    ('rlsd.md', 'Five classes of VOC', 'regions_voc5', ['rows', 'region_rows'], 40),
    ('rlsd.md', 'Demo scenes of 100 x 100', 'regions_demo', ['rows', 'region_rows'], 24),
    ('rlsd.md', 'Corel5k', 'regions_corel5k', ['rows', 'region_rows'], 12),
]
#: Logged nowhere: no training, so no log; and areas, which are figures of single labels.
WITHOUT_LOG = {'nearest photo'}
NOT_LOGGED = {'small', 'medium', 'large'}
#: Of a row file that was written for one run.
OWN_TITLES = {'three skips, one order': 'skip_three'}


def section(page: str, heading: str) -> str:
    text = (DOCS / page).read_text(encoding='utf-8')
    found = re.search(rf'^### {re.escape(heading)}\n(.*?)(?=^###? |\Z)', text, re.M | re.S)
    return found[1]


def tables(text: str):
    """Header and rows of each table, as lists of cells."""
    for block in re.findall(r'(?:^\|.*\|\n)+', text, re.M):
        lines = [line.strip('|').split('|') for line in block.splitlines()]
        header, _, *rows = [[cell.strip().replace('\\*', '*') for cell in line] for line in lines]
        yield header, rows


def names_of(folders: list[str]) -> dict[str, str]:
    """Row by title."""
    titles = {}
    for folder in folders:
        for path in sorted((ROW_FILES / folder).glob('*.py')):
            title = runpy.run_path(str(path)).get('title')  # a file of shared parts has none
            titles[title] = path.stem.replace('_', '-')
    return {**titles, **OWN_TITLES}


def figures_of(log: str) -> dict[str, dict[int, dict]]:
    """Row, seed, figure. Seeds from 1000 on are members of an ensemble."""
    runs = defaultdict(dict)
    for line in (DOCS / 'logs' / f'{log}.jsonl').read_text(encoding='utf-8').splitlines():
        run = json.loads(line)
        if run['seed'] < 1000:
            assert run['seed'] not in runs[run['row']], (run['row'], run['seed'])
            runs[run['row']][run['seed']] = {**run['figures'], **(run.get('completion') or {})}
    return runs


def expected(cell: str, values: dict[int, float]) -> str:
    """What a cell of this form has to be: mean and deviation of all seeds, or seed 0's value."""
    digits = len(cell.split()[0].partition('.')[2])
    if '±' not in cell:
        return f'{values[0]:.{digits}f}'
    numbers = list(values.values())
    return f'{fmean(numbers):.{digits}f} ± {stdev(numbers):.{digits}f}'


@pytest.mark.parametrize(('page', 'heading', 'log', 'folders', 'least'), TABLES)
def test_tables_are_the_logs(page, heading, log, folders, least):
    names, figures, compared, wrong = names_of(folders), figures_of(log), 0, []
    for header, rows in tables(section(page, heading)):
        for title, *cells in rows:
            if title.startswith('*') or title in WITHOUT_LOG or header[0] != 'model':
                continue
            seeds = figures[names[title]]
            for column, cell in zip(header[1:], cells, strict=True):
                if column in NOT_LOGGED or '[' in cell or cell == '-':
                    continue  # intervals are of pairs of rows, and not in the logs of runs
                right = expected(cell, {seed: value[column] for seed, value in seeds.items()})
                compared += 1
                if cell != right:
                    wrong.append((title, column, cell, right))
    assert not wrong
    assert compared >= least


def test_a_wrong_digit_is_noticed():
    values = {0: 50.96, 1: 51.21, 2: 51.08}
    assert expected('51.1 ± 0.1', values) == '51.1 ± 0.1'
    assert expected('51.2 ± 0.1', values) != '51.2 ± 0.1'
    assert expected('51.0', values) == '51.0'
    assert expected('7.03 ± 0.02', {0: 7.01, 1: 7.03, 2: 7.05}) == '7.03 ± 0.02'
