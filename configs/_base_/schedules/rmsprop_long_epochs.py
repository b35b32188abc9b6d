# rmsprop.py for sets whose epochs have thousands of steps: one epoch of warm-up is enough.
_base_ = ['./rmsprop.py']

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.002,
        by_epoch=True,
        end=1,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=1,
        end={{_base_.max_epochs}},
        convert_to_iter_based=True,
    ),
]
