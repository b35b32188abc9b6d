# Class-specific residual attention, the host's head, on the map.
_base_ = '../rows/csra.py'
needs = None  # there is always a map here

model = dict(neck=None)
