# CNN-RNN with a fine-tuned ConvNeXt-T at 448 x 448 on NUS-WIDE, 81 concepts, k = 3: what one would
# choose today. Label sets of any size; beside them the paper's protocol, the 3 best scores.
#
#   python tools/train.py configs/cnnrnn_convnext_nuswide81.py
#   python tools/test.py configs/cnnrnn_convnext_nuswide81.py \
#       work_dirs/cnnrnn_convnext_nuswide81/epoch_20.pth
#
# Not run: needs NUS-WIDE under data/nuswide, the host's ConvNeXt-T weights (downloaded by address)
# and a GPU in practice.
_base_ = [
    './_base_/models/cnnrnn_convnext_tiny.py',
    './_base_/datasets/nuswide81_224.py',
    './_base_/pipelines/augmented_448.py',
    './_base_/schedules/finetune.py',
    './_base_/default_runtime.py',
]

model = dict(head=dict(num_classes=81))
train_dataloader = dict(dataset=dict(pipeline={{_base_.train_pipeline_448}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline_448}}))
val_cfg = None
