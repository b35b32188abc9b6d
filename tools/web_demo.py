# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Serve a page on which a trained model labels photos; see docs/web_demo.md."""

import argparse
import math
from pathlib import Path

from rich.console import Console

from cnnrnn_mm.apis import load_trained_model, report_usage_errors
from cnnrnn_mm.apis.web import UploadLimits, serve_page, temporary_home


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--config', help='config of the run, where the checkpoint has none')
    parser.add_argument(
        '--host', default='127.0.0.1', help='address to listen at; default: this machine alone'
    )
    parser.add_argument('--port', type=int, default=7860, help='0 for any that is free')
    parser.add_argument('--max-upload-mb', type=positive, default=20, help='largest file, MB')
    parser.add_argument('--max-megapixels', type=positive, default=50, help='largest photo')
    parser.add_argument('--device', help='cpu, cuda, ...; default: the accelerator, if any')
    return parser.parse_args()


def positive(text: str) -> float:
    """A finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f'{text} is not above 0 and finite')
    return value


def main() -> None:
    args, console = parse_args(), Console()
    limits = UploadLimits(round(args.max_upload_mb * 1e6), round(args.max_megapixels * 1e6))
    with temporary_home() as folder:
        path = Path(args.checkpoint)
        name = f'{path.absolute().parent.name}/{path.stem}'
        trained = load_trained_model(args.checkpoint, args.config, args.device)
        serve_page(
            trained,
            name,
            folder,
            args.host,
            args.port,
            limits,
            lambda address: console.print(f'Open {address} (Ctrl-C ends it)', highlight=False),
        )


if __name__ == '__main__':
    with report_usage_errors():
        main()
