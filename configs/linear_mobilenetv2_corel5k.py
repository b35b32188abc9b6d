# MMPretrain's MultiLabelLinearClsHead on the features of cnnrnn_mobilenetv2_corel5k.py: what that
# one is compared with. One sigmoid a label, threshold 0.5.
#
#   python tools/train.py configs/linear_mobilenetv2_corel5k.py
#
# FIGURES
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
