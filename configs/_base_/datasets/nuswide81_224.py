# NUS-WIDE with its 81 concepts, images of 224 x 224: the official split into training and test.
# Nothing is selected on test, so there is no validation: choose epochs and rates on a part of the
# training images (indices= of the dataset), not here.
data_root = 'data/nuswide'  # a folder or a link; docs/datasets.md says what it holds

data_preprocessor = dict(
    num_classes=81,
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

photos = dict(
    type='cnnrnn_mm.NUSWide',
    data_root=data_root,
    data_prefix='Flickr',
    concepts=81,
    empty='drop',  # photos without a label are no part of the published protocols
)
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    dataset=dict(**photos, split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = None
val_evaluator = None
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    dataset=dict(**photos, split='test', test_mode=True, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)

# The paper scores the 3 best labels of an image: those of the decoded path, which is forced to that
# length, and beside them the 3 of the highest score.
test_evaluator = [
    dict(type='cnnrnn_mm.LabelSetMetric'),
    dict(type='cnnrnn_mm.LabelSetMetric', topk=3),
    dict(type='cnnrnn_mm.RankingMetric'),
]
