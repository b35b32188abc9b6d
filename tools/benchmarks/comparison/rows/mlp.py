# A hidden layer: the same perceptron as the config's marginal branch, by itself.
_base_ = './linear.py'
title = 'MLP, BCE'
lr_factor = 0.5  # times the config's learning rate; that of the marginal branch

takes = dict(hidden_dims='marginal.hidden_dims', dropout='marginal.dropout')
