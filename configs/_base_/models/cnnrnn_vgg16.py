# CNN-RNN as published: frozen VGG-16, its 4096-d fc7 feature, D 64, H 512, the paper's own cell.
checkpoint = (
    'https://download.openmmlab.com/mmclassification/v0/vgg/'
    'vgg16_batch256_imagenet_20210208-db26f1a5.pth'
)
pretrained = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone')

model = dict(
    type='ImageClassifier',
    backbone=dict(type='cnnrnn_mm.Frozen', module=dict(type='VGG', depth=16, init_cfg=pretrained)),
    neck=dict(
        type='cnnrnn_mm.Frozen',
        module=dict(type='cnnrnn_mm.VGGFullyConnected', init_cfg=pretrained),
    ),
    head=dict(
        type='cnnrnn_mm.CNNRNNHead',
        num_classes=20,
        in_channels=4096,
        embed_dims=64,
        hidden_dims=512,
        recurrent='relu_lstm',
        dropout=0.5,
        activation='relu',  # the paper leaves h open; a tanh lets the rectified cell run away
        loss=dict(type='SequenceLoss'),
        postprocessor=dict(type='BeamSearchPostprocessor', beam_size=5),
    ),
)
