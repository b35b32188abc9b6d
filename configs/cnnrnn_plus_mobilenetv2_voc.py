# A chain of sigmoids over a marginal branch, on VOC 2007 over a frozen MobileNetV2 at 224 x 224.
#
#   python tools/train.py configs/cnnrnn_plus_mobilenetv2_voc.py
#
# Not run: needs VOC 2007. The comparison of heads on five of its classes is in docs/accuracy.md.
_base_ = [
    './_base_/models/mobilenetv2_frozen.py',
    './_base_/datasets/voc2007_224.py',
    './_base_/schedules/adamw_ema.py',
    './_base_/default_runtime.py',
]

# The weights are those of models that see RGB values in [-1, 1].
data_preprocessor = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])

model = dict(
    head=dict(
        type='cnnrnn_mm.CNNRNNHead',
        num_classes=20,
        in_channels=1280,
        embed_dims=64,
        hidden_dims=64,
        recurrent='gru',
        dropout=0.5,
        activation='identity',
        decoder=dict(type='ChainDecoder'),
        marginal=dict(hidden_dims=512, dropout=0.5),
        loss=dict(type='SequenceLoss'),
        postprocessor=dict(type='BeamSearchPostprocessor', beam_size=5, marginal_share=0.5),
    )
)

default_hooks = dict(checkpoint=dict(save_best='ranking/mAP', rule='greater'))
