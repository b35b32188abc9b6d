# CNN-RNN with a fine-tuned ResNet-50 at 448 x 448 on VOC 2007: what one would choose today.
#
#   python tools/train.py configs/cnnrnn_resnet50_voc.py
#   python tools/test.py configs/cnnrnn_resnet50_voc.py \
#       work_dirs/cnnrnn_resnet50_voc/best_multi-label_mAP_epoch_N.pth
#
# Not run: needs VOC 2007 under data/VOC2007, the host's ResNet-50 weights (downloaded by address),
# and a GPU in practice.
#
# Trained on train, the epoch selected on val, tested on test. For a folder of your own, change
# data_root and classes in the three datasets and num_classes here.
_base_ = ['./_base_/datasets/voc2007_224.py', './_base_/default_runtime.py']

# ---- what most users change -----------------------------------------------------------------
num_classes = 20
image_size = 448
batch_size = 32
max_epochs = 20
learning_rate = 1e-4
backbone_lr_factor = 0.1
checkpoint = (
    'https://download.openmmlab.com/mmclassification/v0/resnet/'
    'resnet50_8xb256-rsb-a1-600e_in1k_20211228-20e21305.pth'
)

# ---- model ----------------------------------------------------------------------------------
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet',
        depth=50,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone'),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='cnnrnn_mm.CNNRNNHead',
        num_classes=num_classes,
        in_channels=2048,
        embed_dims=512,
        hidden_dims=512,
        recurrent='lstm',
        dropout=0.3,
        loss=dict(type='SequenceLoss'),
        postprocessor=dict(type='BeamSearchPostprocessor', beam_size=5),
    ),
)
data_preprocessor = dict(num_classes=num_classes)

# ---- data -----------------------------------------------------------------------------------
train_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='RandomResizedCrop', scale=image_size, crop_ratio_range=(0.5, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandAugment', policies='timm_increasing', num_policies=2, magnitude_level=7),
    dict(type='cnnrnn_mm.OrderLabels', order='frequent_first'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='cnnrnn_mm.LoadImage'),
    dict(type='Resize', scale=(image_size, image_size)),
    dict(
        type='PackInputs',
        meta_keys=('sample_idx', 'img_path', 'ori_shape', 'img_shape', 'gt_label_difficult'),
    ),
]
train_dataloader = dict(batch_size=batch_size, num_workers=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=batch_size, num_workers=4, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=batch_size, num_workers=4, dataset=dict(pipeline=test_pipeline))

# ---- schedule -------------------------------------------------------------------------------
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=learning_rate, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=backbone_lr_factor)}),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=1,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)

default_hooks = dict(checkpoint=dict(save_best='multi-label/mAP', rule='greater'))
