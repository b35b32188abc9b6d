# No label order: P(set) from four orders drawn for each image.
_base_ = './corel5k.py'
title = 'CNN-RNN, D 512, set loss'

model = dict(
    head=dict(
        loss=dict(_delete_=True, type='LabelSetLoss', num_orders=4),
        postprocessor=dict(constraints=None, decision=dict(type='SetDecision')),
    )
)
