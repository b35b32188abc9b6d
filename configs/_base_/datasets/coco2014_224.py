# COCO 2014, images of 224 x 224: training on train2014, test on val2014, as the paper does.
# Nothing is selected on test, so there is no validation: choose epochs and rates on a part of
# train2014 (indices= of the dataset), not here.
data_root = 'data/coco'  # a folder or a link; holds annotations, train2014 and val2014

data_preprocessor = dict(
    num_classes=80,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='Resize', scale=(256, 256)),
    dict(type='RandomCrop', crop_size=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='cnnrnn_mm.OrderLabels', order='frequent_first'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='Resize', scale=(224, 224)),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    dataset=dict(
        type='cnnrnn_mm.CocoMultiLabel',
        data_root=data_root,
        ann_file='annotations/instances_train2014.json',
        data_prefix='train2014',
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = None
val_evaluator = None
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    dataset=dict(
        type='cnnrnn_mm.CocoMultiLabel',
        data_root=data_root,
        ann_file='annotations/instances_val2014.json',
        data_prefix='val2014',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)

# The paper scores the 3 best labels of an image: those of the decoded path, at most 3, and beside
# them the 3 of the highest score.
test_evaluator = [
    dict(type='cnnrnn_mm.LabelSetMetric'),
    dict(type='cnnrnn_mm.LabelSetMetric', topk=3),
    dict(type='cnnrnn_mm.RankingMetric'),
]
