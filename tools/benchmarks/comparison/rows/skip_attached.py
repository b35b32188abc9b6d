# The sequence loss trains the marginal branch, too.
_base_ = './skip.py'
title = 'skip, attached'

model = dict(head=dict(decoder=dict(detach=False)))
