# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Write a trained model as one ONNX file, from pixels to labels, beam search inside.

The file is checked in onnxruntime against the model itself, on real photos, before it is there.
What it takes and gives, and how to use it without this package: docs/export.md.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cnnrnn_mm.apis.command_line import report_usage_errors
from cnnrnn_mm.apis.config_files import ConfigOptions, read_config
from cnnrnn_mm.apis.export.config import export_config, read_photos
from cnnrnn_mm.apis.export.latency import measure_latency
from cnnrnn_mm.apis.export.onnx_file import export_onnx, require_packages
from cnnrnn_mm.apis.trained_model import load_trained_model
from cnnrnn_mm.errors import UsageError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file')
    add('--out', required=True, metavar='FILE.onnx', help='what to write')
    add('--beam-size', type=int, metavar='B', help="prefixes kept; default: the config's")
    add('--max-labels', type=int, default=16, metavar='L', help='most labels (%(default)s)')
    add('--photos', nargs='+', metavar='PHOTOS', help="default: the config's test split")
    add('--num-photos', type=int, default=200, help='most photos to check with (%(default)s)')
    add('--opset', type=int, default=18, help='of the operators (%(default)s)')
    add('--torch-export', metavar='FILE.pt2', help='also write it for torch.export.load')
    add('--cfg-options', nargs='+', action=ConfigOptions, help='entries of the config to override')
    return parser.parse_args()


def main() -> None:
    """Export, check, and print."""
    args = parse_args()
    console = Console()
    with report_usage_errors():
        require_packages()
        if not Path(args.config).is_file():
            raise UsageError(f'config {args.config} does not exist: check the path')
        cfg = export_config(read_config(args.config), args.beam_size, args.cfg_options)
        trained = load_trained_model(args.checkpoint, cfg, device='cpu')
        photos = read_photos(trained, args.photos, args.num_photos)
        done, module = export_onnx(trained, photos, args.out, args.max_labels, args.opset)
        console.print(f'{done.path}: {done.num_bytes / 1e6:.1f} MB, {done.num_nodes} operators')
        report = done.report
        table = Table('checked with onnxruntime', f'{report.num_photos} photos')
        if module.search is not None:
            equal = report.num_photos - len(report.near_ties)
            table.add_row('same paths', str(equal))
            table.add_row('near ties (other path, as probable)', str(len(report.near_ties)))
            table.add_row(f'other best path without --max-labels {args.max_labels}', str(done.cut))
            table.add_row('best paths that fill --max-labels', str(done.full))
        for name, gap in report.largest.items():
            table.add_row(f'largest difference of {name}', f'{gap:.1e}')
        console.print(table)
        console.print(measure_latency(trained.model, done.path, photos))
        if args.torch_export is not None:
            from cnnrnn_mm.apis.export.torch_file import save_torch_export

            save_torch_export(module, photos, args.torch_export)
            console.print(
                f'{args.torch_export}: {Path(args.torch_export).stat().st_size / 1e6:.1f} MB'
            )


if __name__ == '__main__':
    main()
