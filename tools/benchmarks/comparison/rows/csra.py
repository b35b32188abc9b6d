# Class-specific residual attention, the host's head: Zhu and Wu, ICCV 2021. It reads maps.
title = 'CSRA'
needs = 'feature maps'

model = dict(
    head=dict(
        _delete_=True,
        type='CSRAClsHead',
        num_heads=1,
        lam=0.1,
        loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
)
