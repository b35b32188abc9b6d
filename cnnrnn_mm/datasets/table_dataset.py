# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the datasets of this package share: a table is read and its annotations are served."""

from abc import abstractmethod

from mmpretrain.datasets import BaseDataset

from .class_list import class_list
from .label_table import LabelTable

__all__ = ['TableDataset']


class TableDataset(BaseDataset):
    """A multi-label dataset whose annotations come from a :class:`LabelTable`.

    Subclasses read the table; paths, prefixes, lazy loading, ``indices`` and pipelines are the
    host's. The class names are the table's; ``metainfo=dict(classes=...)`` is for subclasses to
    read, as the choice of classes that it is.
    """

    @abstractmethod
    def read_table(self) -> LabelTable:
        """Read the split; called once, when the dataset is first needed."""

    @property
    def chosen_classes(self) -> tuple[str, ...] | None:
        """The class names of ``metainfo``, before the table is read; None where it has none.

        Raises:
            UsageError: If it names a file that is not there, or the names are no class list.
        """
        return class_list(self._metainfo.get('classes'))

    def load_data_list(self) -> list[dict]:
        """The annotations of all images, with paths below the image folder."""
        table = self.read_table()
        self._metainfo['classes'] = table.classes
        return table.infos(self.img_prefix)

    def get_cat_ids(self, idx: int) -> list[int]:
        """The class ids of an image, for the host's class-balanced samplers."""
        return [int(label) for label in self.get_data_info(idx)['gt_label']]
