# The paper's recipe with the paper's own cell, which nothing bounds: h rectified, a warm-up.
_base_ = './paper.py'
title = 'CNN-RNN, D 64, ReLU cell'

model = dict(head=dict(recurrent='relu_lstm', activation='relu'))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.002, by_epoch=True, end=4, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=4, end=10, convert_to_iter_based=True),
]
