# The config without regions: its label decoder reads the averaged map.
title = 'CNN-RNN'

model = dict(neck=None)
