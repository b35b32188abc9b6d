# Weights, gradients and the optimiser's state are spread over the processes (docs/scale.md says
# when that pays). Checkpoints are those of a run without it: tools/test.py and --resume take them
# with any number of processes. Run with two gloo processes on a CPU; not run with NCCL, which needs
# GPUs.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='cnnrnn_mm.engine.strategies.PlainFSDPStrategy',
    model_wrapper=dict(type='MMFullyShardedDataParallel', use_orig_params=True),
)
