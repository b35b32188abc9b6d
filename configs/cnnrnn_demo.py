# CNN-RNN on the generated demo scenes (docs/demo_scenes.md), trained from scratch on a CPU.
#
#   python tools/make_demo_data.py
#   python tools/train.py configs/cnnrnn_demo.py
#   python tools/test.py configs/cnnrnn_demo.py work_dirs/cnnrnn_demo/best_*.pth --show-dir pictures
#
# Test split: mAP 84.1, C-F1 78.7, O-F1 78.5, exact match 67.4, law broken 0.0 (percent). By
# `make demo` on 2026-11-21: 2 CPU cores, torch 2.11.0, mmpretrain 1.2.0, seed 0, one run, epoch
# selected on val; this training and that of linear_demo.py took 296 s together. Two runs with other
# draws of the augmentation, or one thread: exact match 66.4 and 64.6.
_base_ = ['./_base_/datasets/demo_scenes.py', './_base_/default_runtime.py']

# ---- what most users change -----------------------------------------------------------------
max_epochs = 12
warmup_epochs = 2
learning_rate = 5e-3
batch_size = 32

# ---- model ----------------------------------------------------------------------------------
# The first two stages of a thin ResNet-18; the small digits are 13 to 14 pixels.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=2,
        stem_channels=24,
        base_channels=24,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
    ),
    neck=dict(type='cnnrnn_mm.GlobalMaxPooling'),
    head=dict(
        type='cnnrnn_mm.CNNRNNHead',
        num_classes=10,
        in_channels=48,
        embed_dims=512,
        hidden_dims=64,
        recurrent='lstm',
        dropout=0.2,
        # The backbone learns from scratch: ask the image for every label, too (training only).
        marginal=dict(loss_weight=1.0),
        loss=dict(type='SequenceLoss'),
        postprocessor=dict(type='BeamSearchPostprocessor', beam_size=5),
    ),
)
train_dataloader = dict(batch_size=batch_size)

# ---- schedule -------------------------------------------------------------------------------
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=learning_rate, weight_decay=1e-2),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.05,
        by_epoch=True,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=batch_size)

default_hooks = dict(
    checkpoint=dict(save_best='label-set/O-F1', rule='greater', max_keep_ckpts=1),
    channels_last=dict(type='cnnrnn_mm.ChannelsLastHook'),
)
