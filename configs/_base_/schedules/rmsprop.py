# The paper's optimiser: RMSProp, weight decay 1e-4, momentum 0.9. It gives no learning rate and no
# schedule; these are this project's. RMSProp's first steps are large, and the paper's unbounded
# cell does not survive them without the warm-up (docs/choices.md).
max_epochs = 15
warmup_epochs = 4  # some 600 steps on VOC 2007 trainval at a batch of 32

optim_wrapper = dict(
    optimizer=dict(type='RMSprop', lr=1e-4, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.002,
        by_epoch=True,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
