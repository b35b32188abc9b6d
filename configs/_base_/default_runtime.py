# What every run of this project needs. Configs of your own that start from MMPretrain's base files
# add these default_hooks entries; the types are found by their prefix, without an import.
_base_ = ['mmpretrain::_base_/default_runtime.py']

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=20),
    # the host's CheckpointHook, whose files are whole or absent (docs/faults.md)
    checkpoint=dict(type='cnnrnn_mm.AtomicCheckpointHook', interval=1, max_keep_ckpts=2),
    # a NaN or infinite loss ends the run and names the batch; action='skip' leaves the step out
    non_finite_loss=dict(type='cnnrnn_mm.NonFiniteLossHook'),
    # empty splits, wrong labels, a class list that is not the checkpoint's: before the first step
    check_data=dict(type='cnnrnn_mm.CheckDataHook'),
    # fits OrderLabels on the training split and stores the order in the checkpoint
    label_order=dict(type='cnnrnn_mm.LabelOrderHook'),
    # a resumed run draws what the killed one would have drawn
    random_state=dict(type='cnnrnn_mm.RandomStateHook'),
    # the validation that a kill has cut off is run when the run is resumed
    missed_validation=dict(type='cnnrnn_mm.MissedValidationHook'),
    # checkpoints that load with weights_only=True
    plain_checkpoint=dict(type='cnnrnn_mm.PlainCheckpointHook'),
)

# Without what the host's base file adds: its browse_dataset.py builds a visualizer from this.
visualizer = dict(
    _delete_=True,
    type='cnnrnn_mm.LabelPathVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
)

randomness = dict(seed=0, deterministic=False)
