# The head of cnnrnn_mobilenetv2_corel5k.py on features that were computed once: the frozen
# MobileNetV2 sees each photo and its mirror image a single time instead of once an epoch.
#
#   python tools/extract_features.py configs/cnnrnn_mobilenetv2_corel5k.py \
#       --split train --flip --out data/features/corel5k_train.pt
#   python tools/extract_features.py configs/cnnrnn_mobilenetv2_corel5k.py \
#       --split val --out data/features/corel5k_val.pt
#   python tools/train.py configs/cnnrnn_cached_corel5k.py
#
# Validation split, last epoch: mAP 38.4, C-F1 28.0, O-F1 58.2, exact match 14.0 (percent; mean of
# seeds 0 to 2, deviation at most 0.6); mAP counts the 51 of 260 classes without a validation photo
# as 0. 2026-11-21: about 2 minutes a run on one CPU core, torch 2.11.0, mmpretrain 1.2.0.
_base_ = ['./cnnrnn_mobilenetv2_corel5k.py']

# ---- data -----------------------------------------------------------------------------------
data_root = 'data/features'

data_preprocessor = dict(_delete_=True, num_classes=260)  # the features are final

train_pipeline = [
    dict(type='cnnrnn_mm.OrderLabels', order='frequent_first'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

# Loading an image here is reading a row of a tensor: that needs no worker.
loader = dict(batch_size=32, num_workers=0, persistent_workers=False)
train_dataloader = dict(
    _delete_=True,
    **loader,
    dataset=dict(
        type='cnnrnn_mm.FeatureDataset',
        data_root=data_root,
        ann_file='corel5k_train.pt',  # a photo's feature or its mirror image's, at random
        pipeline=train_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    _delete_=True,
    **loader,
    dataset=dict(
        type='cnnrnn_mm.FeatureDataset',
        data_root=data_root,
        ann_file='corel5k_val.pt',
        test_mode=True,
        pipeline=test_pipeline,
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader

# ---- model ----------------------------------------------------------------------------------
model = dict(backbone=dict(_delete_=True, type='cnnrnn_mm.PrecomputedFeatures'), neck=None)
