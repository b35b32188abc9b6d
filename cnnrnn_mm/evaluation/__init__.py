# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .metrics import ClassTable, LabelSetMetric, RankingMetric, SceneLawMetric

__all__ = ['ClassTable', 'LabelSetMetric', 'RankingMetric', 'SceneLawMetric']
