# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the command-line tools call."""

from .cached_config import use_cached_features
from .checkpoints import check_checkpoint
from .command_line import add_run_arguments, apply_run_arguments, report_usage_errors
from .data_layout import check_data_layout
from .distributed import join_processes, leave_processes
from .features import CachedFeatures, extract_features, load_features
from .inferencer import MultiLabelInferencer
from .joint_embedding import JointEmbedding
from .trained_model import TrainedModel, load_trained_model

__all__ = [
    'CachedFeatures',
    'JointEmbedding',
    'MultiLabelInferencer',
    'TrainedModel',
    'add_run_arguments',
    'apply_run_arguments',
    'check_checkpoint',
    'check_data_layout',
    'extract_features',
    'join_processes',
    'leave_processes',
    'load_features',
    'load_trained_model',
    'report_usage_errors',
    'use_cached_features',
]
