# DeepSpeed's ZeRO, stage 1: only the optimiser's state is spread over the processes. It wraps the
# optimiser in its own way, which takes no clip_grad; a config with this base adds, say,
#
#   optim_wrapper = dict(
#       _delete_=True, type='DeepSpeedOptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)
#   )
#
# Not run: needs the package deepspeed and GPUs. MMEngine 0.10.7 calls no hook while it saves with
# DeepSpeed, so these checkpoints hold no label order and no random states: use fsdp.py where a run
# has to be resumed exactly or tested with constraints of order.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='DeepSpeedStrategy',
    zero_optimization=dict(stage=1),
    gradient_clipping=5.0,
)
