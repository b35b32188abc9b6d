# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Multi-label COCO, straight from the instances files."""

from typing import Any

from ..registry import DATASETS
from .annotations import describe
from .label_table import LabelTable
from .readers import read_coco
from .table_dataset import TableDataset
from .transforms.box_checks import check_boxes_move

__all__ = ['CocoMultiLabel']


@DATASETS.register_module()
class CocoMultiLabel(TableDataset):
    """The categories that each image of COCO (Lin et al., ECCV 2014) shows.

    It reads the official files of 2014 and 2017, and others in their layout::

        dataset = dict(
            type='cnnrnn_mm.CocoMultiLabel',
            data_root='data/coco',
            ann_file='annotations/instances_train2014.json',
            data_prefix='train2014',
            empty='drop',  # 82,081 of the 82,783 images
        )

    Class ids count the 80 categories in ascending order of their ids. ``metainfo=dict(classes=[
    'dog', 'cat'])`` takes these alone, in this order; objects of other categories are passed over.
    ``gt_area`` holds the share of the image that the box of a label's largest object covers.

    With ``boxes=True`` each annotation has ``gt_bboxes`` (n, 4) float32, pixels x1 y1 x2 y2,
    0-based with the right and the bottom edge exclusive, clipped to the image, and
    ``gt_bboxes_labels`` (n,) int64, class ids. Objects of other categories are left out, and so are
    crowds and objects whose box has no area. Transforms must move the boxes with the image:
    :class:`WithBoxes`.

    Args:
        ann_file: The instances file, below ``data_root`` if that is given.
        crowd: Whether objects with ``iscrowd=1``, groups, count as labels: 'keep' or 'drop'.
        empty: Whether images without a label, after the choices of classes and crowd, stay in the
            dataset: 'keep' or 'drop'. Their count differs in the literature: docs/datasets.md.
        boxes: Whether the annotations have boxes.
        **kwargs: Those of the host's ``BaseDataset``; ``data_prefix`` is the image folder.

    Raises:
        UsageError: If the file can't be used; the message names the entry and the remedy. If there
            are boxes and the pipeline moves pixels without them.
    """

    def __init__(
        self,
        ann_file: str,
        crowd: str = 'keep',
        empty: str = 'keep',
        boxes: bool = False,
        **kwargs: Any,
    ) -> None:
        self.crowd, self.empty, self.boxes = crowd, empty, boxes
        super().__init__(ann_file, **kwargs)
        if boxes:
            check_boxes_move(self.pipeline.transforms, True, describe(self))

    def read_table(self) -> LabelTable:
        """Read the instances file."""
        return read_coco(self.ann_file, self.chosen_classes, self.crowd, self.empty, self.boxes)
