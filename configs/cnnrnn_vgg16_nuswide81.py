# CNN-RNN on NUS-WIDE, 81 concepts, k = 3, faithful to Wang et al., CVPR 2016, Table 1
# (theirs: C-F1 34.7, O-F1 55.2, MAP@10 56.1).
#
#   python tools/train.py configs/cnnrnn_vgg16_nuswide81.py
#   python tools/test.py configs/cnnrnn_vgg16_nuswide81.py \
#       work_dirs/cnnrnn_vgg16_nuswide81/epoch_15.pth
#
# Not run: needs NUS-WIDE under data/nuswide and the host's VGG-16 weights (downloaded by address).
# The backbone is frozen, so its features can be made once: docs/features.md.
_base_ = [
    './_base_/models/cnnrnn_vgg16.py',
    './_base_/datasets/nuswide81_224.py',
    './_base_/schedules/rmsprop_long_epochs.py',
    './_base_/default_runtime.py',
]

# ---- model ----------------------------------------------------------------------------------
# The paper forces a least length of k here, and scores k labels.
model = dict(
    head=dict(num_classes=81, postprocessor=dict(constraints=dict(min_length=3, max_length=3)))
)
val_cfg = None
