# The paper's recipe: D 64, H 512, dropout 0.5; a bounded cell in place of its own.
_base_ = './corel5k.py'
title = 'CNN-RNN, D 64'

model = dict(head=dict(embed_dims=64, hidden_dims=512, dropout=0.5, activation='tanh'))
