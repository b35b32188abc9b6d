# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Draw what a trained model looks at before each label, one picture a photo.

PHOTOS are files, folders, patterns or http(s) addresses. Each picture has the photo and one heat
map a step of the predicted path, or of --path, in which the labels before a step are taken as
given. A photo that can't be read is reported and passed over; the exit status is then 1. See
docs/attention.md.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

from cnnrnn_mm.apis.attention import (
    DEFAULT_SCORE,
    METHODS,
    SCORES,
    StepAttention,
    check_request,
    step_attention,
)
from cnnrnn_mm.apis.command_line import report_usage_errors
from cnnrnn_mm.apis.config_files import ConfigOptions
from cnnrnn_mm.apis.figures import make_out_folder
from cnnrnn_mm.apis.photo_inputs import Photo, list_photos
from cnnrnn_mm.apis.trained_model import load_trained_model
from cnnrnn_mm.datasets.class_list import class_list
from cnnrnn_mm.datasets.label_table import write_whole
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.visualization.attention_sheet import HeatPanel, draw_attention_sheet

WORDS = dict(grad_cam='Grad-CAM', deconvolution='Deconvolution')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('photos', nargs='+', metavar='PHOTOS', help='files, folders, patterns or addresses')
    add('--checkpoint', required=True, help='file or address of the trained weights')
    add('--config', help="the run's config; default: the one inside the checkpoint")
    add('--classes', help='file with one class name a line; default: those of the checkpoint')
    add('--device', help='cpu, cuda, cuda:1, ...; default: a GPU where there is one')
    add('--method', choices=METHODS, default='grad_cam', help='default: %(default)s')
    add('--label', metavar='NAME', help='only this label, on the path or not')
    add('--path', nargs='*', metavar='NAME', help='labels in path order, in place of the predicted')
    add('--layer', metavar='NAME', help='whose map is explained; default: the last that has one')
    add(
        '--score',
        choices=list(SCORES),
        default=DEFAULT_SCORE,
        help='what is explained; default: %(default)s',
    )
    add('--end', action='store_true', help="also END's step")
    add('--out-dir', type=Path, required=True, metavar='FOLDER', help='where the pictures go')
    add(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='entries of the config to override, as key=value',
    )
    return parser.parse_args(arguments)


def draw(found: StepAttention, score: str, path: Path) -> None:
    """Write the picture of a photo."""
    panels = [
        HeatPanel(str(number), name, prob, heat.numpy())
        for number, (name, prob, heat) in enumerate(
            zip(found.names, found.probs, found.maps, strict=True), start=1
        )
    ]
    if found.photo is None:  # no file has none
        raise UsageError('there is no photo to draw on: give a photo, not an input of the network')
    note = f'{WORDS[found.method]}, {score.replace("_", " ")}, {found.layer}'
    sheet = draw_attention_sheet(found.photo, panels, found.extent, note)
    write_whole(path, lambda unfinished: sheet.save(unfinished, format='PNG'))


def file_names(photos: list[Photo], method: str) -> list[str]:
    """One for each photo, none twice."""
    names, taken = [], set()
    for photo in photos:
        stem = Path(photo.name.split('?')[0]).stem or 'photo'
        name, number = f'{stem}_{method}.png', 1
        while name in taken:
            number += 1
            name = f'{stem}_{number}_{method}.png'
        taken.add(name)
        names.append(name)
    return names


def main() -> int:
    """Explain and draw."""
    args = parse_args()
    console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    failed = 0
    with report_usage_errors():
        photos = list_photos(args.photos)
        trained = load_trained_model(
            args.checkpoint, args.config, args.device, class_list(args.classes), args.cfg_options
        )
        options = dict(
            path=args.path, method=args.method, label=args.label, layer=args.layer,
            score=args.score, end=args.end,
        )  # fmt: skip
        check_request(trained, **options)
        folder = make_out_folder(args.out_dir)
        jobs = list(zip(photos, file_names(photos, args.method), strict=True))
        for photo, name in track(jobs, 'Explaining', console=errors, transient=True):
            try:
                found = step_attention(trained, photo, **options)
            except UsageError as error:
                failed += 1
                errors.print(f'error: {error}', markup=False, highlight=False)
                continue
            draw(found, args.score, folder / name)
        line = f'{len(photos) - failed} pictures: {folder}'
        console.print(line, markup=False, highlight=False)
    return 1 if failed else 0


if __name__ == '__main__':
    raise SystemExit(main())
