# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Pascal VOC with a choice of what difficult objects are in training."""

from typing import Any

from mmpretrain.datasets import VOC

from ..registry import DATASETS
from .annotations import describe
from .label_checks import check_choice
from .readers import read_voc
from .readers.voc import DIFFICULT, UNKNOWN
from .transforms.box_checks import check_boxes_move

__all__ = ['VOCMultiLabel']


@DATASETS.register_module()
class VOCMultiLabel(VOC):
    """The host's ``VOC``, for 2007, 2012 and other folders in their layout, with four additions.

    Labels are in ascending order (the host's are in no defined one). ``gt_area`` holds the share of
    the image that a label's largest object covers, where the files give boxes and sizes. And there
    is a choice of what a class is to a training image that shows difficult objects of it only::

        dataset = dict(type='cnnrnn_mm.VOCMultiLabel', data_root='data/VOC2007',
                       split='trainval', difficult='ignore')

    With ``test_mode=True`` they are no labels and their ids are in ``gt_label_difficult``, whatever
    the choice: the official protocol counts them neither as hits nor as misses, and so do the
    metrics.

    Last, with ``boxes=True`` each annotation has ``gt_bboxes`` (n, 4) float32, pixels x1 y1 x2 y2,
    0-based with the right and the bottom edge exclusive, clipped to the image, and
    ``gt_bboxes_labels`` (n,) int64, class ids. Objects of classes that are not in the list are left
    out, and so are difficult ones unless ``difficult='positive'`` makes them labels in training.
    Transforms must move the boxes with the image: :class:`WithBoxes`.

    Args:
        *args: Those of the host's ``VOC``; see there.
        difficult: 'negative': no label, as in the host; 'positive': a label; 'ignore': no label,
            and listed in ``gt_label_difficult`` for the head to leave out of the loss. The last
            needs ``ignore_difficult=True`` in the head and 'gt_label_difficult' in the
            ``meta_keys`` of the training pipeline's ``PackInputs``; :class:`CheckDataHook` sees to
            that.
        unknown: What is done about objects of classes that are not in the list, nor among VOC's
            20: 'warn' passes them over and names them once, 'error' ends the run, 'ignore' passes
            them over.
        boxes: Whether the annotations have boxes.
        **kwargs: Those of the host's ``VOC``.

    Raises:
        UsageError: If a file can't be used; the message names it and the object. If there are boxes
            and the pipeline moves pixels without them.
    """

    def __init__(
        self,
        *args: Any,
        difficult: str = 'negative',
        unknown: str = 'warn',
        boxes: bool = False,
        **kwargs: Any,
    ) -> None:
        check_choice('difficult', difficult, DIFFICULT)
        check_choice('unknown', unknown, UNKNOWN)
        self.difficult, self.unknown, self.boxes = difficult, unknown, boxes
        super().__init__(*args, **kwargs)
        if boxes:
            check_boxes_move(self.pipeline.transforms, True, describe(self))

    def load_data_list(self) -> list[dict]:
        """Read the split."""
        if self.ann_prefix is None:  # a test split without labels
            return super().load_data_list()
        table = read_voc(
            self.image_set_path,
            self.ann_prefix,
            self.CLASSES,
            'ignore' if self.test_mode else self.difficult,
            self.unknown,
            self.backend.get,
            self.boxes,
        )
        return table.infos(self.img_prefix)
