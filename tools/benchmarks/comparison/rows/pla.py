# No label order: the true labels go where the model says them (Yazici et al., CVPR 2020).
_base_ = './corel5k.py'
title = 'CNN-RNN, D 512, PLA'

model = dict(
    head=dict(
        loss=dict(type='AlignedSequenceLoss', alignment='pla'),
        postprocessor=dict(constraints=None, decision=dict(type='SetDecision')),
    )
)
