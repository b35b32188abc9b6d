# MMPretrain's MultiLabelLinearClsHead on the features of cnnrnn_mobilenetv2_corel5k.py: what that
# one is compared with. One sigmoid a label, threshold 0.5.
#
#   python tools/train.py configs/linear_mobilenetv2_corel5k.py
#
# Validation split: mAP 36.7, C-F1 22.6, O-F1 53.9, exact match 8.9 (percent; mean of seeds 0 to 2,
# deviation at most 0.5). Measured with this head, optimiser and schedule on the cached features of
# the same frozen backbone, each photo or its mirror image, and not with this file and the images in
# the loop. 2026-11-21, torch 2.11.0, mmpretrain 1.2.0.
_base_ = ['./cnnrnn_mobilenetv2_corel5k.py']

model = dict(
    head=dict(
        _delete_=True,
        type='MultiLabelLinearClsHead',
        num_classes=260,
        in_channels=1280,
        loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
)
optim_wrapper = dict(
    _delete_=True,
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=5.0),
)
