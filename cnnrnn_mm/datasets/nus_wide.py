# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""NUS-WIDE, straight from the official files."""

from typing import Any

from ..registry import DATASETS
from .label_checks import check_choice
from .label_table import LabelTable
from .present_images import only_present_images
from .readers import read_nus_wide
from .readers.nus_wide import IMAGE_LISTS
from .table_dataset import TableDataset

__all__ = ['NUSWide']


@DATASETS.register_module()
class NUSWide(TableDataset):
    """The concepts, or the tags, of each photo of NUS-WIDE (Chua et al., CIVR 2009).

    It reads the files of the official archives as they are::

        data/nuswide
        ├── ConceptsList/Concepts81.txt
        ├── Groundtruth
        │   ├── AllLabels/Labels_<concept>.txt
        │   └── TrainTestLabels/Labels_<concept>_{Train,Test}.txt
        ├── ImageList/{TrainImagelist,TestImagelist,Imagelist}.txt
        ├── NUS_WID_Tags/{TagList1k.txt,Train_Tags1k.dat,Test_Tags1k.dat,AllTags1k.txt}
        └── Flickr/<folder>/<photo>.jpg

    The tags are needed for ``concepts=1000`` only. ``metainfo=dict(classes=[...])`` takes these
    concepts alone, in this order. What the archives hold is in docs/datasets.md.

    Args:
        data_root: The folder above.
        split: 'train' (161,789 photos), 'test' (107,859) or 'all' (both).
        concepts: 81, marked by people, or 1000, the tags that the photos had on Flickr.
        empty: Whether photos without a label, after the choice of classes, stay in the dataset:
            'keep' or 'drop'. With all 81 concepts 209,347 of the 269,648 have one.
        missing: What is done about photos that are not on disk: 'skip' leaves them out and warns,
            'error' ends the run, 'ignore' does not look.
        data_prefix: Folder of the photos, below ``data_root``.
        **kwargs: Those of the host's ``BaseDataset``.

    Raises:
        UsageError: If the files can't be used; the message names file and line.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        concepts: int = 81,
        empty: str = 'keep',
        missing: str = 'skip',
        data_prefix: str | dict = 'Flickr',
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, tuple(IMAGE_LISTS))
        self.split, self.concepts, self.empty, self.missing = split, concepts, empty, missing
        super().__init__(IMAGE_LISTS[split], data_root=data_root, data_prefix=data_prefix, **kwargs)

    def read_table(self) -> LabelTable:
        """Read the split and look which of its photos are there."""
        table = read_nus_wide(
            self.data_root, self.split, self.concepts, self.chosen_classes, self.empty
        )
        self.ann_file = table.source
        return only_present_images(table, self.img_prefix, self.missing)
