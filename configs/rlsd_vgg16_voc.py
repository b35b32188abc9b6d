# RLSD on VOC 2007: Zhang et al., "Multi-label image classification with regional latent semantic
# dependencies", IEEE Trans. Multimedia 2018; VGG-16, the localisation layer of DenseCap (12 anchors
# a position, NMS at 0.7, regions sampled to 7 x 7, two fully connected layers of 4096).
#
#   python tools/train.py configs/rlsd_vgg16_voc.py
#   python tools/test.py configs/rlsd_vgg16_voc.py work_dirs/rlsd_vgg16_voc/epoch_15.pth
#
# Not run: needs VOC 2007 under data/VOC2007, the host's VGG-16 weights (downloaded by address), and
# a GPU in practice. What the paper leaves open, and what was chosen: docs/rlsd.md.
#
# Proposals learn from image labels alone ("weak"). With the boxes of trainval, the paper's upper
# bound RLSD+ft-RPN:
#   --cfg-options model.head.region_loss.type=RegionProposalLoss
_base_ = ['./_base_/datasets/voc2007_boxes.py', './_base_/default_runtime.py']

# ---- what most users change -----------------------------------------------------------------
num_classes = 20
num_regions = 50
max_epochs = 15
learning_rate = 1e-4
backbone_lr_factor = 0.1
checkpoint = (
    'https://download.openmmlab.com/mmclassification/v0/vgg/'
    'vgg16_batch256_imagenet_20210208-db26f1a5.pth'
)
pretrained = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone')

# ---- model ----------------------------------------------------------------------------------
model = dict(
    type='ImageClassifier',
    # Without the last pooling: a position every 16 pixels, as in DenseCap.
    backbone=dict(
        type='VGG',
        depth=16,
        with_last_pool=False,
        frozen_stages=1,
        init_cfg=pretrained,
    ),
    neck=dict(
        type='cnnrnn_mm.RegionLocalizationNeck',
        in_channels=512,
        num_regions=num_regions,
        sample_size=7,
        proposals=dict(type='ProposalNetwork', hidden=256, min_size=0.05),
        region_neck=dict(type='VGGFullyConnected', init_cfg=pretrained),
    ),
    head=dict(
        type='cnnrnn_mm.RLSDHead',
        num_classes=num_classes,
        in_channels=4096,
        embed_dims=512,
        hidden_dims=256,
        recurrent='lstm',
        dropout=0.3,
        label_decoder=dict(type='SkipDecoder'),
        marginal=dict(),
        loss=dict(type='SequenceLoss'),
        postprocessor=dict(
            type='BeamSearchPostprocessor',
            beam_size=5,
            marginal_share=0.5,
            constraints=dict(order='training'),
        ),
    ),
)
data_preprocessor = dict(num_classes=num_classes)

# ---- data: trained on trainval, as the paper does; nothing is chosen on test -----------------
train_dataloader = dict(dataset=dict(split='trainval'))
val_dataloader = None
val_evaluator = None
val_cfg = None

# ---- schedule -------------------------------------------------------------------------------
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=learning_rate, weight_decay=1e-4),
    paramwise_cfg=dict(
        custom_keys={
            'backbone': dict(lr_mult=backbone_lr_factor),
            'region_neck': dict(lr_mult=backbone_lr_factor),
        }
    ),
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
train_cfg = dict(by_epoch=True, max_epochs=max_epochs)
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=16)
