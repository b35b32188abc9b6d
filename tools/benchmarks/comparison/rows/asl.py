# The MLP with the host's asymmetric loss: Ridnik et al., ICCV 2021; its defaults.
_base_ = './mlp.py'
title = 'MLP, ASL'

model = dict(
    head=dict(
        loss=dict(
            _delete_=True,
            type='AsymmetricLoss',
            gamma_pos=0.0,
            gamma_neg=4.0,
            clip=0.05,
            use_sigmoid=True,
        )
    )
)
