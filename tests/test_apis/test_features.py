# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Features of a split: equal to the model run by hand, in order, with labels beside them."""

import json
import math
import os

import mmcv
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from tiny_run import CLASSES, TRAIN, VAL, load_config

from cnnrnn_mm.apis import extract_features, feature_model, features
from cnnrnn_mm.errors import UsageError

SPLITS = {'train': TRAIN, 'val': VAL}
FROZEN = """
model['backbone'] = dict(type='cnnrnn_mm.Frozen', module=model['backbone'])
"""
#: Training must leave no trace: augmentation, another order, a last batch that is dropped.
LOUD_TRAINING = """
train_pipeline.insert(1, dict(type='RandomFlip', prob=1.0))
train_dataloader.update(batch_size=5, drop_last=True)
train_dataloader['dataset']['pipeline'] = train_pipeline
"""
AUGMENTED = """
train_pipeline.insert(1, dict(type='RandomCrop', crop_size=32, padding=4))
train_pipeline.insert(2, dict(type='ColorJitter', brightness=0.5))
train_dataloader['dataset']['pipeline'] = train_pipeline
"""


@pytest.fixture(scope='module', autouse=True)
def _quiet():
    """The host logs how each single weight was initialised."""
    MMLogger.get_instance('test_features', log_level='WARNING')


@pytest.fixture(scope='module')
def root(voc_folder, tmp_path_factory):
    return voc_folder(tmp_path_factory.mktemp('features') / 'voc', SPLITS)


def make_config(root, folder, extra='', before=FROZEN + LOUD_TRAINING):
    return load_config(root, folder, before + extra)


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


def close(features, wanted):
    return torch.allclose(torch.as_tensor(features), wanted, atol=1e-5)


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_features_are_those_of_the_model_in_stored_order(root, tmp_path, split):
    cfg = make_config(root, tmp_path)
    model = make_model(cfg)  # the host fills in what the config leaves out
    before = cfg.pretty_text
    path = save(model, tmp_path)
    cached = extract_features(cfg, split, tmp_path / 'out', path, flip=True)
    assert cfg.pretty_text == before
    stored = 'train' if split == 'train' else 'val'  # the tiny config tests on its val split
    wanted, mirrored = (by_hand(model, root, stored, flip) for flip in (False, True))
    assert close(cached.features, wanted) and close(cached.flipped, mirrored)
    # Far enough apart that neither rows nor mirror images could be taken for each other.
    distances = torch.cdist(wanted, torch.cat([wanted, mirrored])).fill_diagonal_(math.inf)
    assert distances.min() > 1e-3
    assert [sorted(CLASSES[label] for label in one) for one in cached.labels] == [
        sorted(one) for one in SPLITS[stored]
    ]
    assert cached.classes == list(CLASSES)
    names = [os.path.basename(path) for path in cached.img_paths]
    assert names == [f'{stored}_{number:04d}.jpg' for number in range(len(wanted))]
    meta = cached.meta
    assert (meta['split'], meta['config'], meta['checkpoint']) == (split, 'tiny.py', 'weights.pth')
    assert meta['versions'].keys() == {'cnnrnn_mm', 'torch', 'mmpretrain', 'mmengine'}
    assert meta['command'] == (
        f'python tools/extract_features.py {tmp_path / "tiny.py"} {path} --splits {split} '
        f'--out {tmp_path / "out"} --flip'
    )
    assert cached.annotations[0]['file_size'] == os.path.getsize(cached.img_paths[0])


def test_without_checkpoint(root, tmp_path):
    """The weights are then what ``init_cfg`` says, or ``load_from`` of the config."""
    weights = save(make_model(make_config(root, tmp_path)), tmp_path)
    pretrained = f"dict(type='Pretrained', checkpoint={weights!r}, prefix='backbone')"
    inside = f"\nmodel['backbone']['module']['init_cfg'] = {pretrained}\n"
    first = extract_features(make_config(root, tmp_path, inside), 'val', tmp_path / 'a')
    assert first.flipped is None and first.meta['checkpoint'] is None
    plain = make_config(root, tmp_path)
    second = extract_features(plain, 'val', tmp_path / 'b', weights)
    third = make_config(root, tmp_path, f'\nload_from = {weights!r}\n')
    third = extract_features(third, 'val', tmp_path / 'c')
    assert np.array_equal(first.views, second.views) and np.array_equal(first.views, third.views)
    makes = [one.meta['fingerprint'] for one in (first, second, third)]
    assert makes[0] == makes[1] == makes[2]  # however the weights came in
    fresh = extract_features(plain, 'val', tmp_path / 'd')
    assert fresh.meta['fingerprint']['weights'] != makes[0]['weights']
    assert not np.allclose(fresh.views, first.views, atol=1e-3)


@pytest.mark.parametrize(
    'wrapper',
    [
        "dict(type='cnnrnn_mm.ReadableImages', dataset=train_dataloader['dataset'])",
        "dict(type='ConcatDataset', datasets=[train_dataloader['dataset']])",
        "dict(type='RepeatDataset', times=2, dataset=train_dataloader['dataset'])",
        "dict(type='ConcatDataset', datasets=[dict(train_dataloader['dataset'], indices=5), "
        "train_dataloader['dataset']])",
    ],
    ids=['ReadableImages', 'ConcatDataset', 'RepeatDataset', 'an image twice'],
)
def test_wrapped_datasets_give_each_image_once(root, tmp_path, wrapper):
    model = make_model(make_config(root, tmp_path))
    cfg = make_config(root, tmp_path, f"\ntrain_dataloader['dataset'] = {wrapper}\n")
    cached = extract_features(cfg, 'train', tmp_path, save(model, tmp_path))
    assert close(cached.features, by_hand(model, root, 'train'))


def test_augmented_copies_depend_on_image_and_copy_alone(root, tmp_path):
    """Another order, other batches, other workers, more copies: the same copies."""
    cfg = make_config(root, tmp_path, before=FROZEN + AUGMENTED)
    path = save(make_model(cfg), tmp_path)
    first = extract_features(cfg, 'train', tmp_path / 'a', path, copies=2)
    assert first.meta['views'] == ['plain', 'augmented', 'augmented']
    cfg.train_dataloader.update(batch_size=3, num_workers=2)
    cfg.train_dataloader.dataset.indices = [7, 3, 0, 11]
    second = extract_features(cfg, 'train', tmp_path / 'b', path, copies=3)
    assert np.allclose(second.views[:, :3], first.views[[7, 3, 0, 11]], atol=1e-5)
    other = extract_features(cfg, 'train', tmp_path / 'c', path, copies=2, seed=1)
    assert np.allclose(other.views[:, 0], second.views[:, 0], atol=1e-5)
    seen = np.concatenate([second.views[:, 1:], other.views[:, 1:]], 1)
    for image in seen:  # all five copies differ, and from the plain view
        distances = np.abs(image[:, None] - image[None]).max(-1) + np.eye(5)
        assert distances.min() > 1e-4
    assert np.abs(seen - second.views[:, :1]).max(-1).min() > 1e-4


def test_a_copy_is_what_the_training_pipeline_gives(root, tmp_path):
    """Each copy of an image with one of two possible views is one of the two."""
    coin = "\ntrain_pipeline.insert(1, dict(type='RandomFlip', prob=0.5))\n"
    coin += "train_dataloader['dataset']['pipeline'] = train_pipeline\n"
    cfg = make_config(root, tmp_path, coin, FROZEN)
    model = make_model(cfg)
    cached = extract_features(cfg, 'train', tmp_path / 'a', save(model, tmp_path), copies=4)
    wanted = torch.stack([by_hand(model, root, 'train', flip) for flip in (False, True)], 1)
    copies = torch.from_numpy(np.array(cached.views[:, 1:]))
    apart = torch.cdist(copies, wanted)  # (n, 4, 2)
    assert apart.min(-1).values.max() < 1e-4
    chosen = apart.argmin(-1).flatten().float()
    assert 0.15 < chosen.mean() < 0.85


def test_an_interrupted_extraction_goes_on(root, tmp_path, monkeypatch):
    """Images that are done are not read again, and the bytes are those of a whole run."""
    cfg = make_config(root, tmp_path, before=FROZEN + AUGMENTED)
    path = save(make_model(cfg), tmp_path)
    options = dict(checkpoint=path, copies=2)
    original, seen = feature_model.compute_features, []

    def count(model, inputs):
        seen.append(len(inputs))
        if len(seen) == stop:
            raise KeyboardInterrupt
        return original(model, inputs)

    for module in (features, feature_model):
        monkeypatch.setattr(module, 'compute_features', count)
    stop = 7  # two looks at the training mode, three views of the first batch of 4, one of the next
    with pytest.raises(KeyboardInterrupt):
        extract_features(cfg, 'train', tmp_path / 'a', **options)
    progress = json.loads((tmp_path / 'a' / 'train.unfinished' / 'progress.json').read_text())
    assert progress == {'done': 4, 'images': 12}
    with pytest.raises(UsageError, match=r'4 of 12 images; complete them with: .* --copies 2$'):
        features.load_features(tmp_path / 'a' / 'train')
    stop = None
    seen.clear()
    extract_features(cfg, 'train', tmp_path / 'a', **options)
    assert seen == [4] * 2 + [4] * 6
    seen.clear()
    extract_features(cfg, 'train', tmp_path / 'b', **options)
    assert seen == [4] * 2 + [4] * 9
    first, second = (tmp_path / name / 'train' / 'features.npy' for name in 'ab')
    assert first.read_bytes() == second.read_bytes()
    seen.clear()
    again = extract_features(cfg, 'train', tmp_path / 'b', **options)
    assert not seen and len(again.views) == 12  # whole already


def test_a_cache_of_another_make_is_not_replaced_by_itself(root, tmp_path):
    cfg = make_config(root, tmp_path)
    path = save(make_model(cfg), tmp_path)
    first = extract_features(cfg, 'val', tmp_path / 'a', path)
    with pytest.raises(UsageError, match=r"made with views \['plain'\], and now there is views "
                       r"\['plain', 'mirrored'\]: replace it with --overwrite"):  # fmt: skip
        extract_features(cfg, 'val', tmp_path / 'a', path, flip=True)
    (tmp_path / 'other').mkdir()
    other = save(make_model(cfg), tmp_path / 'other')
    with pytest.raises(UsageError, match=r"made with weights\.backbone='\w{16}', and now there"):
        extract_features(cfg, 'val', tmp_path / 'a', other)
    assert features.load_features(first.folder).meta == first.meta
    second = extract_features(cfg, 'val', tmp_path / 'a', other, overwrite=True)
    assert second.meta['fingerprint']['weights'] != first.meta['fingerprint']['weights']
    with pytest.raises(UsageError, match='2 copies with flip=True: take mirror images or a number'):
        extract_features(cfg, 'val', tmp_path / 'b', path, flip=True, copies=2)


def test_pipeline_of_the_validation_where_there_is_no_test_split(root, tmp_path):
    none = '\ntest_dataloader = test_evaluator = test_cfg = None\n'
    cfg = make_config(root, tmp_path, none)
    model = make_model(cfg)
    cached = extract_features(cfg, 'train', tmp_path, save(model, tmp_path))
    assert close(cached.features, by_hand(model, root, 'train'))
    with pytest.raises(UsageError, match=r"no split 'test' \(test_dataloader\): it has train, val"):
        extract_features(cfg, 'test', tmp_path)
    cfg.val_dataloader = None
    with pytest.raises(UsageError, match='neither test_dataloader nor val_dataloader'):
        extract_features(cfg, 'train', tmp_path)


def test_heads_of_the_host_and_maps(root, tmp_path):
    head = "dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=32)"
    cfg = make_config(root, tmp_path, f"\nmodel['head'] = {head}\n")
    model = make_model(cfg)
    path = save(model, tmp_path)
    cached = extract_features(cfg, 'val', tmp_path / 'a', path)
    assert close(cached.features, by_hand(model, root, 'val'))
    cfg = make_config(root, tmp_path, '\nmodel.update(neck=None)\n')
    maps = extract_features(cfg, 'val', tmp_path / 'b', path, flip=True)
    assert maps.views.shape == (4, 2, 32, 4, 4)
    assert close(np.asarray(maps.views).mean((3, 4))[:, 1], by_hand(model, root, 'val', flip=True))
    # A neck that trains reads maps, too.
    cfg = make_config(root, tmp_path, "\nmodel['neck'] = dict(type='GeneralizedMeanPooling')\n")
    before = extract_features(cfg, 'val', tmp_path / 'c', path, flip=True)
    assert np.array_equal(before.views, maps.views)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ("model['type'] = 'HuggingFaceClassifier'", 'the model is a HuggingFaceClassifier'),
        (
            "model['backbone']['module']['out_indices'] = (2, 3)",
            r'give 2 stages \(Tensor, Tensor\): a cache keeps one, so set out_indices',
        ),
        (
            "model['backbone'] = model['backbone']['module']",
            r'backbone\.conv1\.weight is trained, so its features do not stay: freeze all of it '
            r"with dict\(type='cnnrnn_mm\.Frozen'",
        ),
        ("test_pipeline.insert(1, dict(type='mine.Custom'))", 'mine.Custom'),
    ],
    ids=['model', 'stages', 'backbone', 'transform'],
)
def test_models_whose_features_can_not_be_kept(root, tmp_path, change, message):
    change += "\nval_dataloader['dataset']['pipeline'] = test_pipeline\n"
    cfg = make_config(root, tmp_path, f'\n{change}\n')
    with pytest.raises((UsageError, KeyError), match=message):
        extract_features(cfg, 'val', tmp_path / 'out')
    assert not list((tmp_path / 'out').glob('*'))


def test_a_model_that_differs_in_training_without_weights_or_layers_for_it(root, tmp_path):
    """A dropout that is called as a function is found by running it."""

    @MODELS.register_module(name='NoisyNeck', force=True)
    class NoisyNeck(torch.nn.Module):
        def forward(self, feats):
            maps = torch.nn.functional.dropout(feats[-1], 0.5, self.training)
            return (maps.mean((2, 3)),)

    cfg = make_config(root, tmp_path, "\nmodel['neck'] = dict(type='NoisyNeck')\n")
    with pytest.raises(UsageError, match='other features in training mode than in test mode'):
        extract_features(cfg, 'val', tmp_path, save(make_model(cfg), tmp_path))


def test_images_of_different_sizes_in_a_batch(root, tmp_path):
    ragged = "dict(type='RandomChoiceResize', scales=[(size, size) for size in range(30, 60)])"
    resize = f'\ntest_pipeline.insert(1, {ragged})\n'
    cfg = make_config(root, tmp_path, resize + 'val_dataloader.update(batch_size=4)\n')
    cfg.val_dataloader.dataset.pipeline = cfg.test_pipeline
    with pytest.raises(UsageError, match=r'shapes \(3, .*\) and \(3, .*\): padded, their'):
        extract_features(cfg, 'val', tmp_path)


def test_image_that_a_pipeline_drops_is_not_replaced(root, tmp_path):
    """In training the host would put a random other image there."""
    drop = "\ntest_pipeline.insert(0, dict(type='LoadImageFromFile', ignore_empty=True))\n"
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
        extract_features(cfg, 'train', tmp_path)


def test_feature_that_is_not_finite_names_the_image(root, tmp_path):
    cfg = make_config(root, tmp_path)
    model = make_model(cfg)
    name, weight = next(
        (name, value) for name, value in model.state_dict().items() if 'conv1.weight' in name
    )
    path = save(model, tmp_path, **{name: torch.full_like(weight, math.nan)})
    with pytest.raises(UsageError, match=r'val_0000\.jpg holds NaN or infinite'):
        extract_features(cfg, 'val', tmp_path, path)


def test_checkpoint_of_another_model(root, tmp_path):
    """The host only warns of weights it does not find; they would stay random."""
    cfg = make_config(root, tmp_path)
    other = make_config(root, tmp_path, "\nmodel['backbone']['module']['base_channels'] = 8\n")
    with pytest.raises(UsageError, match=r'no weights for the model.*another model'):
        extract_features(cfg, 'val', tmp_path, save(make_model(other), tmp_path))
    weights = {k: v for k, v in make_model(cfg).state_dict().items() if k.startswith('head.')}
    torch.save({'state_dict': weights}, tmp_path / 'head.pth')
    with pytest.raises(UsageError, match=r'head\.pth has no weights for the model.s backbone\.'):
        extract_features(cfg, 'val', tmp_path, str(tmp_path / 'head.pth'))
    with pytest.raises(UsageError, match='does not exist: check the path'):
        extract_features(cfg, 'val', tmp_path, str(tmp_path / 'none.pth'))


def test_missing_data_is_named(root, tmp_path):
    cfg = make_config(root, tmp_path)
    cfg.val_dataloader.dataset.data_root = str(tmp_path / 'nowhere')
    with pytest.raises(UsageError, match='nowhere does not exist; expected JPEGImages'):
        extract_features(cfg, 'val', tmp_path)
