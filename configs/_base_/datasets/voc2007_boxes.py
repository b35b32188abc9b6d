# Pascal VOC 2007 with the boxes of its objects, which move with the image. A leaf config sets the
# pipelines' size where 448 x 448 is not wanted.
_base_ = ['./voc2007_224.py']

image_size = 448
meta_keys = ('sample_idx', 'img_path', 'ori_shape', 'img_shape', 'gt_label_difficult')
box_keys = ('gt_bboxes', 'gt_bboxes_labels')

train_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(
        type='cnnrnn_mm.WithBoxes',
        transforms=[
            dict(type='RandomResizedCrop', scale=image_size, crop_ratio_range=(0.5, 1.0)),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        ],
    ),
    dict(type='cnnrnn_mm.OrderLabels', order='frequent_first'),
    dict(type='PackInputs', algorithm_keys=box_keys, meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='Resize', scale=(image_size, image_size)),
    dict(type='PackInputs', meta_keys=meta_keys),
]

train_dataloader = dict(batch_size=16, dataset=dict(boxes=True, pipeline=train_pipeline))
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=16, dataset=dict(pipeline=test_pipeline))
