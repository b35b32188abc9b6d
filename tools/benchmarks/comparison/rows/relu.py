# The paper's recipe with the paper's own cell, which nothing bounds.
_base_ = './paper.py'
title = 'CNN-RNN, D 64, ReLU cell'

model = dict(head=dict(recurrent='relu_lstm'))
