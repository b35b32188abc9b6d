# Fixed windows: nothing is learnt about where to look.
title = 'RLSD, grid'

model = dict(
    neck=dict(proposals=dict(type='GridProposals')),
    head=dict(region_loss=None),
)
