# The paper's optimiser: RMSProp, weight decay 1e-4, momentum 0.9. It gives no learning rate and no
# schedule; these are this project's.
optim_wrapper = dict(
    optimizer=dict(type='RMSprop', lr=1e-4, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(by_epoch=True, max_epochs=15, val_interval=1)
val_cfg = dict()
test_cfg = dict()
