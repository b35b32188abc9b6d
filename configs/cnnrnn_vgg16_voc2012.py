# CNN-RNN on VOC 2012: the model of Wang et al., CVPR 2016, who report VOC 2007 only. Trained on
# train; the epoch is selected and the figures are taken on val, since the labels of test are not
# public (the challenge's server scores predictions for it).
#
#   python tools/train.py configs/cnnrnn_vgg16_voc2012.py
#
# Not run: needs VOC 2012 under data/VOC2012 and the host's VGG-16 weights (downloaded by address).
_base_ = ['./cnnrnn_vgg16_voc_val.py']

data_root = 'data/VOC2012'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, split='val'))
