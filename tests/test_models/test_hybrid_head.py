# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Two heads on one backbone: each stays what it is alone, and their scores are pooled."""

import copy
import json

import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.evaluation import MultiTasksMetric
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample, MultiTaskDataSample
from region_cases import make_regions
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.apis import load_trained_model
from cnnrnn_mm.apis.decision_choice import try_decisions
from cnnrnn_mm.engine.hooks.label_order_hook import tell_heads
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import FeatureClassifier, HybridHead, RLSDHead
from cnnrnn_mm.models.constant_features import weights_digest

C, F, N = 4, 6, 4
LABELS = ([2, 0, 3], [], [1], [3, 1])
SHARE = [0.0, 0.25, 0.6, 1.0]
CSRA = dict(type='CSRAClsHead', num_heads=2, lam=0.2)
HEADS = {
    'host default': dict(),
    'linear': dict(type='MultiLabelLinearClsHead', thr=0.45),
    'topk': dict(type='mmpretrain.MultiLabelLinearClsHead', topk=2),
    'mlp': dict(type='LinearLabelHead', hidden_dims=5),
    'csra': CSRA,
}


def config(label_head=None, path_head=None, **options):
    path = dict(embed_dims=8, hidden_dims=5, dropout=0.0, **(path_head or {}))
    return dict(
        type='cnnrnn_mm.HybridHead', num_classes=C, in_channels=F, path_head=path,
        label_head=dict() if label_head is None else label_head, **options,
    )  # fmt: skip


def build(*args, **options):
    torch.manual_seed(1)
    head = MODELS.build(config(*args, **options))
    for weight in head.parameters():
        torch.nn.init.normal_(weight)
    return head.eval()


@pytest.fixture(autouse=True)
def _scope(default_scope):
    default_scope('mmpretrain')


def maps():
    return (torch.randn(N, F, 2, 3, generator=torch.Generator().manual_seed(5)),)


def samples_of(labels=LABELS):
    return [DataSample().set_gt_label(torch.tensor(one, dtype=torch.long)) for one in labels]


def marks_of(labels=LABELS):
    marks = torch.zeros(len(labels), C)
    for row, one in enumerate(labels):
        marks[row, one] = 1.0
    return marks


def sigmoids_of(head, feats):
    """Of the label head alone, wired by hand."""
    feature = feats[0] if 'CSRA' in type(head.label_head).__name__ else feats[0].mean((2, 3))
    return head.label_head((feature,)).sigmoid()


@pytest.mark.parametrize('label_head', HEADS.values(), ids=HEADS)
def test_losses_are_those_of_each_head_alone(label_head):
    head = build(label_head, dict(marginal=dict()), path_weight=0.5, label_weight=3.0)
    losses = head.loss(maps(), samples_of())
    alone = head.path_head.loss(maps(), samples_of())
    bce = torch.nn.functional.binary_cross_entropy(sigmoids_of(head, maps()), marks_of())
    expected = {
        'path_loss': 0.5 * alone['loss'],
        'path_loss_marginal': 0.5 * alone['loss_marginal'],
        'label_loss': 3.0 * bce * C,
    }
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, msg=name)
    sum(losses.values()).backward()
    assert all(weight.grad is not None for weight in head.parameters())


@pytest.mark.parametrize('label_head', HEADS.values(), ids=HEADS)
@pytest.mark.parametrize('share', [0.0, 0.3, 1.0, SHARE])
@pytest.mark.parametrize('branch', [{}, dict(decoder=dict(type='SkipDecoder'), marginal=dict())])
def test_scores_are_pooled_and_nothing_else_changes(label_head, share, branch):
    """A marginal branch of the path head, which a decoder may read, is another one."""
    head = build(label_head, branch, share=share)
    paths, mine = head.path_head.predict(maps()), head.predict(maps())
    mean = sigmoids_of(head, maps())
    for alone, sample, independent in zip(paths, mine, mean, strict=True):
        weight = torch.as_tensor(share)
        expected = (1 - weight) * alone.pred_score + weight * independent
        torch.testing.assert_close(sample.pred_score, expected)
        torch.testing.assert_close(sample.pred_score_independent, independent)
        expected = (independent >= label_head.get('thr', 0.5)).nonzero()[:, 0]
        if 'topk' in label_head:
            expected = independent.topk(label_head['topk']).indices
        assert sorted(sample.pred_label_independent.tolist()) == sorted(expected.tolist())
        for key, value in alone.items():
            if key != 'pred_score':
                torch.testing.assert_close(sample.get(key), value, msg=key)


def test_constraints_and_decisions_see_the_pooled_scores():
    options = dict(postprocessor=dict(decision=dict(type='ThresholdDecision', thr=0.4)))
    head = build(path_head=options, share=0.7)
    feats = maps()
    limits = [dict(forbidden=[2]), dict(required=[1]), dict(prefix=[3]), dict()]
    for row, sample in enumerate(head.predict(feats, constraints=limits)):
        over = (sample.pred_score >= 0.4).nonzero()[:, 0].tolist()
        assert sorted(sample.pred_label.tolist()) == over
        known = [(2, 0.0), (1, 1.0), (3, 1.0)][row : row + 1]
        for label, score in known:
            assert float(sample.pred_score[label]) == score
    free = head.predict(feats)[3]
    torch.testing.assert_close(free.pred_score, sample.pred_score)


def test_decisions_can_be_chosen():
    """``tools/choose_decision.py`` looks at the head's postprocessor."""
    model = torch.nn.Module()
    model.head = build(share=0.5)
    model.data_preprocessor = lambda batch, training: batch
    model.extract_feat = lambda inputs: (inputs,)
    trials = try_decisions(model, [dict(inputs=maps()[0], data_samples=samples_of())], [0.0, 1.0])
    assert {'O-F1', 'exact-match'} <= trials[0].figures.keys()


def test_what_others_ask_of_a_head_of_paths():
    head, feats = build(CSRA, dict(ignore_difficult=True)), maps()
    tokens = torch.tensor([[head.vocabulary.start, 2]] * N)
    assert torch.equal(head(feats, tokens), head.path_head(feats, tokens))
    assert torch.equal(head.pre_logits(feats), feats[0].mean((2, 3)))
    assert head.ignore_difficult and head.num_classes == C
    assert head.decoder is head.path_head.decoder
    image, logits = head.read_images(feats)
    assert torch.equal(image, head.path_head.read_images(feats)[0])
    torch.testing.assert_close(logits.sigmoid(), sigmoids_of(head, feats))
    (alone,) = head.predict((feats[0][[2]],))
    torch.testing.assert_close(alone.pred_score, head.predict(feats)[2].pred_score)


def test_necks_of_their_own():
    neck = dict(type='cnnrnn_mm.GlobalMaxPooling')
    head = build(path_neck=neck, label_neck=neck, share=0.5)
    feature = maps()[0].amax((2, 3))
    other = build(share=0.5)
    other.load_state_dict(head.state_dict())
    for one, two in zip(head.predict(maps()), other.predict((feature,)), strict=True):
        torch.testing.assert_close(one.pred_score, two.pred_score)
    assert torch.equal(head.pre_logits(maps()), feature)


def test_scores_of_a_backbone_as_label_head():
    """The host's plain head takes the feature for its scores."""
    head = HybridHead(C, dict(in_channels=C, embed_dims=4), dict(type='MultiLabelClsHead')).eval()
    scores = torch.randn(N, C)
    assert torch.equal(head.label_logits((scores,)), scores)


def test_regions():
    regions = make_regions([3, 2, 3, 1], size=F)
    head = build(path_head=dict(type='RLSDHead'), share=0.5)
    assert isinstance(head.path_head, RLSDHead)
    sigmoids = head.label_head((regions.features[:, 0],)).sigmoid()
    found, paths = head.predict((regions,)), head.path_head.predict((regions,))
    for sample, alone, mean in zip(found, paths, sigmoids, strict=True):
        torch.testing.assert_close(sample.pred_score, (alone.pred_score + mean) / 2)
        assert torch.equal(sample.pred_label_regions, alone.pred_label_regions)
    assert {'path_loss', 'label_loss'} == set(head.loss((regions,), samples_of()))


def test_ignored_labels_cost_nothing():
    head = build(path_head=dict(ignore_difficult=True), label_weight=2.0)
    samples = samples_of()
    for sample, ids in zip(samples, ([1], [0, 2], [1], []), strict=True):  # the third is true, too
        sample.set_field(ids, 'gt_label_difficult', field_type='metainfo')
    probabilities = sigmoids_of(head, maps())
    counts = torch.ones(N, C)
    counts[0, 1] = counts[1, 0] = counts[1, 2] = 0
    each = torch.nn.functional.binary_cross_entropy(probabilities, marks_of(), reduction='none')
    losses = head.loss(maps(), samples)
    torch.testing.assert_close(losses['label_loss'], 2 * (counts * each).sum() / N)
    torch.testing.assert_close(losses['path_loss'], head.path_head.loss(maps(), samples)['loss'])
    losses['label_loss'].backward()
    expected = ((probabilities - marks_of()) * counts).sum(0) * 2 / N
    torch.testing.assert_close(head.label_head.fc.bias.grad, expected)


def test_fitted_share_goes_with_the_weights_and_a_given_one_with_the_config():
    fitted, given = build(), build(share=0.2)
    assert fitted.share.tolist() == [0.5] * C
    assert 'share' in fitted.state_dict() and 'share' not in given.state_dict()
    fitted.set_share(SHARE)
    other = build()
    other.load_state_dict(fitted.state_dict())
    torch.testing.assert_close(other.share, torch.tensor(SHARE))
    other.set_share(0.125)
    assert other.share.tolist() == [0.125] * C


def test_order_of_training_reaches_the_decoder():
    head = build(path_head=dict(postprocessor=dict(constraints=dict(order='training'))))
    model = torch.nn.Module()
    model.head = head
    with pytest.raises(UsageError, match='no order came with the checkpoint'):
        head.predict(maps())
    tell_heads(model, {'': {'order': 'given', 'sequence': [3, 1, 0, 2]}})
    assert head.postprocessor.constraints.order == (3, 1, 0, 2)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(share=1.5), r'share is 1\.5: set it to a value in \[0, 1\]'),
        (dict(share=[0.5, 0.5]), 'to 4 of them'),
        (dict(share='learned'), "or to 'fitted'"),
        (dict(share=float('nan')), 'share is nan'),
        (dict(path_weight=-1.0), r'path_weight is -1\.0'),
        (dict(label_weight=float('nan')), 'label_weight is nan'),
        (dict(path_head=dict(type='MultiLabelLinearClsHead', in_channels=F)), 'path_head is a'),
        (dict(label_head=dict(type='LinearClsHead')), 'label_head is a LinearClsHead'),
        (dict(label_head=dict(num_classes=3)), 'label_head has num_classes=3, HybridHead 4'),
        (
            dict(label_head=dict(type='LinearLabelHead', score='softmax', topk=2)),
            "score='softmax', which is no probability",
        ),
        (
            dict(path_head=dict(postprocessor=dict(type='UnmaskedGreedyPostprocessor'))),
            'gives no probabilities to pool',
        ),
        (
            dict(path_head=dict(marginal=dict(), postprocessor=dict(marginal_share=0.5))),
            r'marginal_share=0\.5',
        ),
    ],
)
def test_bad_options(options, message):
    cfg = dict(
        type='cnnrnn_mm.HybridHead', num_classes=C, in_channels=F, path_head={}, label_head={}
    )
    with pytest.raises(UsageError, match=message):
        MODELS.build({**cfg, **options})


def test_features_that_do_not_fit():
    with pytest.raises(UsageError, match=r'CSRAClsHead reads maps .* gets \(4, 6\)'):
        build(CSRA).predict((torch.rand(N, F),))
    with pytest.raises(UsageError, match='set in_channels=7 in the head'):
        build(share=0.5).label_logits((torch.rand(N, 7),))


# Inside the host's MultiTaskHead.


def task_head():
    tasks = dict(
        things=dict(config(label_head=dict(), share=0.5)),
        others=dict(
            type='cnnrnn_mm.CNNRNNHead', num_classes=3, embed_dims=8, hidden_dims=5, dropout=0.0
        ),
        kind=dict(type='LinearClsHead', num_classes=3),
    )
    order = dict(postprocessor=dict(constraints=dict(order='training')))
    tasks['things']['path_head'].update(order)
    tasks['others'].update(order)
    del tasks['things']['in_channels']
    torch.manual_seed(2)
    return MODELS.build(dict(type='MultiTaskHead', in_channels=F, task_heads=tasks)).eval()


def task_samples():
    """The second image lacks ``things``, the third has nothing else."""
    samples = []
    for row, labels in enumerate(LABELS):
        sample = MultiTaskDataSample()
        if row != 1:
            sample.set_field(samples_of([labels])[0], 'things')
        if row != 2:
            sample.set_field(samples_of([[row % 3]])[0], 'others')
            sample.set_field(DataSample().set_gt_label(row % 3), 'kind')
        samples.append(sample)
    return samples


def tell_orders(head):
    model = torch.nn.Module()
    model.head = head
    orders = {'things': [3, 1, 2, 0], 'others': [2, 0, 1]}
    tell_heads(model, {t: {'order': 'given', 'sequence': one} for t, one in orders.items()})
    return orders


def test_as_a_task_beside_others():
    head = task_head()
    orders = tell_orders(head)
    for task, order in orders.items():
        assert head.task_heads[task].postprocessor.constraints.order == tuple(order)
    features = torch.randn(N, F)
    losses = head.loss((features,), task_samples())
    assert {'things_path_loss', 'things_label_loss', 'others_loss', 'kind_loss'} <= set(losses)
    alone = build(path_head=dict(postprocessor=dict(constraints=dict(order='training'))), share=0.5)
    alone.load_state_dict(head.task_heads['things'].state_dict())
    kept = alone.loss((features[[0, 2, 3]],), samples_of([LABELS[row] for row in (0, 2, 3)]))
    for name, value in kept.items():
        torch.testing.assert_close(losses[f'things_{name}'], value)
    assert float(losses['things_mask_size']) == 3 and float(losses['others_mask_size']) == 3
    nobody = [MultiTaskDataSample() for _ in range(N)]
    assert float(head.loss((features,), nobody)['things_loss']) == 0


def test_metrics_of_tasks():
    """The host's metric counts the images that have the task, and no others."""
    head = task_head()
    tell_orders(head)
    features = torch.randn(N, F)
    found = head.predict((features,), task_samples())
    assert [one.things.eval_mask for one in found] == [True, False, True, True]
    metrics = [dict(type='cnnrnn_mm.LabelSetMetric', items=['O-F1', 'exact-match'])]
    metric = MultiTasksMetric(dict(things=metrics, others=metrics))
    metric.process(None, [one.to_dict() for one in found])
    values = metric.evaluate(3)
    for task, rows in (('things', (0, 2, 3)), ('others', (0, 1, 3))):
        alone = copy.deepcopy(head.task_heads[task]).predict((features[list(rows)],))
        truth = [LABELS[row] if task == 'things' else [row % 3] for row in rows]
        answers = [set(one.pred_label.tolist()) for one in alone]
        pairs = list(zip(answers, map(set, truth), strict=True))
        hits = sum(len(answer & true) for answer, true in pairs)
        total = sum(len(answer) + len(true) for answer, true in pairs)
        exact = sum(answer == true for answer, true in pairs) / len(pairs)
        assert values[f'{task}_label-set/O-F1'] == pytest.approx(200 * hits / total)
        assert values[f'{task}_label-set/exact-match'] == pytest.approx(100 * exact)


# In whole runs.

HEAD = """
head = dict(
    type='cnnrnn_mm.HybridHead', num_classes=4, in_channels=32,
    path_head=dict(embed_dims=8, hidden_dims=8, postprocessor=dict(constraints=dict(
        order='training'))),
    label_head=dict(type='CSRAClsHead', num_heads=1, lam=0.1),
)
model.update(head=head, neck=None)
train_cfg = dict(by_epoch=True, max_epochs=1)
"""


def test_run_and_checkpoint(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    cfg = load_config(root, tmp_path, HEAD)
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.val_loop.run()
    assert 0 <= metrics['label-set/O-F1'] <= 100
    trained = load_trained_model(tmp_path / 'work' / 'epoch_1.pth', device='cpu')
    head = trained.model.head
    assert head.postprocessor.constraints.order is not None
    assert head.share.tolist() == [0.5] * 4
    for name, value in runner.model.state_dict().items():
        torch.testing.assert_close(trained.model.state_dict()[name].cpu(), value.cpu())
    images = [torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(2)]
    (sample, _) = trained.model.test_step(dict(inputs=images, data_samples=[DataSample()] * 2))
    assert sample.pred_score.shape == (4,)


def test_on_cached_features():
    backbone = MODELS.build(
        dict(
            type='cnnrnn_mm.Frozen',
            module=dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4),
        )
    )
    model = FeatureClassifier(
        features='data/f', feature_shape=(F, 2, 3), backbone=backbone, head=build(CSRA),
        backbone_digest=weights_digest(backbone), neck_digest=weights_digest(None),
    ).eval()  # fmt: skip
    losses = model(maps()[0], samples_of(), mode='loss')
    expected = model.head.loss(maps(), samples_of())
    assert losses.keys() == expected.keys()
    (first, *_) = model(maps()[0], samples_of(), mode='predict')
    torch.testing.assert_close(first.pred_score, model.head.predict(maps())[0].pred_score)
    assert torch.equal(model.extract_feat(maps()[0], 'pre_logits'), maps()[0].mean((2, 3)))


TASKS = """
pack = dict(type='PackMultiTaskInputs', multi_task_fields=('gt_label',))
orders = [
    dict(type='cnnrnn_mm.OrderLabels', order='frequent_first', task='things', num_classes=4),
    dict(type='cnnrnn_mm.OrderLabels', order='rare_first', task='others', num_classes=3),
]
data = dict(type='MultiTaskDataset', ann_file={file!r}, data_root={root!r})
train_dataloader.update(dataset=dict(data, pipeline=[*pipeline, *orders, pack]))
val_dataloader.update(dataset=dict(data, pipeline=[*pipeline, pack], test_mode=True))
test_dataloader = val_dataloader
in_order = dict(postprocessor=dict(constraints=dict(order='training')))
things = dict(
    type='cnnrnn_mm.HybridHead', num_classes=4, path_head=dict(embed_dims=8, **in_order),
    label_head=dict(),
)
others = dict(type='cnnrnn_mm.CNNRNNHead', num_classes=3, embed_dims=8, **in_order)
model.update(head=dict(type='MultiTaskHead', in_channels=32, task_heads=dict(
    things=things, others=others)))
metrics = [dict(type='cnnrnn_mm.LabelSetMetric', items=['O-F1', 'set-size'])]
val_evaluator = dict(
    type='MultiTasksMetric', task_metrics=dict(things=metrics, others=metrics))
test_evaluator = val_evaluator
train_cfg = dict(by_epoch=True, max_epochs=1)
default_hooks.update(
    check_data=dict(type='cnnrnn_mm.CheckDataHook'),
    label_order=dict(type='cnnrnn_mm.LabelOrderHook'))
"""


def test_run_on_tasks_of_which_images_lack_some(voc_folder, tmp_path):
    """The hooks fit an order for each task, on the images that have it."""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    things = [[3], [3, 1], [3, 1, 2], None, [1], [], [3, 0], None]
    others = [[0], None, [1, 0], [2, 0], [0, 1], [], [0], [0, 1]]
    photos = [
        dict(
            img_path=f'JPEGImages/train_{row:04d}.jpg',
            gt_label={k: v for k, v in dict(things=one, others=two).items() if v is not None},
        )
        for row, (one, two) in enumerate(zip(things, others, strict=True))
    ]
    file = tmp_path / 'tasks.json'
    file.write_text(json.dumps(dict(metainfo=dict(tasks=['things', 'others']), data_list=photos)))
    runner = Runner.from_cfg(
        load_config(root, tmp_path, TASKS.format(file=str(file), root=str(root)))
    )
    runner.train()
    heads = runner.model.head.task_heads
    assert heads['things'].postprocessor.constraints.order == (3, 1, 0, 2)  # 4, 3, 1 and 1 photos
    assert heads['others'].postprocessor.constraints.order == (2, 1, 0)  # 1, 3 and 6 photos
    found = runner.val_loop.run()
    sizes = {'things_label-set/set-size': [], 'others_label-set/set-size': []}
    for batch in runner.val_dataloader:
        for sample in runner.model.val_step(batch):
            for name, seen in sizes.items():
                task = sample.get(name.split('_')[0])
                seen += [len(task.pred_label)] * bool(task.eval_mask)
    for name, seen in sizes.items():
        assert len(seen) == (6 if 'things' in name else 7)
        assert found[name] == pytest.approx(sum(seen) / len(seen))
    stored = torch.load(tmp_path / 'work' / 'epoch_1.pth', weights_only=True)['meta']['label_order']
    assert stored['things']['sequence'] == [3, 1, 0, 2] and set(stored) == {'things', 'others'}
