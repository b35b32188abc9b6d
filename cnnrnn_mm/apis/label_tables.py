# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label statistics as tables on the terminal."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..datasets.statistics.report import PAIR_KINDS

__all__ = ['print_report']

PAIR_TITLES = {
    'common': 'Pairs with the most images',
    'attracting': 'Pairs that come together more often than by chance',
    'avoiding': 'Pairs that come together less often than by chance',
}


def print_report(report: dict, console: Console, top: int = 20) -> None:
    """Print tables and verdicts.

    Args:
        report: What ``label_report`` gives.
        console: Where to print.
        top: Most rows of a table.
    """
    images = report['num_images']
    rows = [
        (str(rank), str(one['id']), one['class'], f'{one["images"]:,}', _percent(one['share']))
        for rank, one in enumerate(report['classes'][:top], start=1)
    ]
    title = f'Classes, frequent first{_of(rows, report["classes"])}'
    _print_table(console, title, ('rank', 'id', '<class', 'images', '%'), rows)
    rows = [
        (
            str(one['labels']),
            f'{one["images"]:,}',
            _percent(one['images'] / images),
            _percent(one['if_independent'] / images),
        )
        for one in report['set_sizes']
    ]
    head = ('labels', 'images', '%', '% if independent')
    _print_table(console, 'Labels of an image', head, rows)
    rows = [
        (
            ', '.join(one['classes']) or '(no label)',
            f'{one["images"]:,}',
            _percent(one['images'] / images),
        )
        for one in report['common_sets'][:top]
    ]
    title = f'Label sets, the most common first ({len(rows)} of {report["distinct_sets"]:,})'
    _print_table(console, title, ('<labels, frequent first', 'images', '%'), rows)
    for kind in PAIR_KINDS:
        _print_pairs(console, PAIR_TITLES[kind], report['pairs'][kind][:top])
    rows = [
        (
            f'{one["first"]}, {one["second"]}',
            f'{one["bits"]:.4f}',
            _percent(one['share_of_smaller_entropy']),
        )
        for one in report['mutual_information']['pairs'][:top]
    ]
    head = ('<a, b', 'bits an image', "% of the rarer label's entropy")
    _print_table(console, 'Pairs with the most mutual information', head, rows)
    for sentence in report['verdicts']:
        console.print(f'- {sentence}', soft_wrap=True, markup=False, highlight=False)


def _print_pairs(console: Console, title: str, pairs: list[dict]) -> None:
    rows = [
        (
            f'{one["first"]}, {one["second"]}',
            f'{one["both"]:,}',
            f'{one["expected"]:,.{0 if one["expected"] >= 100 else 1}f}',
            _percent(one['second_given_first']),
            _percent(one['first_given_second']),
            f'{one["lift"]:.2f}',
            '-∞' if one['pmi'] is None else f'{one["pmi"]:.2f}',
            _format_rate(one['q_value']),
        )
        for one in pairs
    ]
    head = ('<a, b', 'both', 'chance', 'b|a %', 'a|b %', 'lift', 'PMI', 'FDR')
    _print_table(console, title, head, rows)


def _print_table(
    console: Console, title: str, head: Iterable[str], rows: Sequence[tuple[str, ...]]
) -> None:
    """Columns whose title starts with '<' hold names: flush left, and folded where too wide."""
    if not rows:
        console.print(f'{title}: none', markup=False)
        return
    table = Table(title=escape(title), title_justify='left', box=SIMPLE_HEAD, collapse_padding=True)
    for name in head:
        if name.startswith('<'):
            table.add_column(escape(name[1:]), overflow='fold')
        else:
            table.add_column(escape(name), justify='right', no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _of(rows: list, all_rows: list) -> str:
    return f' ({len(rows)} of {len(all_rows)})' if len(rows) < len(all_rows) else ''


def _format_rate(rate: float) -> str:
    if rate >= 0.005:
        return f'{rate:.2f}'
    return f'{rate:.0e}' if rate >= 1e-99 else '<1e-99'


def _percent(share: float) -> str:
    return f'{100 * share:.1f}'
