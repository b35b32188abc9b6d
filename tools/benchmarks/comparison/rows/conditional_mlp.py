# The MLP with the known labels as a second input, trained with random subsets of them revealed.
_base_ = './mlp.py'
title = 'conditional MLP'

model = dict(head=dict(type='cnnrnn_mm.ConditionalLabelHead'))
