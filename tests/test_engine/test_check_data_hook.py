# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json

import pytest
import torch
from mmengine.runner import Runner
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.errors import UsageError

JSON_SET = (
    "\ntrain_dataloader['dataset'] = dict(type='MultiLabelDataset', data_root={root!r}, "
    "ann_file='a.json', data_prefix='JPEGImages', pipeline=train_pipeline)\n"
)


def build(root, folder, extra=''):
    return Runner.from_cfg(load_config(root, folder, extra))


def json_run(voc_folder, folder, labels):
    """A run on a MultiLabelDataset file with the given label lists."""
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    images = sorted(path.name for path in (root / 'JPEGImages').iterdir())
    data = {
        'metainfo': {'classes': ['bus', 'cat', 'dog', 'person']},
        'data_list': [
            {'img_path': image, 'gt_label': label}
            for image, label in zip(images, labels, strict=False)
        ],
    }
    (root / 'a.json').write_text(json.dumps(data))
    return build(root, folder, JSON_SET.format(root=str(root)))


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        ([[0], [1, 4]], r'label 4 of image .*\.jpg is outside 0\.\.3 \(4 classes\)'),
        ([[0], [-1]], r'label -1 of image .*\.jpg is outside 0\.\.3'),
        ([[0, 2, 0]], r'label 0 comes twice in image .*\.jpg: list each label'),
    ],
)
def test_wrong_labels_end_the_run_before_a_step(voc_folder, tmp_path, labels, message):
    runner = json_run(voc_folder, tmp_path, labels)
    with pytest.raises(UsageError, match=message):
        runner.train()
    assert runner.iter == 0
    assert not list((tmp_path / 'work').glob('*.pth'))


def test_head_with_another_number_of_classes(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    runner = build(root, tmp_path, "\nmodel.update(head=dict(model['head'], num_classes=7))\n")
    with pytest.raises(UsageError, match=r'num_classes=7, but VOC\(.*\) has 4 classes'):
        runner.train()


ONE_HOT = '\ndata_preprocessor.update(num_classes={0}, to_onehot=True)\n'


@pytest.mark.parametrize('count', [3, 7])
def test_one_hot_labels_of_another_number_of_classes(voc_folder, tmp_path, count):
    """Without the check: a traceback about the length of a score, or about class values."""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    runner = build(root, tmp_path, ONE_HOT.format(count))
    message = rf'data_preprocessor has num_classes={count}, but VOC\(.*\) has 4 classes: set data_p'
    with pytest.raises(UsageError, match=message):
        runner.train()
    assert runner.iter == 0


@pytest.mark.parametrize(
    ('count', 'said'), [(7, 1), (4, 0), (None, 0)], ids=['another', 'right', 'none']
)
def test_a_number_of_classes_that_is_not_used(voc_folder, tmp_path, count, said):
    """Many configs inherit ImageNet's; said once, not for each split."""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    extra = f"\ndata_preprocessor['num_classes'] = {count}\ntrain_cfg.update(max_epochs=1)\n"
    runner = build(root, tmp_path, extra)
    runner.train()
    assert runner.iter == 3
    (log,) = (tmp_path / 'work').glob('*/*.log')
    line = f'WARNING - data_preprocessor has num_classes={count}, but VOC('
    assert log.read_text().count(line) == said


def test_one_hot_labels_of_the_right_number(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    runner = build(root, tmp_path, ONE_HOT.format(4) + 'train_cfg.update(max_epochs=1)\n')
    runner.train()
    assert runner.iter == 3


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        (['bus', 'dog', 'cat', 'person'], "at id 1: 'dog' instead of 'cat'"),
        (['bus', 'cat', 'dog'], "at id 3: nothing instead of 'person'"),
    ],
)
def test_checkpoint_with_another_class_list(voc_folder, tmp_path, classes, message):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    build(root, tmp_path).train()
    checkpoint = torch.load(tmp_path / 'work' / 'epoch_2.pth', weights_only=True)
    assert checkpoint['meta']['dataset_meta']['classes'] == ('bus', 'cat', 'dog', 'person')

    other = (
        f"\nmodel.update(head=dict(model['head'], num_classes={len(classes)}))\n"
        f"test_dataloader['dataset'].update(metainfo=dict(classes={classes!r}))\n"
    )
    cfg = load_config(root, tmp_path, other)
    cfg.load_from = str(tmp_path / 'work' / 'epoch_2.pth')
    cfg.experiment_name = f'{tmp_path.name}-test'
    with pytest.raises(UsageError, match=message):
        Runner.from_cfg(cfg).test()


def test_right_data_passes(voc_folder, tmp_path):
    """The empty label list is valid, and so is testing the checkpoint on its own classes."""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    build(root, tmp_path).train()
    cfg = load_config(root, tmp_path)
    cfg.load_from = str(tmp_path / 'work' / 'epoch_2.pth')
    cfg.experiment_name = f'{tmp_path.name}-test'
    metrics = Runner.from_cfg(cfg).test()
    assert 0 <= metrics['multi-label/mAP'] <= 100
    assert 0 <= metrics['label-set/O-F1'] <= 100


IGNORING = (
    "\ntrain_dataloader['dataset'].update(type='cnnrnn_mm.VOCMultiLabel', difficult={policy!r})\n"
)
CARRIED = "\ntrain_pipeline[-1]['meta_keys'] = ('sample_idx', 'img_path', 'gt_label_difficult')\n"
TOLD = "\nmodel['head']['ignore_difficult'] = True\n"
LINEAR = (
    "\nmodel['head'] = dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=32)\n"
    "val_evaluator = [dict(type='AveragePrecision')]\n"
)
REPEATED = (
    "\ntrain_dataloader['dataset'] = dict(type='RepeatDataset', times=2, "
    "dataset=train_dataloader['dataset'])\n"
)


def ignoring_run(voc_folder, folder, extra, policy='ignore', difficult=1):
    """A run whose first training image shows a difficult cat."""
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    path = root / 'Annotations' / 'train_0001.xml'
    text = path.read_text()
    assert '<name>cat</name>' in text
    path.write_text(text.replace('<difficult>0', f'<difficult>{difficult}', 1))
    once = '\ntrain_cfg.update(max_epochs=1, val_interval=9)\n'
    return build(root, folder, IGNORING.format(policy=policy) + once + extra)


@pytest.mark.parametrize('wrapper', ['', REPEATED])
def test_ignored_labels_that_do_not_reach_the_head(voc_folder, tmp_path, wrapper):
    runner = ignoring_run(voc_folder, tmp_path, TOLD + wrapper)
    message = (
        r"VOCMultiLabel\(.*train.txt\) has difficult='ignore' \(as for image .*train_0001.jpg\), "
        r"but .* write dict\(type='PackInputs', meta_keys=\('sample_idx', .*'gt_label_difficult'\)"
    )
    with pytest.raises(UsageError, match=message):
        runner.train()
    assert runner.iter == 0


def test_ignored_labels_that_the_head_would_learn_as_false(voc_folder, tmp_path):
    with pytest.raises(UsageError, match='CNNRNNHead does not .* set ignore_difficult=True in mod'):
        ignoring_run(voc_folder, tmp_path, CARRIED).train()


def test_a_head_that_can_not_ignore_labels(voc_folder, tmp_path):
    with pytest.raises(
        UsageError, match="MultiLabelLinearClsHead does not .* difficult='negative'"
    ):
        ignoring_run(voc_folder, tmp_path, CARRIED + LINEAR).train()


def test_ignored_labels_that_are_carried_and_told(voc_folder, tmp_path):
    runner = ignoring_run(voc_folder, tmp_path, CARRIED + TOLD)
    runner.train()
    dataset = runner.train_dataloader.dataset
    assert dataset.get_data_info(1)['gt_label_difficult'] == [1]
    assert dataset[1]['data_samples'].gt_label_difficult == [1]


@pytest.mark.parametrize(
    'options', [dict(policy='negative'), dict(policy='positive'), dict(difficult=0)]
)
def test_nothing_is_asked_where_no_label_is_ignored(voc_folder, tmp_path, options):
    ignoring_run(voc_folder, tmp_path, '', **options).train()


def test_proposals_that_would_stay_behind(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    file = tmp_path / 'proposals.json'
    file.write_text(json.dumps({'any.jpg': [[0, 0, 4, 4]]}))
    extra = (
        f"\ntrain_pipeline.insert(1, dict(type='cnnrnn_mm.LoadProposals', file={str(file)!r}))\n"
        "train_pipeline.insert(2, dict(type='RandomCrop', crop_size=8))\n"
    )
    runner = build(root, tmp_path, extra)
    with pytest.raises(UsageError, match=r'RandomCrop in the pipeline of VOC.*WithBoxes'):
        runner.train()
