# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Photos that rot between epochs, and a training that goes on without them."""

import re

import numpy as np
import pytest
import torch
from forked_tool import run_forked
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from tiny_run import CLASSES, ROOT, TRAIN, VAL, load_config, write_config

from cnnrnn_mm.datasets.transforms.skipped_images import SkippedImages
from cnnrnn_mm.engine import SkipUnreadableHook
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import DATASETS

TOOL = ROOT / 'tools' / 'train.py'
ROTTING = """
train_cfg = dict(by_epoch=True, max_epochs=3)
custom_imports = dict(imports=['rotting_hook'], allow_failed_imports=False)
train_dataloader.update(num_workers={workers}, persistent_workers={workers} > 0)
custom_hooks = [
    dict(type='cnnrnn_mm.SkipUnreadableHook', max_skipped={most}),
    *[dict(type='cnnrnn_mm.RottingHook', path=path, gone=gone) for path, gone in {photos!r}],
]
"""
LEFT_OUT = re.compile(r'image \S*?(\w+)\.jpg can not be read \((.*?)\) and is left out of the')


@pytest.fixture
def rotting(voc_folder, tmp_path):
    """``rotting(names, ...)``: a run whose photos of these names rot after the first epoch."""

    def run(names, most=100, workers=0, folder='a'):
        root = voc_folder(tmp_path / folder / 'voc', {'train': TRAIN, 'val': VAL})
        photos = [(f'{root}/JPEGImages/{name}.jpg', number % 2) for number, name in names]
        extra = ROTTING.format(workers=workers, most=most, photos=photos)
        config = write_config(root, tmp_path / folder / 'tiny.py', extra)
        return run_forked(TOOL, config, '--work-dir', tmp_path / folder / 'work')

    return run


def weights(folder):
    return torch.load(folder / 'work' / 'epoch_3.pth', weights_only=True)['state_dict']


@pytest.mark.parametrize('workers', [0, 2])
def test_the_run_goes_on_and_names_each_photo_once(rotting, tmp_path, workers):
    """In two epochs of three; two such runs end with the same weights."""
    names = [(0, 'train_0003'), (1, 'train_0007')]
    for folder in ('a', 'b'):
        done = rotting(names, workers=workers, folder=folder)
        assert done.returncode == 0, done.stderr[-2000:]
        said = done.stdout + done.stderr
        found = dict(LEFT_OUT.findall(said))
        assert found.keys() == {'train_0003', 'train_0007'}
        assert 'truncated' in found['train_0003'] and 'No such file' in found['train_0007']
        assert len(LEFT_OUT.findall(said)) == 2
        assert '; 1 of at most 100' in said and '; 2 of at most 100' in said
        assert '2 images were left out of this training: not readable' in said
        (log,) = (tmp_path / folder / 'work').glob('*/*.log')
        assert len(LEFT_OUT.findall(log.read_text())) == 2
    one, two = weights(tmp_path / 'a'), weights(tmp_path / 'b')
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize('workers', [0, 1])
def test_one_more_than_the_limit_ends_the_run(rotting, tmp_path, workers):
    done = rotting([(0, 'train_0003'), (1, 'train_0007')], most=1, workers=workers)
    assert done.returncode == 2
    (line,) = [one for one in done.stderr.splitlines() if one.startswith('error: ')]
    assert 'more than max_skipped=1 images can not be read, the last ' in line
    assert len(LEFT_OUT.findall(done.stdout)) == 1
    assert (tmp_path / 'a' / 'work' / 'epoch_1.pth').is_file()


def test_validation_is_never_on_other_photos(rotting):
    done = rotting([(1, 'train_0003'), (0, 'val_0001')])
    assert done.returncode == 2
    (line,) = [one for one in done.stderr.splitlines() if one.startswith('error: ')]
    assert 'cannot read image' in line and 'val_0001.jpg (' in line
    assert dict(LEFT_OUT.findall(done.stdout)).keys() == {'train_0003'}


def test_the_other_samples_stay_as_they_are(voc_folder, tmp_path):
    """What takes a photo's place is another one, with its own labels."""
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    cfg = load_config(root, tmp_path)
    cfg.train_dataloader.dataset.pipeline[1].update(order='given', given=[3, 1, 2, 0])
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    load, order = dataset.pipeline.transforms[:2]
    order.fit(np.ones(4), list(CLASSES))
    whole = [dataset[number] for number in range(len(TRAIN))]
    paths = [one['data_samples'].img_path for one in whole]
    with open(paths[4], 'wb') as file:
        file.write(b'no picture')
    load.skipped = SkippedImages(2)
    for number in range(len(TRAIN)):
        sample = dataset[number]
        place = paths.index(sample['data_samples'].img_path)
        assert place == number if number != 4 else place != 4
        assert torch.equal(sample['inputs'], whole[place]['inputs'])
        labels = whole[place]['data_samples'].gt_label
        assert torch.equal(sample['data_samples'].gt_label, labels)
    assert len(load.skipped) == 1


WRONG = {
    'VOC.* can not put another': "train_dataloader['dataset']['test_mode'] = True",
    'KFoldDataset can not put another': (
        "train_dataloader['dataset'] = dict(type='KFoldDataset', "
        "dataset=train_dataloader['dataset'], num_splits=3, fold=0)"
    ),
    'found no LoadImage in the training pipeline': (
        "train_dataloader['dataset']['pipeline'][0] = dict(type='LoadImageFromFile')"
    ),
}


@pytest.mark.parametrize('message', WRONG)
def test_what_it_can_not_work_with(voc_folder, tmp_path, message):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    hooks = "\ncustom_hooks = [dict(type='cnnrnn_mm.SkipUnreadableHook')]\n"
    runner = Runner.from_cfg(load_config(root, tmp_path, f'\n{WRONG[message]}{hooks}'))
    with pytest.raises(UsageError, match=message):
        runner.train()
    assert runner.iter == 0


@pytest.mark.parametrize('most', [0, -1, 2.5, True, None])
def test_limits_that_are_none(most):
    with pytest.raises(UsageError, match=f'max_skipped={most!r}: set it to a whole number'):
        SkipUnreadableHook(max_skipped=most)
