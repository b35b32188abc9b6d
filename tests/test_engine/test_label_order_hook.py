# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmengine.runner import Runner
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.datasets import OrderLabels
from cnnrnn_mm.engine.hooks.label_order_hook import find_transforms
from cnnrnn_mm.errors import UsageError

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
