# CNN-RNN on VOC 2007, faithful to Wang et al., CVPR 2016, Table 4 (their mAP on test: 84.0).
#
#   python tools/train.py configs/cnnrnn_vgg16_voc.py
#   python tools/test.py configs/cnnrnn_vgg16_voc.py work_dirs/cnnrnn_vgg16_voc/epoch_15.pth
#
# Not run: needs VOC 2007 under data/VOC2007 and the host's VGG-16 weights (downloaded by address).
#
# Trained on trainval, tested on test, as the paper does. Nothing is chosen on test: the number of
# epochs is fixed here and is to be chosen with cnnrnn_vgg16_voc_val.py, which trains on train and
# selects on val.
_base_ = ['./cnnrnn_vgg16_voc_val.py']

train_dataloader = dict(dataset=dict(split='trainval'))
val_dataloader = None
val_evaluator = None
val_cfg = None
default_hooks = dict(checkpoint=dict(save_best=None))
