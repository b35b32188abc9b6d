# Corel5k (Duygulu et al., ECCV 2002): 260 labels, photos of 384 x 256; research use only. data_root
# is a folder or a link that holds train.json and val.json in MMPretrain's MultiLabelDataset format,
# and images/.
data_root = 'data/corel5k'

# MobileNetV2's ImageNet weights of TensorFlow origin: RGB, (x - 127.5) / 127.5. Their padding
# equals torch's at sides of 32 k + 1, hence 225 and not 224.
data_preprocessor = dict(
    num_classes=260,
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    to_rgb=True,
)

train_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='Resize', scale=(225, 225)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='cnnrnn_mm.OrderLabels', order='frequent_first'),
    dict(type='PackInputs'),
]

test_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='Resize', scale=(225, 225)),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(
        type='MultiLabelDataset',
        data_root=data_root,
        ann_file='train.json',
        data_prefix='images',
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)

val_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(
        type='MultiLabelDataset',
        data_root=data_root,
        ann_file='val.json',
        data_prefix='images',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)

# The test photos are not part of what is described above; name their file here to use them.
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='AveragePrecision'),
    dict(type='cnnrnn_mm.LabelSetMetric'),
]
test_evaluator = val_evaluator
