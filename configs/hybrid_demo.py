# CNN-RNN beside CSRA (Zhu and Wu, ICCV 2021) on one backbone, scores pooled: docs/mixing.md. The
# demo scenes, backbone and schedule of cnnrnn_demo.py.
#
#   python tools/make_demo_data.py
#   python tools/train.py configs/hybrid_demo.py
#   python tools/choose_share.py configs/hybrid_demo.py CHECKPOINT --out fitted.pth
#   python tools/test.py configs/hybrid_demo.py fitted.pth
#
# Test split: mAP 83.8 (paths alone 83.7, CSRA alone 82.9), C-F1 78.8, O-F1 78.3, exact match 66.3,
# law broken 0.0 (percent). 2026-11-21: torch 2.11.0, mmpretrain 1.2.0, seed 0, one run, epoch and
# share selected on val.
_base_ = ['./cnnrnn_demo.py']

# ---- model ----------------------------------------------------------------------------------
# CSRA reads the maps, so there is no neck before the heads; the path head pools with its own.
model = dict(
    neck=None,
    head=dict(
        _delete_=True,
        type='cnnrnn_mm.HybridHead',
        num_classes=10,
        in_channels={{_base_.model.head.in_channels}},
        path_head=dict(
            type='CNNRNNHead',
            embed_dims=512,
            hidden_dims=64,
            recurrent='lstm',
            dropout=0.2,
            loss=dict(type='SequenceLoss'),
            postprocessor=dict(type='BeamSearchPostprocessor', beam_size=5),
        ),
        label_head=dict(type='CSRAClsHead', num_heads=1, lam=0.5),
        path_neck=dict(type='GlobalMaxPooling'),
    ),
)
