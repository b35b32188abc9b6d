# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Each reads one format into a :class:`cnnrnn_mm.datasets.label_table.LabelTable`."""

from .coco import read_coco
from .csv_file import CsvLayout
from .csv_labels import read_csv
from .json_labels import read_json
from .nus_wide import read_nus_wide
from .voc import read_voc

__all__ = ['CsvLayout', 'read_coco', 'read_csv', 'read_json', 'read_nus_wide', 'read_voc']
