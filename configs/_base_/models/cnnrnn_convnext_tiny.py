# CNN-RNN on a fine-tuned ConvNeXt-T: a backbone of today, a wider embedding than the paper's.
checkpoint = (
    'https://download.openmmlab.com/mmclassification/v0/convnext/'
    'convnext-tiny_32xb128_in1k_20221207-998cf3e9.pth'
)

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ConvNeXt',
        arch='tiny',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone'),
    ),
    head=dict(
        type='cnnrnn_mm.CNNRNNHead',
        in_channels=768,
        embed_dims=512,
        hidden_dims=512,
        recurrent='lstm',
        dropout=0.3,
        loss=dict(type='SequenceLoss'),
        postprocessor=dict(type='BeamSearchPostprocessor', beam_size=5),
    ),
)
