# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The benchmark's results as tables on the console, JSON and CSV."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from points import Row
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from whole_split import ExactnessRow, SplitRow

__all__ = ['print_exactness', 'print_grid', 'print_split', 'write_csv', 'write_json']


def print_grid(console: Console, rows: Sequence[Row]) -> None:
    """One table a configuration."""
    for key, group in groupby(
        rows, lambda row: (row.weights, row.num_labels, row.beam_size, row.batch_size)
    ):
        group = list(group)
        weights, labels, beams, batch = key
        table = Table(
            title=f'{weights} weights, {labels} labels, {beams} beams, {batch} images a batch',
            title_justify='left',
            box=SIMPLE_HEAD,
        )
        backbones = list(group[0].backbone_share)
        table.add_column('method', no_wrap=True)
        for column in (
            *('ms a\nbatch', 'min to\nmax', 'images\na second', 'times\nwarm', 'peak\nMB'),
            *(f'% of\n{name}{_mark(group[0], name)}' for name in backbones),
            *(
                'hits\n%',
                'trie\nnodes',
                'trie\nMB',
                'certi-\nfied %',
                'same\npath %',
                'log p\ngained',
            ),
            *('images\nrun', 're-\npeats'),
        ):
            table.add_column(column, justify='right', no_wrap=True)
        for row in group:
            table.add_row(
                row.name,
                _short(row.ms),
                f'{_short(row.ms_min)} to {_short(row.ms_max)}',
                _short(row.images_per_second),
                _short(row.ratio_to_warm),
                _short(row.peak_mb),
                *(_percent(row.backbone_share[name]) for name in backbones),
                _percent(row.hit_rate),
                '' if row.trie_nodes is None else str(row.trie_nodes),
                _short(row.trie_mb),
                _percent(row.proven_share),
                _percent(row.equal_share),
                f'{row.gain:+.3f}' if abs(row.gain) < 10 else f'{row.gain:+.0f}',
                _images(row),
                str(row.repeats),
            )
        console.print(table)
        for name in backbones:
            measured = group[0].backbone_measured_batch[name]
            if measured < batch:
                console.print(
                    f'* {name}: forward time of {batch} images extrapolated from {measured}'
                )
        if any(row.images_run < batch for row in group):
            console.print(
                f'Where fewer than {batch} images were run, the time is scaled from them, and the '
                'share of equal paths is theirs'
            )
        warm = {row.images_warm for row in group} - {None}
        if warm:
            console.print(f'Warm tries had met {max(warm)} other images')


def print_split(console: Console, rows: Sequence[SplitRow]) -> None:
    """The whole split, warm-up included."""
    for key, group in groupby(
        rows, lambda row: (row.weights, row.num_labels, row.beam_size, row.num_images)
    ):
        weights, labels, beams, images = key
        table = Table(
            title=f'{images} images in batches of 64, empty trie at the start: {weights} weights, '
            f'{labels} labels, {beams} beams',
            title_justify='left',
            box=SIMPLE_HEAD,
        )
        table.add_column('method', no_wrap=True)
        for column in (
            *('seconds', 'min to max', 'ms an image', 'times cold', 'hits %', 'trie nodes'),
            *('certified %', 'same path %'),
        ):
            table.add_column(column, justify='right', no_wrap=True)
        for row in group:
            table.add_row(
                row.name,
                _short(row.seconds),
                f'{_short(row.seconds_min)} to {_short(row.seconds_max)}',
                _short(row.ms_an_image),
                _short(row.ratio_to_cold),
                _percent(row.hit_rate),
                '' if row.trie_nodes is None else str(row.trie_nodes),
                _percent(row.proven_share),
                _percent(row.equal_share),
            )
        console.print(table)


def print_exactness(console: Console, rows: Sequence[ExactnessRow]) -> None:
    """What beams miss."""
    table = Table(
        title='Trained weights: does the beam find the path that best-first search proves best?',
        title_justify='left',
        box=SIMPLE_HEAD,
    )
    for column in (
        *('labels', 'beams', 'images', 'proven by best-first %', 'of these found by beam %'),
        *('certified by the beam itself %', 'log-probability lost, mean'),
    ):
        table.add_column(column, justify='right')
    for row in rows:
        table.add_row(
            *(str(value) for value in (row.num_labels, row.beam_size, row.num_images)),
            _percent(row.proven_by_best_first),
            _percent(row.found_best),
            _percent(row.proven_by_beam),
            f'{row.lost:.4f}',
        )
    console.print(table)


def write_json(path: Path, content: dict) -> None:
    """Write results and what they were measured on."""
    path.write_text(json.dumps(content, indent=2) + '\n')


def write_csv(path: Path, rows: Iterable[object]) -> None:
    """Write rows, nested values as columns of their own."""
    flat = [_flatten(asdict(row)) for row in rows]
    if not flat:
        return
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)


def _flatten(record: dict) -> dict:
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat.update({f'{key}_{name}': one for name, one in value.items()})
        else:
            flat[key] = value
    return flat


def _mark(row: Row, backbone: str) -> str:
    return '*' if row.backbone_measured_batch[backbone] < row.batch_size else ''


def _images(row: Row) -> str:
    return str(row.images_run) + (
        '' if row.images_run == row.batch_size else f' of {row.batch_size}'
    )


def _short(value: float | None) -> str:
    if value is None:
        return ''
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:.3g}'


def _percent(share: float | None) -> str:
    if share is None:
        return ''
    return f'{100 * share:.1f}' if share >= 0.001 or share == 0 else f'{100 * share:.2g}'
