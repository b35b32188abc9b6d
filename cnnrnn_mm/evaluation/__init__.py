# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .metrics import LabelSetMetric, SceneLawMetric

__all__ = ['LabelSetMetric', 'SceneLawMetric']
