# The config without regions: its label decoder reads the maximum of the map.
title = 'CNN-RNN, maximum of the map'

model = dict(neck=dict(_delete_=True, type='cnnrnn_mm.MapMaximum'))
