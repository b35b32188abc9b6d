# CNN-RNN with a fine-tuned ConvNeXt-T at 448 x 448 on VOC 2012. Trained on train; the epoch is
# selected and the figures are taken on val, since the labels of test are not public.
#
#   python tools/train.py configs/cnnrnn_convnext_voc2012.py
#
# Not run: needs VOC 2012 under data/VOC2012, the host's ConvNeXt-T weights (downloaded by address)
# and a GPU in practice.
_base_ = [
    './_base_/models/cnnrnn_convnext_tiny.py',
    './_base_/datasets/voc2007_224.py',
    './_base_/pipelines/augmented_448.py',
    './_base_/schedules/finetune.py',
    './_base_/default_runtime.py',
]

data_root = 'data/VOC2012'
model = dict(head=dict(num_classes=20))
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline={{_base_.train_pipeline_448}}))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline={{_base_.test_pipeline_448}}))
test_dataloader = dict(
    dataset=dict(data_root=data_root, split='val', pipeline={{_base_.test_pipeline_448}})
)
default_hooks = dict(checkpoint=dict(save_best='multi-label/mAP', rule='greater'))
