# Rank-weighted hinge with drawn violators: Weston et al., IJCAI 2011; Gong et al., ICLR 2014.
title = 'WARP'
published = 'WARP'  # the row of the paper that it stands beside
lr_factor = 1.0  # times the config's learning rate; docs/paper_tables.md

model = dict(
    head=dict(
        _delete_=True,  # num_classes and in_channels are those of the config's head
        type='cnnrnn_mm.LinearLabelHead',
        score='raw',
        topk=3,
        loss=dict(type='WARPLoss'),
    )
)
