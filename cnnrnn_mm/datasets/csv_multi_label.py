# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Images and labels from a plain CSV file."""

import os
from typing import Any

from ..errors import UsageError
from ..registry import DATASETS
from .label_table import LabelTable
from .readers import CsvLayout, read_csv
from .table_dataset import TableDataset

__all__ = ['CsvMultiLabel']


@DATASETS.register_module()
class CsvMultiLabel(TableDataset):
    """A CSV file with one image a line, for data in no other format.

    ::

        path,labels
        first.jpg,dog;person
        folder/second.jpg,
        third.jpg,traffic light

    The second image has no label. The training split may name the classes by its labels, in
    alphabetical order; every other split is told where they come from, so that the class ids of
    all agree::

        data = dict(type='cnnrnn_mm.CsvMultiLabel', data_root='data/mine', data_prefix='images')
        train = dict(data, ann_file='train.csv')
        val = dict(data, ann_file='val.csv', classes_from='train.csv', test_mode=True)

    or each split has the same ``metainfo=dict(classes=[...])``.

    Args:
        ann_file: The file, below ``data_root`` if that is given.
        classes_from: The CSV file whose labels are the classes, likewise.
        separator: Between the labels in a cell.
        delimiter: Between cells.
        header: Whether the first line names the columns.
        path_column: Name of the column of image paths, which are below ``data_prefix``.
        labels_column: Name of the column of labels; other columns are passed over.
        one_hot: Whether each column but that of the paths is a class and holds 0 or 1.
        encoding: Of the file.
        **kwargs: Those of the host's ``BaseDataset``.

    Raises:
        UsageError: If the file can't be used (the message names the line), or ``test_mode=True``
            and nothing says which classes there are.
    """

    def __init__(
        self,
        ann_file: str,
        classes_from: str | None = None,
        separator: str = ';',
        delimiter: str = ',',
        header: bool = True,
        path_column: str = 'path',
        labels_column: str = 'labels',
        one_hot: bool = False,
        encoding: str = 'utf-8',
        **kwargs: Any,
    ) -> None:
        self.classes_from = classes_from
        self.layout = CsvLayout(
            separator=separator,
            delimiter=delimiter,
            header=header,
            path_column=path_column,
            labels_column=labels_column,
            one_hot=one_hot,
            encoding=encoding,
        )
        super().__init__(ann_file, **kwargs)

    def read_table(self) -> LabelTable:
        """Read the file."""
        classes, source = self.chosen_classes, self.classes_from
        if self.test_mode and classes is None and source is None:
            raise UsageError(
                f'{self.ann_file}: which classes have the ids 0, 1, ... is not said: give '
                "classes_from='train.csv', the training split, or metainfo=dict(classes=[...])"
            )
        if source is not None:
            source = os.path.join(self.data_root, os.path.expanduser(source))
        return read_csv(self.ann_file, classes, source, self.layout)
