# The config with all regions heard, in place of the loudest alone.
_base_ = './rlsd.py'
title = 'RLSD, logsumexp'

model = dict(head=dict(fusion='logsumexp'))
