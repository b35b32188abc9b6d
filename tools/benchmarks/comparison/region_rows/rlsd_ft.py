# A proposal network that the boxes of the training images train, too.
title = 'RLSD, trained proposals'
needs = 'boxes=True in the training dataset'

model = dict(
    neck=dict(proposals=dict(type='ProposalNetwork')),
    head=dict(region_loss=dict(type='RegionProposalLoss')),
)
