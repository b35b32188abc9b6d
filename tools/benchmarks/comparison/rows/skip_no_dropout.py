# No dropout in the decoder.
_base_ = './skip.py'
title = 'skip, no dropout'

model = dict(head=dict(dropout=0.0))
