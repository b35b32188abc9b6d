# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Go on without images that rot while a run trains."""

from typing import Any

from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.annotations import describe
from ...datasets.transforms import LoadImage
from ...datasets.transforms.skipped_images import SkippedImages
from ...errors import UsageError
from ...registry import HOOKS
from .dataset_parts import dataset_parts, dataset_wrappers
from .label_order_hook import find_transforms

__all__ = ['SkipUnreadableHook']

#: Wrappers that take nothing away: what is put in an image's place is of the training split, too.
WHOLE = (RepeatDataset, ClassBalancedDataset, ConcatDataset)


@HOOKS.register_module()
class SkipUnreadableHook(Hook):
    """Put another image of the training split in the place of one that can't be read any more.

    Without this hook, such an image ends the run with one line that names it. With it, the host's
    dataset draws another one with its labels, and the log names each image that is left out, once.
    Validation and test still end the run: their figures would be of other images. The draw comes
    from the process that loads, so that the random augmentation that follows it there, in the same
    epoch, is another than without the fault.

    It is no default: ``custom_hooks = [dict(type='cnnrnn_mm.SkipUnreadableHook')]``.

    Args:
        max_skipped: Different images that a process and its data-loading workers may leave out; one
            more ends the run, since then the storage is at fault. A resumed run counts anew.

    Raises:
        UsageError: Before the training, if the training pipeline does not load with
            :class:`LoadImage`, or its dataset can't put another image in an image's place.
    """

    # Before LabelOrderHook, which starts early workers anew.
    priority = 'HIGH'

    def __init__(self, max_skipped: int = 100) -> None:
        if isinstance(max_skipped, bool) or not isinstance(max_skipped, int) or max_skipped < 1:
            raise UsageError(
                f'SkipUnreadableHook has max_skipped={max_skipped!r}: set it to a whole number '
                'from 1 on, or leave out the hook'
            )
        self.max_skipped = max_skipped
        self._skipped: SkippedImages | None = None
        self._loading: list[LoadImage] = []

    def before_train(self, runner: Runner) -> None:
        """Let the transforms that load training images leave some out."""
        dataset = runner.train_dataloader.dataset
        self._loading = list(find_transforms(dataset, LoadImage))
        if not self._loading:
            raise UsageError(
                'SkipUnreadableHook found no LoadImage in the training pipeline: load with '
                "dict(type='cnnrnn_mm.LoadImage')"
            )
        for part in (*dataset_wrappers(dataset), *dataset_parts(dataset)):
            if not _replaces(part):
                raise UsageError(
                    f'{describe(part)} can not put another training image in the place of one that '
                    'is not readable: leave out SkipUnreadableHook, or use cnnrnn_mm.ReadableImages'
                )
        self._skipped = SkippedImages(self.max_skipped)
        for transform in self._loading:
            transform.skipped = self._skipped

    def after_train(self, runner: Runner) -> None:
        """Tell how many were left out."""
        for transform in self._loading:
            transform.skipped = None
        if self._skipped:
            runner.logger.warning(
                f'{len(self._skipped)} images were left out of this training: not readable'
            )


def _replaces(dataset: Any) -> bool:
    """Whether the host's way of drawing another image is open to it."""
    if isinstance(dataset, BaseDataset):
        return not dataset.test_mode and type(dataset).__getitem__ is BaseDataset.__getitem__
    return isinstance(dataset, WHOLE)
