# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""One ONNX file from pixels to labels, written only if it says what the model says.

Axis letters: N photos, H and W of the network's input.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import UsageError
from ...search import Constraints
from ..trained_model import TrainedModel
from .check import ExportReport, compare_outputs, predict_photos
from .metadata import describe_export
from .pixel_model import ExportModel

__all__ = ['ExportedFile', 'export_onnx', 'open_session', 'prepare_export', 'run_session']

#: Photos that the graph is traced with: neither one, which would make N a constant, nor all.
TRACED = 3


@dataclass(frozen=True)
class ExportedFile:
    """A file that was checked.

    Attributes:
        path: The file.
        num_bytes: Its size.
        num_nodes: Operators in its graph.
        report: How it differs from the model.
        cut: Photos whose labels would be others without the limit of ``max_labels``.
        full: Photos whose best path has ``max_labels`` labels.
    """

    path: Path
    num_bytes: int
    num_nodes: int
    report: ExportReport
    cut: int
    full: int


def prepare_export(
    trained: TrainedModel, max_labels: int = 16
) -> tuple[ExportModel, Constraints | None]:
    """The module for the file; the model's own search is limited to as many labels.

    Args:
        trained: The model, on the CPU; its constraints change.
        max_labels: See :class:`ExportModel`.

    Returns:
        The module, and the constraints as they were; None for heads without paths.
    """
    module = ExportModel(trained.model, max_labels).eval()
    if module.search is None:
        return module, None
    postprocessor = trained.model.head.postprocessor
    before = postprocessor.constraints
    postprocessor.constraints = before.merged(max_length=module.search.max_labels)
    return module, before


def export_onnx(
    trained: TrainedModel,
    photos: Sequence[Tensor],
    out: str | Path,
    max_labels: int = 16,
    opset: int = 18,
) -> tuple[ExportedFile, ExportModel]:
    """Write the file, check it on photos, and move it into place.

    It is checked by ``onnx.checker``, and in onnxruntime against the model's own ``test_step``: all
    photos in one batch size, and some one by one. A failure leaves nothing behind.

    Args:
        trained: The model, on the CPU; its constraints are limited to ``max_labels``.
        photos: N tensors (3, H, W) uint8 of the test pipeline, at least one.
        out: The file, ending in ``.onnx``.
        max_labels: See :class:`ExportModel`.
        opset: Of the operators, 18 or above.

    Returns:
        What was written, and the module in it.

    Raises:
        UsageError: If a package is missing, the model can not be exported, or the file is wrong.
    """
    onnx, _ = require_packages()
    out = Path(out)
    if out.suffix != '.onnx':
        raise UsageError(f'{out} does not end in .onnx: name the file so')
    if not out.parent.is_dir():
        raise UsageError(f'folder {out.parent} does not exist: make it')
    if not 18 <= opset <= 20:
        raise UsageError(f'opset is {opset}: torch writes the search at 18 to 20')
    module, before = prepare_export(trained, max_labels)
    samples = predict_photos(trained.model, photos)  # first, for what the model has to say itself
    pixels = to_pixels(photos)
    partial = out.with_name(f'.{out.stem}.{os.getpid()}.onnx')
    try:
        write_graph(module, pixels[:TRACED], partial, opset)
        content = onnx.load(partial)
        entries = describe_export(trained, module, (pixels.shape[1], pixels.shape[2]))
        onnx.helper.set_model_props(content, entries)
        onnx.checker.check_model(content, full_check=True)
        onnx.save(content, partial)
        report = check_file(partial, module, trained.model, pixels, photos, samples)
        if report.differences:
            raise UsageError(
                f'the file differs from the model on {len(report.differences)} counts, '
                f'{report.differences[0]}: nothing was written'
            )
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    cut = full = 0
    if module.search is not None:
        full = sum(len(one.pred_paths[0]) == module.search.max_labels for one in samples)
        free = predict_photos(trained.model, photos, constraints=before)
        cut = sum(
            one.pred_paths[0] != other.pred_paths[0]
            for one, other in zip(samples, free, strict=True)
        )
    num_nodes = len(content.graph.node)
    return ExportedFile(out, out.stat().st_size, num_nodes, report, cut, full), module


def require_packages() -> tuple:
    """The modules onnx and onnxruntime."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            f"package {error.name} is missing: install it with pip install '.[export]'"
        ) from None
    return onnx, onnxruntime


def to_pixels(photos: Sequence[Tensor]) -> Tensor:
    """N tensors (3, H, W), blue first, -> (N, H, W, 3), red first."""
    if not photos:
        raise UsageError('there is no photo to check the file with: give one or more')
    for photo in photos:
        if photo.dtype != torch.uint8 or photo.shape[0] != 3:
            raise UsageError(
                f'the test pipeline gives {tuple(photo.shape)} {photo.dtype}: an exported file '
                'takes 3 channels of uint8, so leave normalising to the data preprocessor'
            )
        if photo.shape != photos[0].shape:
            raise UsageError(
                f'the test pipeline gives photos of {tuple(photos[0].shape[1:])} and '
                f'{tuple(photo.shape[1:])} pixels: put a Resize with a fixed scale into it'
            )
    return torch.stack(list(photos)).flip(1).permute(0, 2, 3, 1).contiguous()


@torch.no_grad()
def write_graph(module: ExportModel, pixels: Tensor, path: Path, opset: int) -> None:
    """Trace the module.

    torch's newer exporter (``dynamo=True``) takes minutes for what this one does in seconds.
    """
    names = ['pixels', *module.output_names]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the exporter's own: values that it takes for constants
        torch.onnx.export(
            module,
            (pixels.repeat(TRACED, 1, 1, 1)[:TRACED],),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: 'batch'} for name in names},
        )


def open_session(path: str | Path, num_threads: int | None = None) -> Any:
    """A session of onnxruntime on the CPU.

    Args:
        path: The file.
        num_threads: Threads within an operator; None for as many as torch has.
    """
    _, onnxruntime = require_packages()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads() if num_threads is None else num_threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])


def run_session(session: Any, pixels: Tensor, batch_size: int) -> dict[str, np.ndarray]:
    """Run a session on any number of photos.

    Args:
        session: What :func:`open_session` gave.
        pixels: (N, H, W, 3) uint8, red first.
        batch_size: Photos at a time; the last batch holds the rest.

    Returns:
        The outputs by name, each with first axis N.
    """
    names = [one.name for one in session.get_outputs()]
    parts = [session.run(names, {'pixels': part.numpy()}) for part in pixels.split(batch_size)]
    return {
        name: np.concatenate(part)
        for name, part in zip(names, zip(*parts, strict=True), strict=True)
    }


def check_file(
    path: Path,
    module: ExportModel,
    model: BaseModel,
    pixels: Tensor,
    photos: Sequence[Tensor],
    samples: Sequence[DataSample],
) -> ExportReport:
    """Compare the file with the model, in batches of 32 and of 1."""
    session = open_session(path)

    def log_prob(photo: int, labels: list[int]) -> float:
        return _log_prob(model, photos[photo], labels)

    report = compare_outputs(run_session(session, pixels, 32), samples, log_prob)
    alone = compare_outputs(run_session(session, pixels, 1), samples, log_prob)
    report.differences += alone.differences
    report.near_ties = sorted({*report.near_ties, *alone.near_ties})
    for name, gap in alone.largest.items():
        report.largest[name] = max(report.largest.get(name, 0.0), gap)
    return report


@torch.no_grad()
def _log_prob(model: BaseModel, photo: Tensor, labels: list[int]) -> float:
    """Natural log of the probability of a path, by the model: the prefix counts as given."""
    head, data = model.head, model.data_preprocessor(dict(inputs=[photo]), False)
    limits = head.postprocessor.constraints
    tokens = torch.tensor([[head.vocabulary.start, *labels]])
    scores = head(model.extract_feat(data['inputs']), tokens)[0].float().log_softmax(-1)
    scores[:, head.vocabulary.end] += head.postprocessor.end_bias
    ends = [*labels, head.vocabulary.end]
    steps = scores.log_softmax(-1)[torch.arange(len(ends)), ends]
    return float(steps[len(limits.prefix) :].sum())
