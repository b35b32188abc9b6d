# AdamW with a cosine, and an average of the weights, which is what is validated and saved.
max_epochs = 20

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01, fused=True),
    paramwise_cfg=dict(custom_keys={'head.marginal_branch': dict(lr_mult=0.5)}),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', by_epoch=True, end=max_epochs, convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)

custom_hooks = [dict(type='EMAHook', momentum=0.01)]
