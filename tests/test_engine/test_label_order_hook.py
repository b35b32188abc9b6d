# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.datasets import OrderLabels
from cnnrnn_mm.engine import LabelOrderHook
from cnnrnn_mm.engine.hooks.label_order_hook import find_transforms, tell_heads
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead
from cnnrnn_mm.search import Constraints

#: person 10, cat 6, dog 4, bus 1 in TRAIN; class ids are bus 0, cat 1, dog 2, person 3.
FREQUENT_FIRST = [3, 1, 2, 0]


def train(voc_folder, folder, extra='', train_set=TRAIN):
    root = voc_folder(folder / 'voc', {'train': train_set, 'val': VAL})
    runner = Runner.from_cfg(load_config(root, folder, extra))
    runner.train()
    return runner


def test_order_comes_from_the_training_split_and_is_in_the_checkpoint(voc_folder, tmp_path):
    runner = train(voc_folder, tmp_path)
    checkpoint = torch.load(tmp_path / 'work' / 'epoch_2.pth', weights_only=True)
    assert checkpoint['meta']['label_order'] == {
        '': {'order': 'frequent_first', 'sequence': FREQUENT_FIRST}
    }
    dataset = runner.train_dataloader.dataset
    fifth = dataset[4]['data_samples'].gt_label  # person, dog, cat
    assert fifth.tolist() == [3, 1, 2]


def test_subset_of_the_data_gives_its_own_counts(voc_folder, tmp_path):
    """Only what the run trains on is counted: the first image and the three with a dog."""
    subset = "\ntrain_dataloader['dataset'].update(indices=[3, 4, 8])\n"
    runner = train(voc_folder, tmp_path, subset)
    (order,) = find_transforms(runner.train_dataloader.dataset, OrderLabels)
    assert order.sequence.tolist() == [2, 3, 1, 0]


@pytest.mark.parametrize('wrapper', ['RepeatDataset', 'ConcatDataset', 'KFoldDataset'])
def test_dataset_wrappers(voc_folder, tmp_path, wrapper):
    wrapped = {
        'RepeatDataset': "dict(type='RepeatDataset', times=2, dataset=_set)",
        'ConcatDataset': "dict(type='ConcatDataset', datasets=[_set, _set])",
        'KFoldDataset': "dict(type='KFoldDataset', num_splits=3, fold=0, dataset=_set)",
    }[wrapper]
    extra = f"\ntrain_dataloader['dataset'] = {wrapped.replace('_set', repr_of_set())}\n"
    runner = train(voc_folder, tmp_path, extra)
    dataset = runner.train_dataloader.dataset
    found = list(find_transforms(dataset, OrderLabels))
    assert found and all(one.sequence is not None for one in found)
    if wrapper != 'KFoldDataset':
        assert [one.sequence.tolist() for one in found] == [FREQUENT_FIRST] * len(found)
    else:  # the fold held out is not counted
        kept = [dataset.get_data_info(index)['gt_label'] for index in range(len(dataset))]
        counts = [sum(label in one for one in kept) for label in range(4)]
        assert len(dataset) < len(TRAIN)
        assert found[0].sequence.tolist() == sorted(range(4), key=lambda label: -counts[label])


def repr_of_set():
    return "train_dataloader['dataset']"


def test_workers_of_an_iteration_based_loop_get_the_order(voc_folder, tmp_path):
    """That loop starts its workers before any hook runs."""
    extra = (
        '\ntrain_cfg = dict(_delete_=True, by_epoch=False, max_iters=4, val_interval=2)\n'
        'train_dataloader.update(num_workers=1, persistent_workers=True)\n'
        "train_dataloader['sampler'] = dict(type='InfiniteSampler')\n"
        "param_scheduler = [dict(type='ExponentialLR', gamma=0.9, by_epoch=False)]\n"
        'default_hooks.update(checkpoint=dict(by_epoch=False, interval=2))\n'
    ).replace('_delete_=True, ', '')
    runner = train(voc_folder, tmp_path, extra)
    assert runner.iter == 4
    checkpoint = torch.load(tmp_path / 'work' / 'iter_4.pth', weights_only=True)
    assert checkpoint['meta']['label_order']['']['sequence'] == FREQUENT_FIRST
    assert len(checkpoint['random_state']['ranks']) == 1


def test_resumed_run_keeps_the_stored_order(voc_folder, tmp_path):
    """The data has changed since: the order of the checkpoint is used, with a warning."""
    train(voc_folder, tmp_path)
    changed = [['bus', 'dog']] * 12
    root = voc_folder(tmp_path / 'changed', {'train': changed, 'val': VAL})
    cfg = load_config(root, tmp_path, '\ntrain_cfg = dict(by_epoch=True, max_epochs=3)\n')
    cfg.resume = True
    cfg.experiment_name = 'resumed'
    runner = Runner.from_cfg(cfg)
    runner.train()
    (order,) = find_transforms(runner.train_dataloader.dataset, OrderLabels)
    assert order.sequence.tolist() == FREQUENT_FIRST
    log = next((tmp_path / 'work').rglob('*.log')).parent.parent
    assert any('another label order' in file.read_text() for file in log.rglob('*.log'))


def test_fresh_run_from_old_weights_fits_anew(voc_folder, tmp_path):
    train(voc_folder, tmp_path)
    root = voc_folder(tmp_path / 'changed', {'train': [['bus', 'dog']] * 12, 'val': VAL})
    cfg = load_config(root, tmp_path)
    cfg.load_from = str(tmp_path / 'work' / 'epoch_2.pth')
    cfg.work_dir = str(tmp_path / 'fresh')
    cfg.experiment_name = 'fresh'
    runner = Runner.from_cfg(cfg)
    runner.train()
    (order,) = find_transforms(runner.train_dataloader.dataset, OrderLabels)
    assert order.sequence.tolist() == [0, 2, 1, 3]


def test_pipeline_without_order_is_an_error(voc_folder, tmp_path):
    extra = "\ntrain_dataloader['dataset'].update(pipeline=test_pipeline)\n"
    with pytest.raises(UsageError, match='no OrderLabels in the training pipeline'):
        train(voc_folder, tmp_path, extra)


def test_run_without_the_hook_is_an_error(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    cfg = load_config(root, tmp_path)
    del cfg.default_hooks['label_order']
    with pytest.raises(UsageError, match="'frequent_first' was never fitted: add"):
        Runner.from_cfg(cfg).train()


def test_orders_inside_other_transforms_are_found(voc_folder, tmp_path):
    extra = (
        "\ntrain_dataloader['dataset'].update(pipeline=[*pipeline, dict(type='RandomChoice', "
        "transforms=[[dict(type='cnnrnn_mm.OrderLabels')], "
        "[dict(type='cnnrnn_mm.OrderLabels', order='rare_first')]]), dict(type='PackInputs')])\n"
    )
    runner = train(voc_folder, tmp_path, extra)
    found = list(find_transforms(runner.train_dataloader.dataset, OrderLabels))
    assert [one.sequence.tolist() for one in found] == [FREQUENT_FIRST, FREQUENT_FIRST[::-1]]
    # Its checkpoint has no single order to decode in either.
    checkpoint = torch.load(tmp_path / 'work' / 'epoch_2.pth', weights_only=True)
    with pytest.raises(UsageError, match="order='training'"):
        tell_heads(Model(head_of()), checkpoint['meta']['label_order'])


# What the heads are told.
IN_TRAINING_ORDER = (
    "\nmodel['head']['postprocessor'].update(num_paths=3, constraints=dict(order='training', "
    'min_length=2))\ntrain_cfg = dict(by_epoch=True, max_epochs=1)\n'
)


def head_of(**constraints):
    return CNNRNNHead(
        num_classes=4, in_channels=5, embed_dims=4, hidden_dims=4,
        postprocessor=dict(num_paths=5, constraints=dict(order='training', **constraints)),
    ).eval()  # fmt: skip


def decodes_in(head, order, features=None):
    features = torch.randn(6, head.in_channels) if features is None else features
    limits = dict(min_length=3)
    paths = [path for s in head.predict((features,), constraints=limits) for path in s.pred_paths]
    places = [[order.index(label) for label in path] for path in paths]
    assert len({tuple(path) for path in places}) > 1
    return all(path == sorted(path) for path in places)


def checkpoint_of(order, sequence=(), task=''):
    return {'meta': {'label_order': {task: {'order': order, 'sequence': list(sequence)}}}}


def runner_of(head, resume=False):
    return SimpleNamespace(model=Model(head), _resume=resume, _train_loop=None)


class Model(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head


def test_run_and_its_checkpoint_decode_in_the_training_order(voc_folder, tmp_path):
    """Validation of the training run, a test of its checkpoint, and a new run from its weights."""
    runner = train(voc_folder, tmp_path, IN_TRAINING_ORDER)
    assert decodes_in(runner.model.head, FREQUENT_FIRST)
    checkpoint = str(tmp_path / 'work' / 'epoch_1.pth')

    # The test's data would give another order, and is not asked.
    root = voc_folder(tmp_path / 'changed', {'train': [['bus', 'dog']] * 12, 'val': VAL})
    cfg = load_config(root, tmp_path, IN_TRAINING_ORDER)
    cfg.load_from, cfg.experiment_name = checkpoint, 'tested'
    tested = Runner.from_cfg(cfg)
    tested.test()
    assert tested.model.head.postprocessor.constraints.order == tuple(FREQUENT_FIRST)
    assert decodes_in(tested.model.head, FREQUENT_FIRST)

    cfg = load_config(root, tmp_path, IN_TRAINING_ORDER)
    cfg.load_from, cfg.experiment_name = checkpoint, 'tuned'
    cfg.work_dir = str(tmp_path / 'tuned')
    tuned = Runner.from_cfg(cfg)
    tuned.train()
    assert decodes_in(tuned.model.head, [0, 2, 1, 3])
    stored = torch.load(tmp_path / 'tuned' / 'epoch_1.pth', weights_only=True)['meta']
    assert stored['label_order']['']['sequence'] == [0, 2, 1, 3]


def test_random_order_is_refused_before_the_first_step(voc_folder, tmp_path):
    extra = IN_TRAINING_ORDER + (
        "train_dataloader['dataset'].update(pipeline=[*pipeline, dict(type='cnnrnn_mm.OrderLabels',"
        " order='random'), dict(type='PackInputs')])\n"
    )
    with pytest.raises(UsageError, match="order='training', but .* 'random'"):
        train(voc_folder, tmp_path, extra)
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_checkpoint_without_an_order():
    """One from elsewhere: nothing is told, and the search says what is missing."""
    hook, head = LabelOrderHook(), head_of()
    for checkpoint in ({}, {'meta': {}}, {'meta': {'label_order': {}}}, {'state_dict': {}}):
        hook.after_load_checkpoint(runner_of(head), checkpoint)
    with pytest.raises(UsageError, match='no order came with the checkpoint'):
        head.predict((torch.randn(2, 5),))


@pytest.mark.parametrize('resume', [False, True])
def test_order_reaches_the_head_when_the_checkpoint_is_loaded(resume):
    head = head_of()
    checkpoint = checkpoint_of('rare_first', [0, 2, 1, 3])
    LabelOrderHook().after_load_checkpoint(runner_of(head, resume), checkpoint)
    assert decodes_in(head, [0, 2, 1, 3])


def test_weights_of_a_run_in_random_order(voc_folder, tmp_path):
    """They can't be tested in the training order, but trained on in another one."""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    cfg = load_config(root, tmp_path, IN_TRAINING_ORDER)
    cfg.load_from = str(tmp_path / 'random.pth')
    runner = Runner.from_cfg(cfg)
    weights = runner.model.state_dict()
    torch.save({**checkpoint_of('random', range(4)), 'state_dict': weights}, cfg.load_from)
    with pytest.raises(UsageError, match="order='training', but .* 'random'"):
        runner.test()
    cfg.experiment_name = 'tuned'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert decodes_in(runner.model.head, FREQUENT_FIRST)


def test_wrapped_models_and_heads_that_take_no_order():
    head = head_of()
    wrapped = torch.nn.DataParallel(torch.nn.DataParallel(Model(head)))
    stored = checkpoint_of('given', [1, 0, 3, 2])['meta']['label_order']
    tell_heads(wrapped, stored)
    assert decodes_in(head, [1, 0, 3, 2])
    for other in (Model(None), Model(torch.nn.Linear(2, 2)), torch.nn.Linear(2, 2)):
        tell_heads(other, stored)  # nothing to tell
    plain = CNNRNNHead(num_classes=4, in_channels=5)
    tell_heads(Model(plain), checkpoint_of('random', [0])['meta']['label_order'])
    assert plain.postprocessor.constraints == Constraints()


def test_each_task_gets_its_own_order(default_scope):
    default_scope('mmpretrain')
    things = dict(
        type='cnnrnn_mm.CNNRNNHead', num_classes=4, embed_dims=4, hidden_dims=4,
        postprocessor=dict(num_paths=5, constraints=dict(order='training')),
    )  # fmt: skip
    tasks = dict(kind=dict(type='LinearClsHead', num_classes=3), things=things, others=things)
    head = MODELS.build(dict(type='MultiTaskHead', in_channels=5, task_heads=tasks)).eval()
    orders = {'things': [3, 1, 2, 0], 'others': [0, 1, 2, 3], 'kind': [0, 1, 2], 'gone': [0]}
    stored = {task: {'order': 'given', 'sequence': order} for task, order in orders.items()}
    tell_heads(Model(head), {**stored, '': {'order': 'given', 'sequence': [0]}})
    for task in ('things', 'others'):
        assert decodes_in(head.task_heads[task], orders[task])


def test_branches_of_two_orders_have_no_training_order(voc_folder, tmp_path):
    """A choice between two orders gives the model no single one to decode in."""
    extra = IN_TRAINING_ORDER + (
        "train_dataloader['dataset'].update(pipeline=[*pipeline, dict(type='RandomChoice', "
        "transforms=[[dict(type='cnnrnn_mm.OrderLabels')], "
        "[dict(type='cnnrnn_mm.OrderLabels', order='rare_first')]]), dict(type='PackInputs')])\n"
    )
    with pytest.raises(UsageError, match="order='training'"):
        train(voc_folder, tmp_path, extra)
