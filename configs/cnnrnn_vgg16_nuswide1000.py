# CNN-RNN on NUS-WIDE, 1,000 tags, k = 10, faithful to Wang et al., CVPR 2016, Table 1
# (theirs: C-F1 17.1, O-F1 23.3, MAP@10 26.6).
#
#   python tools/train.py configs/cnnrnn_vgg16_nuswide1000.py
#   python tools/test.py configs/cnnrnn_vgg16_nuswide1000.py \
#       work_dirs/cnnrnn_vgg16_nuswide1000/epoch_15.pth
#
# Not run: needs NUS-WIDE under data/nuswide and the host's VGG-16 weights (downloaded by address).
# The backbone is frozen, so its features can be made once: docs/features.md.
_base_ = [
    './_base_/models/cnnrnn_vgg16.py',
    './_base_/datasets/nuswide1000_224.py',
    './_base_/schedules/rmsprop_long_epochs.py',
    './_base_/default_runtime.py',
]

# ---- model ----------------------------------------------------------------------------------
# The paper forces a least length of k here, and scores k labels.
model = dict(
    head=dict(num_classes=1000, postprocessor=dict(constraints=dict(min_length=10, max_length=10)))
)
val_cfg = None
