# The same perceptron as the config's marginal branch, by itself, on the averaged map.
_base_ = '../rows/mlp.py'

model = dict(neck=None)
