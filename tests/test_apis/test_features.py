# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Features of a split: equal to the model run by hand, in order, with labels beside them."""

import math
import os

import mmcv
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from tiny_run import CLASSES, TRAIN, VAL, load_config

from cnnrnn_mm.apis import extract_features
from cnnrnn_mm.errors import UsageError

SPLITS = {'train': TRAIN, 'val': VAL}
#: Training must leave no trace: augmentation, another order, a last batch that is dropped.
LOUD_TRAINING = """
train_pipeline.insert(1, dict(type='RandomFlip', prob=1.0))
train_dataloader.update(batch_size=5, drop_last=True)
train_dataloader['dataset']['pipeline'] = train_pipeline
model['backbone']['norm_eval'] = False
"""


@pytest.fixture(scope='module')
def root(voc_folder, tmp_path_factory):
    return voc_folder(tmp_path_factory.mktemp('features') / 'voc', SPLITS)


def make_config(root, folder, extra=''):
    return load_config(root, folder, LOUD_TRAINING + extra)


def make_model(cfg):
    """The model in evaluation mode; its statistics are none that a batch would give.

    Its scales let every image through to the features.
    """
    init_default_scope('mmpretrain')
    model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for value in (module.weight.data, module.bias.data, module.running_var):
                value.uniform_(0.5, 1.0)
            module.running_mean.normal_(std=0.1)
    return model.eval()


def save(model, folder, **changed):
    path = folder / 'weights.pth'
    torch.save({'state_dict': {**model.state_dict(), **changed}}, path)
    return str(path)


@torch.no_grad()
def by_hand(model, root, split, flip=False):
    """(n, F): one image after another, without pipeline, loader or preprocessor."""
    rows = []
    for number in range(len(SPLITS[split])):
        image = mmcv.imread(str(root / 'JPEGImages' / f'{split}_{number:04d}.jpg'))
        image = mmcv.imflip(image) if flip else image
        pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).float()
        maps = model.backbone((pixels[None] - 127.5) / 127.5)[-1]
        rows.append(maps.mean((2, 3))[0])
    return torch.stack(rows)


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_features_are_those_of_the_model_in_stored_order(root, tmp_path, split):
    cfg = make_config(root, tmp_path)
    model = make_model(cfg)
    cached = extract_features(cfg, split, save(model, tmp_path), flip=True)
    stored = 'train' if split == 'train' else 'val'  # the tiny config tests on its val split
    wanted, mirrored = (by_hand(model, root, stored, flip) for flip in (False, True))
    assert cached.features.dtype == torch.float32
    assert torch.allclose(cached.features, wanted, atol=1e-5)
    assert torch.allclose(cached.flipped, mirrored, atol=1e-5)
    # Far enough apart that neither rows nor mirror images could be taken for each other.
    distances = torch.cdist(wanted, torch.cat([wanted, mirrored])).fill_diagonal_(math.inf)
    assert distances.min() > 1e-3
    assert [sorted(CLASSES[label] for label in one) for one in cached.labels] == [
        sorted(one) for one in SPLITS[stored]
    ]
    assert cached.classes == list(CLASSES)
    names = [os.path.basename(path) for path in cached.img_paths]
    assert names == [f'{stored}_{number:04d}.jpg' for number in range(len(wanted))]
    assert cached.meta['split'] == split and cached.meta['config'] == 'tiny.py'
    assert cached.meta['checkpoint'] == 'weights.pth' and cached.meta['input_size'] == [32, 32]
    assert cached.meta['versions'].keys() == {'cnnrnn_mm', 'torch', 'mmpretrain', 'mmengine'}


def test_without_flip_or_checkpoint(root, tmp_path):
    """The weights are then what ``init_cfg`` says, and nothing of the config is changed."""
    weights = save(make_model(make_config(root, tmp_path)), tmp_path)
    pretrained = f"dict(type='Pretrained', checkpoint={weights!r}, prefix='backbone')"
    cfg = make_config(root, tmp_path, f"\nmodel['backbone']['init_cfg'] = {pretrained}\n")
    before = cfg.pretty_text
    cached = extract_features(cfg, 'val')
    assert cfg.pretty_text == before
    assert cached.flipped is None and cached.meta['checkpoint'] is None
    wanted = extract_features(make_config(root, tmp_path), 'val', weights)
    assert torch.equal(cached.features, wanted.features)


@pytest.mark.parametrize(
    'wrapper',
    [
        "dict(type='cnnrnn_mm.ReadableImages', dataset=train_dataloader['dataset'])",
        "dict(type='ConcatDataset', datasets=[train_dataloader['dataset']])",
    ],
    ids=['ReadableImages', 'ConcatDataset'],
)
def test_wrapped_datasets_get_the_test_pipeline_too(root, tmp_path, wrapper):
    model = make_model(make_config(root, tmp_path))
    cfg = make_config(root, tmp_path, f"\ntrain_dataloader['dataset'] = {wrapper}\n")
    cached = extract_features(cfg, 'train', save(model, tmp_path))
    assert torch.allclose(cached.features, by_hand(model, root, 'train'), atol=1e-5)


def test_repeated_images_stay_beside_their_labels(root, tmp_path):
    wrapper = "dict(type='RepeatDataset', times=2, dataset=train_dataloader['dataset'])"
    cfg = make_config(root, tmp_path, f"\ntrain_dataloader['dataset'] = {wrapper}\n")
    model = make_model(cfg)
    cached = extract_features(cfg, 'train', save(model, tmp_path))
    assert torch.allclose(cached.features, by_hand(model, root, 'train').repeat(2, 1), atol=1e-5)
    assert cached.labels[: len(TRAIN)] == cached.labels[len(TRAIN) :]


def test_pipeline_of_the_validation_where_there_is_no_test_split(root, tmp_path):
    none = '\ntest_dataloader = test_evaluator = test_cfg = None\n'
    cfg = make_config(root, tmp_path, none)
    model = make_model(cfg)
    cached = extract_features(cfg, 'train', save(model, tmp_path))
    assert torch.allclose(cached.features, by_hand(model, root, 'train'), atol=1e-5)
    with pytest.raises(UsageError, match=r"no split 'test' \(test_dataloader\): it has train, val"):
        extract_features(cfg, 'test')
    cfg.val_dataloader = None
    with pytest.raises(UsageError, match='neither test_dataloader nor val_dataloader'):
        extract_features(cfg, 'train')


def test_image_that_a_pipeline_drops_is_not_replaced(root, tmp_path):
    """In training the host would put a random other image there."""
    drop = "\ntest_pipeline.insert(0, dict(type='LoadImageFromFile', ignore_empty=True))\n"
    drop += "test_pipeline[1:2] = []\nval_dataloader['dataset']['pipeline'] = test_pipeline\n"
    drop += (
        "test_dataloader = dict(val_dataloader)\ntrain_dataloader['dataset']['data_root'] = {!r}\n"
    )
    copy = tmp_path / 'voc'
    for part in ('Annotations', 'ImageSets'):
        (copy / part).parent.mkdir(exist_ok=True)
        (copy / part).symlink_to(root / part)
    (copy / 'JPEGImages').mkdir()
    for image in (root / 'JPEGImages').iterdir():
        if image.name != 'train_0003.jpg':
            (copy / 'JPEGImages' / image.name).symlink_to(image)
    cfg = make_config(root, tmp_path, drop.format(str(copy)))
    with pytest.raises(Exception, match='should not get `None`'):
        extract_features(cfg, 'train')


def test_heads_of_the_host(root, tmp_path):
    head = "dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=32)"
    cfg = make_config(root, tmp_path, f"\nmodel['head'] = {head}\n")
    model = make_model(cfg)
    cached = extract_features(cfg, 'val', save(model, tmp_path))
    assert torch.allclose(cached.features, by_hand(model, root, 'val'), atol=1e-5)
    cfg = make_config(root, tmp_path, f'\nmodel.update(head={head}, neck=None)\n')
    with pytest.raises(UsageError, match=r'shape \(3, 32, 4, 4\), not \(N, F\): add a neck'):
        extract_features(cfg, 'val')


@pytest.mark.parametrize(
    ('change', 'name'),
    [
        ('head=None', 'NoneType'),
        ("head=dict(type='MultiTaskHead', in_channels=32, task_heads=dict())", 'MultiTaskHead'),
    ],
)
def test_model_without_pre_logits(root, tmp_path, change, name):
    cfg = make_config(root, tmp_path, f'\nmodel.update({change})\n')
    with pytest.raises(UsageError, match=f'ImageClassifier, head {name}.* has no head.pre_logits'):
        extract_features(cfg, 'val')


def test_feature_that_is_not_finite_names_the_image(root, tmp_path):
    cfg = make_config(root, tmp_path)
    model = make_model(cfg)
    name, weight = next(
        (name, value) for name, value in model.state_dict().items() if 'conv1.weight' in name
    )
    path = save(model, tmp_path, **{name: torch.full_like(weight, math.nan)})
    with pytest.raises(UsageError, match=r'val_0000\.jpg holds NaN or infinite'):
        extract_features(cfg, 'val', path)


def test_checkpoint_of_another_model(root, tmp_path):
    """The host only warns of weights it does not find; they would stay random."""
    cfg = make_config(root, tmp_path)
    other = make_config(root, tmp_path, "\nmodel['backbone']['base_channels'] = 8\n")
    with pytest.raises(UsageError, match=r'no weights for the model.*another model'):
        extract_features(cfg, 'val', save(make_model(other), tmp_path))
    weights = {k: v for k, v in make_model(cfg).state_dict().items() if k.startswith('head.')}
    torch.save({'state_dict': weights}, tmp_path / 'head.pth')
    with pytest.raises(UsageError, match=r'head\.pth has no weights for the model.s backbone\.'):
        extract_features(cfg, 'val', str(tmp_path / 'head.pth'))
    with pytest.raises(UsageError, match='does not exist: check the path'):
        extract_features(cfg, 'val', str(tmp_path / 'none.pth'))


def test_missing_data_is_named(root, tmp_path):
    cfg = make_config(root, tmp_path)
    cfg.val_dataloader.dataset.data_root = str(tmp_path / 'nowhere')
    with pytest.raises(UsageError, match='nowhere does not exist; expected JPEGImages'):
        extract_features(cfg, 'val')
