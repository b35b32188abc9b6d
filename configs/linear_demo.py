# MMPretrain's MultiLabelLinearClsHead on the backbone and schedule of cnnrnn_demo.py: what that one
# is compared with. One sigmoid a label, threshold 0.5.
#
#   python tools/train.py configs/linear_demo.py
_base_ = ['./cnnrnn_demo.py']

model = dict(
    head=dict(
        _delete_=True,
        type='MultiLabelLinearClsHead',
        num_classes=10,
        in_channels={{_base_.model.head.in_channels}},
        loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
)
