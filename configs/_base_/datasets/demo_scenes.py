# The generated demo set: python tools/make_demo_data.py; see docs/demo_scenes.md.
data_root = 'data/demo_scenes'
classes = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')

data_preprocessor = dict(num_classes=10, mean=[110.0] * 3, std=[60.0] * 3, to_rgb=True)

train_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='RandomCrop', crop_size=50, padding=4, padding_mode='edge'),
    dict(type='cnnrnn_mm.OrderLabels', order='frequent_first'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='cnnrnn_mm.LoadImage'), dict(type='PackInputs')]

dataset = dict(type='VOC', data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    dataset=dict(**dataset, split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=100,
    num_workers=1,
    dataset=dict(**dataset, split='val', test_mode=True, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = dict(
    batch_size=100,
    num_workers=1,
    dataset=dict(**dataset, split='test', test_mode=True, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)

val_evaluator = [
    dict(type='AveragePrecision'),
    dict(type='cnnrnn_mm.LabelSetMetric'),
    dict(type='cnnrnn_mm.SceneLawMetric'),
]
test_evaluator = val_evaluator
