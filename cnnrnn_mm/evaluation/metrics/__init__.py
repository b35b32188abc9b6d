# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .class_table import ClassTable
from .label_set_metric import LabelSetMetric
from .ranking_metric import RankingMetric
from .scene_law_metric import SceneLawMetric

__all__ = ['ClassTable', 'LabelSetMetric', 'RankingMetric', 'SceneLawMetric']
