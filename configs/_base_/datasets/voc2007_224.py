# Pascal VOC 2007, images of 224 x 224. For a folder of your own in VOC layout, change data_root,
# classes (in every dataset) and num_classes (in the leaf config).
data_root = 'data/VOC2007'  # a folder or a link; holds JPEGImages, Annotations, ImageSets
# What a class is to a training image that shows difficult objects of it only: 'negative', no label;
# 'positive', a label; 'ignore', left out of the loss, which takes ignore_difficult=True in
# model.head as well.
difficult = 'negative'

data_preprocessor = dict(
    num_classes=20,
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
    dict(
        type='PackInputs',
        # for difficult='ignore'
        meta_keys=('sample_idx', 'img_path', 'ori_shape', 'img_shape', 'gt_label_difficult'),
    ),
]

test_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='Resize', scale=(224, 224)),
    dict(
        type='PackInputs',
        # the VOC metrics need gt_label_difficult
        meta_keys=('sample_idx', 'img_path', 'ori_shape', 'img_shape', 'gt_label_difficult'),
    ),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    dataset=dict(
        type='cnnrnn_mm.VOCMultiLabel',
        data_root=data_root,
        split='train',
        difficult=difficult,
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)

val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    dataset=dict(
        type='cnnrnn_mm.VOCMultiLabel',
        data_root=data_root,
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)

test_dataloader = dict(
    batch_size=32,
    num_workers=2,
    dataset=dict(
        type='cnnrnn_mm.VOCMultiLabel',
        data_root=data_root,
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)

# The metrics count difficult objects neither as hits nor as misses, whatever they are in training:
# the official protocol.
val_evaluator = [
    dict(type='VOCAveragePrecision'),
    dict(type='cnnrnn_mm.LabelSetMetric', ignore_difficult=True),
    dict(type='cnnrnn_mm.RankingMetric', ignore_difficult=True),  # 11-point AP among them
]
test_evaluator = val_evaluator
