# DeepSpeed's ZeRO, stage 1: only the optimiser's state is spread over the processes. It wraps the
# optimiser in its own way, which takes no clip_grad; a config with this base adds, say,
#
#   optim_wrapper = dict(
#       _delete_=True, type='DeepSpeedOptimWrapper', optimizer=dict(type='AdamW', lr=1e-3)
#   )
#
# Needs deepspeed 0.19.6 or earlier: MMEngine 0.10.7 imports what 0.19.8 no longer has. Run with two
# gloo processes on a CPU; not run with NCCL, which needs GPUs. A checkpoint is DeepSpeed's folder,
# for as many processes as have written it: docs/scale.md says how to test or publish it.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='cnnrnn_mm.engine.strategies.PlainDeepSpeedStrategy',
    zero_optimization=dict(stage=1),
    gradient_clipping=5.0,
)
