# MMPretrain's MultiLabelLinearClsHead on the backbone and schedule of cnnrnn_demo.py: what that one
# is compared with. One sigmoid a label, threshold 0.5.
#
#   python tools/train.py configs/linear_demo.py
#
# Test split: mAP 82.4, C-F1 73.8, O-F1 75.4, exact match 43.4, law broken 46.9 (percent), in the
# run named in cnnrnn_demo.py.
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
