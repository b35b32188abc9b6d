# Images of 448 x 448 for a backbone that is fine-tuned. A leaf puts them to use with
# train_dataloader = dict(dataset=dict(pipeline={{_base_.train_pipeline_448}})) and so on.
train_pipeline_448 = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='RandomResizedCrop', scale=448, crop_ratio_range=(0.5, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandAugment', policies='timm_increasing', num_policies=2, magnitude_level=7),
    dict(type='cnnrnn_mm.OrderLabels', order='frequent_first'),
    dict(
        type='PackInputs',
        # for difficult='ignore' of VOCMultiLabel; other sets have none
        meta_keys=('sample_idx', 'img_path', 'ori_shape', 'img_shape', 'gt_label_difficult'),
    ),
]
test_pipeline_448 = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='Resize', scale=(448, 448)),
    dict(
        type='PackInputs',
        # VOC's metrics need gt_label_difficult; other sets have none
        meta_keys=('sample_idx', 'img_path', 'ori_shape', 'img_shape', 'gt_label_difficult'),
    ),
]
