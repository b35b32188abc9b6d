# The paper's model at the size that suits Corel5k, with optimiser and schedule of its own: head and
# schedule are those of configs/cnnrnn_mobilenetv2_corel5k.py.
title = 'CNN-RNN, D 512'

model = dict(
    head=dict(
        _delete_=True,
        type='cnnrnn_mm.CNNRNNHead',
        embed_dims=512,
        hidden_dims=256,
        recurrent='lstm',
        dropout=0.3,
        loss=dict(type='SequenceLoss'),
        # One path a set, as in training: drawing paths with known labels needs it.
        postprocessor=dict(
            type='BeamSearchPostprocessor', beam_size=5, constraints=dict(order='training')
        ),
    )
)
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='RMSprop', lr=1e-4, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', by_epoch=True, end=10, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=10)
custom_hooks = []  # no average of the weights
