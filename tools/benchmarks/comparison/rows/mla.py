# No label order: the assignment of least loss (Yazici et al., CVPR 2020).
_base_ = './pla.py'
title = 'CNN-RNN, D 512, MLA'

model = dict(head=dict(loss=dict(alignment='mla')))
