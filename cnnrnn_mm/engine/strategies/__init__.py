# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from .plain_deepspeed_strategy import PlainDeepSpeedStrategy
from .plain_fsdp_strategy import PlainFSDPStrategy

__all__ = ['PlainDeepSpeedStrategy', 'PlainFSDPStrategy']
