# One linear layer, a sigmoid and binary cross-entropy for each label.
title = 'linear, BCE'
lr_factor = 1.0  # times the config's learning rate

model = dict(
    head=dict(
        _delete_=True,  # num_classes and in_channels are those of the config's head
        type='cnnrnn_mm.LinearLabelHead',
        loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
)
