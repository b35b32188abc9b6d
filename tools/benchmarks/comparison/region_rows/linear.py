# One linear layer and a sigmoid for each label, on the averaged map.
_base_ = '../rows/linear.py'

model = dict(neck=None)
