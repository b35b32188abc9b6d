# NUS-WIDE with its 1,000 tags instead of the 81 concepts.
_base_ = ['./nuswide81_224.py']

data_preprocessor = dict(num_classes=1000)
train_dataloader = dict(dataset=dict(concepts=1000))
test_dataloader = dict(dataset=dict(concepts=1000))

# The paper scores 10 labels here.
test_evaluator = [
    dict(type='cnnrnn_mm.LabelSetMetric'),
    dict(type='cnnrnn_mm.LabelSetMetric', topk=10),
    dict(type='cnnrnn_mm.RankingMetric'),
]
