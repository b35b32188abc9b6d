# MobileNetV2 1.0, frozen, with ImageNet weights from a local file; a head is to be added.
checkpoint = 'data/weights/mobilenet_v2_imagenet.pth'  # a state dict with prefix 'backbone.'

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='cnnrnn_mm.Frozen',
        module=dict(
            type='MobileNetV2',
            widen_factor=1.0,
            init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone'),
        ),
    ),
    neck=dict(type='GlobalAveragePooling'),
)
