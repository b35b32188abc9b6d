# The host's head: a sigmoid and binary cross-entropy for each label.
title = 'binary CE'
published = 'binary CE'  # the row of the paper that it stands beside
lr_factor = 1.0  # times the config's learning rate; docs/paper_tables.md

model = dict(
    head=dict(
        _delete_=True,  # num_classes and in_channels are those of the config's head
        type='MultiLabelLinearClsHead',
        loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
)
