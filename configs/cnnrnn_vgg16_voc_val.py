# The model of cnnrnn_vgg16_voc.py, trained on VOC 2007 train and selected on val: for choosing
# epochs and learning rate without looking at test.
#
#   python tools/train.py configs/cnnrnn_vgg16_voc_val.py
#
# Not run: needs VOC 2007 under data/VOC2007 and the host's VGG-16 weights (downloaded by address).
_base_ = [
    './_base_/models/cnnrnn_vgg16.py',
    './_base_/datasets/voc2007_224.py',
    './_base_/schedules/rmsprop.py',
    './_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(save_best='multi-label/mAP', rule='greater'))
