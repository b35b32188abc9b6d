# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .label_set_metric import LabelSetMetric
from .scene_law_metric import SceneLawMetric

__all__ = ['LabelSetMetric', 'SceneLawMetric']
