# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Label photos.

Axis letters: N photos, C labels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpretrain.apis.base import BaseInferencer
from mmpretrain.structures import DataSample

from ..errors import UsageError
from .batch_predictor import BatchPredictor, Limits
from .dataset_configs import pipeline_of
from .inferencer_model import mark_model, resolve_model
from .photo_batches import PhotoBatch, PhotoPipeline, load_batches
from .photo_drawing import PhotoDrawer
from .photo_inputs import Photo, list_photos
from .photo_reading import MAX_PIXELS
from .predictions import make_record
from .trained_model import load_trained_model

__all__ = ['MultiLabelInferencer']


class MultiLabelInferencer(BaseInferencer):
    """Label photos with label sets, along label paths where the model has them.

    In the shape of the host's inferencers. It takes models with a :class:`CNNRNNHead` or
    :class:`RLSDHead`, and the host's multi-label heads, whose labels have scores and no paths.

    Photos go through the config's test pipeline in batches of its test dataloader's size, so the
    results are those of ``tools/test.py``. See :class:`PhotoReader` for unusual formats.

    Args:
        model: A model name of ``list_models()``, a config, its path, or a built model.
        pretrained: Path or address of the checkpoint; True for that of the named model or the
            config's ``load_from``; False for no trained weights.
        device: Where the model runs; None for the accelerator, where there is one.
        classes: Names by class id; None for those of the checkpoint, else of the config.
        cfg_options: Entries of the config to override, by dotted key.
        max_pixels: Most pixels of a photo, checked before it is decoded.
        timeout: Seconds that fetching a photo may take.
        max_bytes: Most that is fetched for one.

    Raises:
        UsageError: If config, checkpoint and classes do not fit each other; names what and the
            remedy.

    Examples:
        >>> inferencer = MultiLabelInferencer.from_checkpoint('epoch_20.pth')
        >>> inferencer('photos/', constraints=dict(required=['dog']))[0]['labels']
        ['person', 'dog']
    """

    def __init__(
        self,
        model: BaseModel | str | Path | Config,
        pretrained: bool | str | Path = True,
        device: str | torch.device | None = None,
        classes: Sequence[str] | None = None,
        cfg_options: dict[str, Any] | None = None,
        max_pixels: int = MAX_PIXELS,
        timeout: float = 20.0,
        max_bytes: int = 64 * 2**20,
    ) -> None:
        self._reading = dict(max_pixels=max_pixels, timeout=timeout, max_bytes=max_bytes)
        model = resolve_model(model, pretrained, device, classes, cfg_options)
        super().__init__(model, pretrained=False)
        self.classes: tuple[str, ...] = self.model._dataset_meta['classes']
        self.predictor = BatchPredictor(self.model, self.classes)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: str | Path,
        config: str | Path | Config | None = None,
        device: str | torch.device | None = None,
        classes: Sequence[str] | None = None,
        cfg_options: dict[str, Any] | None = None,
        **limits: Any,
    ) -> 'MultiLabelInferencer':
        """From a checkpoint alone, whose config is inside.

        Args:
            checkpoint: Path or address.
            config: The run's config or its path, where the one inside is not to be used.
            device: As in the constructor.
            classes: As in the constructor.
            cfg_options: As in the constructor.
            **limits: ``max_pixels``, ``timeout`` and ``max_bytes``.
        """
        trained = load_trained_model(checkpoint, config, device, classes, cfg_options)
        return cls(mark_model(trained), **limits)

    @property
    def has_paths(self) -> bool:
        """Whether the model searches label paths, which constraints can limit."""
        return self.predictor.has_paths

    def __call__(
        self,
        inputs: Any,
        return_datasamples: bool = False,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[dict[str, Any]] | list[DataSample | None]:
        """Label photos: the list of what :meth:`stream` gives, whose arguments are taken."""
        return list(self.stream(inputs, return_datasamples, batch_size, **kwargs))

    def stream(
        self,
        inputs: Any,
        return_datasamples: bool = False,
        batch_size: int | None = None,
        num_workers: int | None = None,
        constraints: Limits = None,
        set_prob: bool = True,
        num_marginals: int | None = None,
        on_error: str = 'raise',
        show: bool = False,
        wait_time: float = 0,
        show_dir: str | Path | None = None,
    ) -> Iterator[dict[str, Any]] | Iterator[DataSample | None]:
        """Label photos, and give each result as soon as its batch is done.

        Args:
            inputs: Paths, addresses, folders, patterns, arrays in BGR order, Pillow images; see
                :func:`list_photos`.
            return_datasamples: Give data samples instead of plain records.
            batch_size: Photos at a time; None for the test dataloader's.
            num_workers: Processes that read files; None for the test dataloader's.
            constraints: ``dict(required=['dog'], forbidden=['cat'], prefix=['person', 'car'])``,
                in class names or ids, and what else :class:`cnnrnn_mm.search.Constraints` takes;
                one for all photos, or a list with one or None for each.
            set_prob: Also give the probability of the label set.
            num_marginals: Most labels in ``marginals``; None for all.
            on_error: What to do about a photo that can't be read: ``'raise'``, or ``'report'``,
                which gives ``{'photo': path, 'error': message}`` (as data sample, None).
            show: Show each photo in a window.
            wait_time: Seconds a window stays; 0 waits for a key.
            show_dir: Folder for pictures.

        Returns:
            For each photo a record (:func:`make_record`) or a data sample, in order.

        Raises:
            UsageError: If a photo can't be read and ``on_error='raise'``, the inputs name no photo
                or the constraints do not fit.
        """
        if on_error not in ('raise', 'report'):
            raise UsageError(f"on_error is {on_error!r}: set it to 'raise' or 'report'")
        photos = self._inputs_to_list(inputs)
        limits = self.predictor.constraints(constraints, len(photos))
        drawer = None
        if show or show_dir is not None:
            drawer = PhotoDrawer(self.classes, show_dir, show, wait_time)
        batches = self.preprocess(photos, batch_size, num_workers, drawer is not None)

        def results() -> Iterator[Any]:
            for batch in batches:
                some = [photos[row] for row in batch.rows]
                chosen = None if limits is None else [limits[row] for row in batch.rows]
                samples = self.forward(batch, constraints=chosen, set_prob=set_prob)
                if batch.errors and on_error == 'raise':
                    raise UsageError(batch.errors[min(batch.errors)])
                if drawer is not None:
                    self.visualize(some, samples, batch, drawer)
                yield from self.postprocess(samples, some, batch, return_datasamples, num_marginals)

        return results()

    def _init_pipeline(self, cfg: Config) -> PhotoPipeline:
        """See the host's class."""
        self._loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
        if self._loader is None:
            raise UsageError(
                'the config has neither test_dataloader nor val_dataloader, so it does not say how '
                'photos are read: add one'
            )
        scope = cfg.get('default_scope') or 'mmpretrain'
        return PhotoPipeline(pipeline_of(self._loader.dataset), scope, **self._reading)

    def _inputs_to_list(self, inputs: Any) -> list[Photo]:
        """See the host's class and :func:`list_photos`."""
        return list_photos(inputs)

    def preprocess(
        self,
        inputs: list[Photo],
        batch_size: int | None = None,
        num_workers: int | None = None,
        keep_pixels: bool = False,
    ) -> Iterator[PhotoBatch]:
        """Read photos, a batch at a time."""
        loader = self._loader
        size = loader.get('batch_size', 1) if batch_size is None else batch_size
        workers = loader.get('num_workers', 0) if num_workers is None else num_workers
        for name, value, least in (('batch_size', size, 1), ('num_workers', workers, 0)):
            if not isinstance(value, int) or value < least:
                raise UsageError(f'{name} is {value!r}: set it to {least} or more')
        on_cuda = next(self.model.parameters()).is_cuda
        return load_batches(inputs, self.pipeline, size, workers, keep_pixels, on_cuda)

    def forward(
        self,
        inputs: PhotoBatch,
        constraints: Sequence[dict[str, Any]] | None = None,
        set_prob: bool = True,
    ) -> list[DataSample | None]:
        """The model's predictions of a batch; see :class:`BatchPredictor`."""
        return self.predictor(inputs, constraints, set_prob)

    def visualize(
        self,
        inputs: list[Photo],
        preds: list[DataSample | None],
        batch: PhotoBatch,
        drawer: PhotoDrawer,
    ) -> list[np.ndarray | None]:
        """Draw the photos of a batch that were read."""
        return [
            None if sample is None or pixels is None else drawer.draw(photo, pixels, sample)
            for photo, pixels, sample in zip(inputs, batch.pixels, preds, strict=True)
        ]

    def postprocess(
        self,
        preds: list[DataSample | None],
        inputs: list[Photo],
        batch: PhotoBatch,
        return_datasamples: bool = False,
        num_marginals: int | None = None,
    ) -> list[dict[str, Any]] | list[DataSample | None]:
        """Plain records, or the samples as they are."""
        if return_datasamples:
            return preds
        in_order = self.predictor.postprocessor is not None
        records = []
        for place, (photo, sample) in enumerate(zip(inputs, preds, strict=True)):
            size = batch.sizes[place]
            if sample is None or size is None:
                records.append({'photo': photo.path, 'error': batch.errors[place]})
                continue
            records.append(
                make_record(sample.cpu(), self.classes, photo.path, size, num_marginals, in_order)
            )
        return records
