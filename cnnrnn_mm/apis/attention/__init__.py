# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .request import METHODS, check_request
from .step_maps import StepAttention, step_attention
from .step_score import DEFAULT_SCORE, SCORES

__all__ = [
    'DEFAULT_SCORE',
    'METHODS',
    'SCORES',
    'StepAttention',
    'check_request',
    'step_attention',
]
