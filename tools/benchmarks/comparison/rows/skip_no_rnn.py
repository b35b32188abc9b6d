# The previous label alone in place of the recurrent layer.
_base_ = './skip.py'
title = 'skip, no RNN'

model = dict(head=dict(recurrent='none'))
