# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The pointing game on demo scenes: does a heat map peak on the digit that the label names?

Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016. Each label of a scene
is explained at its step of the true path (teacher forcing, in the order of training), and the map's
highest point has to lie in the label's box. A map that is 0 everywhere is a miss.

The label of a smudged digit can not be read off its box: what speaks for it lies elsewhere, if
anywhere. So there are figures for anchors, readable companions and smudged ones, too. --alone plays
on scenes with one readable digit: the others are painted out, and the path is the one label.
--occlusion asks the model itself, without any map: of all digits of the scene, does painting out
the label's own take most off the same score? See docs/attention.md.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import cv2
import numpy as np
import torch
from machine import describe_run
from mmcv import imread
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cnnrnn_mm.apis.attention import DEFAULT_SCORE, METHODS, SCORES, step_attention
from cnnrnn_mm.apis.attention.network_input import read_network_input
from cnnrnn_mm.apis.attention.pointing import box_share, mass_share, peak_in_box
from cnnrnn_mm.apis.attention.step_score import StepScore
from cnnrnn_mm.apis.command_line import report_usage_errors
from cnnrnn_mm.apis.split_dataset import build_split_dataset
from cnnrnn_mm.apis.trained_model import TrainedModel, load_trained_model
from cnnrnn_mm.datasets.demo_scenes.law import KIND_PROBABILITIES
from cnnrnn_mm.datasets.label_table import write_whole
from cnnrnn_mm.datasets.readers.voc_file import parse_voc_file
from cnnrnn_mm.errors import UsageError

GROUPS = {
    'all': ('anchor', 'companion', 'smudged'),
    'readable': ('anchor', 'companion'),
    'anchor': ('anchor',),
    'companion': ('companion',),
    'smudged': ('smudged',),
}


class Digit(NamedTuple):
    """A digit of a scene: class id, box in pixels, and 'anchor', 'companion' or 'smudged'."""

    label: int
    box: tuple[int, int, int, int]
    kind: str


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('config', help='config of a model of the demo scenes')
    add('checkpoint', help='its trained weights')
    add('--split', choices=['val', 'test'], default='test')
    add('--methods', nargs='+', choices=METHODS, default=list(METHODS))
    add('--scores', nargs='+', choices=list(SCORES), default=[DEFAULT_SCORE])
    add('--layers', nargs='+', default=[None], help='whose map is explained; default: the last one')
    add('--tolerance', type=float, default=0.0, help='pixels around the box (%(default)s)')
    add('--limit', type=int, help='only so many scenes, the first ones')
    add('--alone', action='store_true', help='one readable digit at a time')
    add('--occlusion', action='store_true', help='also what painting out digits says')
    add('--device', help='cpu, cuda, ...; default: a GPU where there is one')
    add('--out', type=Path, help='write the figures as JSON')
    args = parser.parse_args(arguments)
    if args.tolerance < 0 or (args.limit is not None and args.limit < 1):
        parser.error('--tolerance is at least 0, and --limit at least 1')
    return args


def read_digits(photo: Path, classes: tuple[str, ...]) -> list[Digit]:
    """The digits of a scene, from its annotation."""
    path = photo.parent.parent / 'Annotations' / f'{photo.stem}.xml'
    if not path.is_file():
        raise UsageError(f'{path} does not exist: the pointing game is for demo scenes')
    content = path.read_bytes()
    marks = [one.findtext('smudged') for one in ElementTree.fromstring(content).iter('object')]
    digits = []
    for thing, mark in zip(parse_voc_file(content, str(path)).objects, marks, strict=True):
        if mark is None or thing.box is None:
            raise UsageError(f'{path} does not say what is smudged: give demo scenes')
        label = classes.index(thing.name)
        kind = 'anchor' if label in KIND_PROBABILITIES else 'companion'
        left, top, right, bottom = (int(edge) for edge in thing.box)
        box = (left - 1, top - 1, right, bottom)
        digits.append(Digit(label, box, 'smudged' if mark == '1' else kind))
    return digits


def paint_out(pixels: np.ndarray, digits: list[Digit]) -> np.ndarray:
    """The scene with the background in place of some digits, one pixel around them included."""
    mask = np.zeros(pixels.shape[:2], np.uint8)
    for digit in digits:
        left, top, right, bottom = digit.box
        mask[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = 1
    return cv2.inpaint(pixels, mask, 3, cv2.INPAINT_TELEA)


def find_games(pixels: np.ndarray, digits: list[Digit], alone: bool) -> list:
    """Pixels (h, w, 3) and digits in path order: the scene, or one for each readable digit."""
    if not alone:
        return [(pixels, digits)] if digits else []
    readable = [one for one in digits if one.kind != 'smudged']
    return [(paint_out(pixels, [o for o in digits if o is not one]), [one]) for one in readable]


def play(trained: TrainedModel, game: tuple, options: dict, tolerance: float) -> list[dict]:
    """One row for each digit."""
    pixels, digits = game
    found = step_attention(trained, pixels, path=[one.label for one in digits], **options)
    rows = []
    for heat, digit in zip(found.maps, digits, strict=True):
        centre = torch.zeros_like(heat)
        centre[heat.shape[0] // 2, heat.shape[1] // 2] = 1
        rows.append(
            dict(
                kind=digit.kind,
                hit=peak_in_box(heat, digit.box, tolerance),
                other=any(peak_in_box(heat, one.box) for one in digits if one is not digit),
                mass=mass_share(heat, digit.box),
                chance=box_share(tuple(heat.shape), digit.box),
                centre=peak_in_box(centre, digit.box, tolerance),
            )
        )
    return rows


@torch.no_grad()
def occlude(trained: TrainedModel, game: tuple, score: str) -> list[dict]:
    """Whether a label's own digit is the one that its score needs most."""
    pixels, digits = game
    scenes = [pixels, *(paint_out(pixels, [one]) for one in digits)]
    given = [read_network_input(trained, one) for one in scenes]
    inputs = torch.cat([one.inputs for one in given])
    path = [one.label for one in digits]
    asked = StepScore(trained.model, path, range(len(path)), path, score, given[0].sample)
    rows = []
    for step, digit in enumerate(digits):
        values = asked(inputs, torch.full((len(inputs),), step, device=inputs.device))
        rows.append(dict(kind=digit.kind, hit=int(values[1:].argmin()) == step))
    return rows


def summarise(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Means in percent, by group."""
    found = {}
    for group, kinds in GROUPS.items():
        members = [row for row in rows if row['kind'] in kinds]
        if members:
            keys = [key for key in members[0] if key != 'kind']
            means = {key: 100 * float(np.mean([row[key] for row in members])) for key in keys}
            found[group] = dict(count=len(members), **means)
    return found


def show(console: Console, title: str, figures: dict[str, dict[str, float]]) -> None:
    """One table."""
    names = dict(hit='hits %', other='on another digit %', mass='mass in box %')
    names.update(chance='box area %', centre='centre in box %')
    table = Table(title=title, title_justify='left', box=SIMPLE_HEAD)
    for name in (
        'digits',
        'count',
        *(names[key] for key in next(iter(figures.values())) if key in names),
    ):
        table.add_column(name, justify='left' if name == 'digits' else 'right')
    for group, row in figures.items():
        values = [f'{row[key]:.1f}' for key in row if key in names]
        table.add_row(group, str(row['count']), *values)
    console.print(table)


def main(arguments: list[str] | None = None, console: Console | None = None) -> None:
    """Play, show and write."""
    args = parse_args(arguments)
    console = console or Console(file=sys.stdout, soft_wrap=True)
    with report_usage_errors():
        trained = load_trained_model(args.checkpoint, args.config, args.device)
        orders = torch.load(args.checkpoint, map_location='cpu', weights_only=True)['meta']
        order = (orders.get('label_order') or {}).get('', {}).get('sequence')
        order = list(range(len(trained.classes))) if order is None else order
        dataset = build_split_dataset(trained.cfg, args.split)
        count = len(dataset) if args.limit is None else min(args.limit, len(dataset))
        settings = []
        for method in args.methods:
            settings += [
                dict(method=method, score=score, layer=layer)
                for score in args.scores
                for layer in args.layers
            ]
        rows, needed = defaultdict(list), defaultdict(list)
        for index in track(range(count), 'Playing', console=Console(stderr=True), transient=True):
            photo = Path(dataset.get_data_info(index)['img_path'])
            digits = read_digits(photo, trained.classes)
            digits.sort(key=lambda one: order.index(one.label))
            for game in find_games(imread(photo, channel_order='rgb'), digits, args.alone):
                for place, options in enumerate(settings):
                    rows[place] += play(trained, game, options, args.tolerance)
                for score in args.scores if args.occlusion else ():
                    needed[score] += occlude(trained, game, score)
    record = dict(run=describe_run(torch.device('cpu')), games=[], occlusion=[])
    for place, options in enumerate(settings):
        figures = summarise(rows[place])
        parts = [options['method'], options['score'], options['layer']]
        show(console, ', '.join(one for one in parts if one), figures)
        record['games'].append(dict(**options, figures=figures))
    for score, found in needed.items():
        figures = summarise(found)
        show(console, f'painting out, {score}', figures)
        record['occlusion'].append(dict(score=score, figures=figures))
    if args.out is not None:
        text = json.dumps(record, indent=1) + '\n'
        write_whole(args.out, lambda path: path.write_text(text, encoding='utf-8'))


if __name__ == '__main__':
    main()
