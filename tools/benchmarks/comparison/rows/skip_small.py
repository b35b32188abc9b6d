# A quarter of the size.
_base_ = './skip.py'
title = 'skip, D 128, H 64'

model = dict(head=dict(embed_dims=128, hidden_dims=64))
