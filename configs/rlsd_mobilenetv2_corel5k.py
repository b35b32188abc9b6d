# RLSD over a frozen MobileNetV2 on Corel5k, at a size that a CPU trains in minutes on cached maps.
# Corel5k has no boxes: proposals learn from image labels alone.
#
#   python tools/extract_features.py configs/rlsd_mobilenetv2_corel5k.py --splits train val --flip \
#       --out data/features/corel5k_maps
#   python tools/train.py configs/rlsd_mobilenetv2_corel5k.py --features data/features/corel5k_maps
#
# Validation split, last epoch, cached maps, seeds 0 to 2: mAP 44.1 +- 0.6, O-F1 55.3 +- 0.2
# (percent). 2026-11-21, torch 2.11.0, mmpretrain 1.2.0; beside CNN-RNN on the same maps in
# docs/rlsd.md.
_base_ = ['./cnnrnn_plus_skip_mobilenetv2_corel5k.py']

max_epochs = 10

model = dict(
    neck=dict(
        _delete_=True,
        type='cnnrnn_mm.RegionLocalizationNeck',
        in_channels=1280,
        num_regions=13,
        sample_size=3,
        # No smaller than a position's share of the side, 1 / 8.
        proposals=dict(type='ProposalNetwork', hidden=32, min_size=0.125, pre_nms=200),
    ),
    head=dict(
        _delete_=True,
        type='cnnrnn_mm.RLSDHead',
        num_classes=260,
        in_channels=1280,
        embed_dims=128,
        hidden_dims=64,
        recurrent='lstm',
        dropout=0.3,
        label_decoder=dict(type='SkipDecoder'),
        marginal=dict(hidden_dims=512, dropout=0.5),
        loss=dict(type='SequenceLoss'),
        postprocessor=dict(
            type='BeamSearchPostprocessor',
            beam_size=5,
            marginal_share=0.5,
            constraints=dict(order='training'),
        ),
    ),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', by_epoch=True, end=max_epochs, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=max_epochs)
