# A proposal network that image labels alone train, through the gates and the boxes.
title = 'RLSD, weak'

model = dict(
    neck=dict(proposals=dict(type='ProposalNetwork')),
    head=dict(region_loss=None),
)
