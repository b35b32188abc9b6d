# Each process holds the whole model. The plain Runner does the same from the launcher alone; this
# is for what only FlexibleRunner has. For backbones with idle parameters (docs/backbones.md) add
# find_unused_parameters=True to model_wrapper: FlexibleRunner does not read it at the top level.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='DDPStrategy',
    model_wrapper=dict(type='MMDistributedDataParallel', broadcast_buffers=False),
)
