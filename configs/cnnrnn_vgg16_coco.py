# CNN-RNN on COCO 2014, faithful to Wang et al., CVPR 2016, Table 2 (theirs, at most 3 labels an
# image: C-F1 60.4, O-F1 67.8, MAP@10 61.2).
#
#   python tools/train.py configs/cnnrnn_vgg16_coco.py
#   python tools/test.py configs/cnnrnn_vgg16_coco.py work_dirs/cnnrnn_vgg16_coco/epoch_15.pth
#
# Not run: needs COCO 2014 under data/coco and the host's VGG-16 weights (downloaded by address).
# The backbone is frozen, so its features can be made once: docs/features.md.
_base_ = [
    './_base_/models/cnnrnn_vgg16.py',
    './_base_/datasets/coco2014_224.py',
    './_base_/schedules/rmsprop_long_epochs.py',
    './_base_/default_runtime.py',
]

# ---- model ----------------------------------------------------------------------------------
# The paper takes the 3 best labels of an image and, on COCO, forces no length: a path may end
# earlier. The dataset has 80 classes.
model = dict(head=dict(num_classes=80, postprocessor=dict(constraints=dict(max_length=3))))
val_cfg = None
