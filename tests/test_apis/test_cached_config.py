# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Training on features equals training on images, and what was made otherwise is refused."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS, TRANSFORMS
from tiny_run import TRAIN, VAL, load_config

from cnnrnn_mm.apis import extract_features, use_cached_features
from cnnrnn_mm.errors import UsageError

#: A frozen backbone whose features differ enough between images to be learnt from.
SMALL = """
model['backbone'] = dict(type='cnnrnn_mm.Frozen', module=model['backbone'])
default_hooks['checkpoint'] = dict(type='CheckpointHook', interval=3, max_keep_ckpts=-1)
train_cfg['max_epochs'] = 3
log_level = 'WARNING'
"""
RESIZE = """
pipeline.append(dict(type='Resize', scale=(40, 36)))
train_pipeline[1:1] = pipeline[1:]
test_pipeline[1:1] = pipeline[1:]
"""
FLIP = """
train_pipeline.insert(-2, dict(type='RandomFlip', prob=0.5))
"""
REFRESH = """
if train_dataloader['dataset']['type'] == 'VOC':
    train_dataloader['dataset']['pipeline'] = train_pipeline
val_dataloader['dataset']['pipeline'] = test_pipeline
"""
LINEAR = """
model['head'] = dict(type='MultiLabelLinearClsHead', num_classes=4, in_channels=32)
"""
MAPS = """
model['neck'] = None
"""
#: A neck that trains learns nothing from values that saturate everything behind it.
QUIET = """
data_preprocessor['std'] = [2e7] * 3
"""
TRAINED_NECK = f"""{QUIET}
model['neck'] = dict(type='GeneralizedMeanPooling')
"""
RLSD = f"""{QUIET}
model['neck'] = dict(
    type='cnnrnn_mm.RegionLocalizationNeck', in_channels=32, num_regions=3, sample_size=2,
    proposals=dict(type='cnnrnn_mm.ProposalNetwork'))
model['head']['type'] = 'cnnrnn_mm.RLSDHead'
"""
REPEATED = """
train_dataloader['dataset']['pipeline'] = train_pipeline
train_dataloader['dataset'] = dict(
    type='RepeatDataset', times=2, dataset=train_dataloader['dataset'])
"""


class Losses(Hook):
    """The loss of each step."""

    def __init__(self):
        self.values = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.values.append(outputs['loss'].item())


@pytest.fixture(scope='module', autouse=True)
def _quiet():
    """No line for each weight, and not most of a run's time for the layout of its config."""
    MMLogger.get_instance('test_cached_config', log_level='WARNING')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', property(lambda self: repr(self.to_dict())))
        patch.setattr(Runner, '_log_env', lambda self, env: None)
        yield


@pytest.fixture(scope='module')
def root(voc_folder, tmp_path_factory):
    return voc_folder(tmp_path_factory.mktemp('cached') / 'voc', {'train': TRAIN, 'val': VAL})


@pytest.fixture(scope='module')
def weights(root, tmp_path_factory):
    """Weights of the backbone; all scales away from 0, so that it lets images through."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp('weights')
    cfg = load_config(root, folder)
    backbone = MODELS.build({**cfg.model.backbone, 'type': 'mmpretrain.ResNet_CIFAR'})
    backbone.init_weights()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.running_var.uniform_(0.1, 0.3)
    torch.save({'state_dict': backbone.state_dict()}, folder / 'backbone.pth')
    return str(folder / 'backbone.pth')


def make_config(root, folder, weights, extra=''):
    folder.mkdir(exist_ok=True)
    loads = f"model['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint={weights!r})\n"
    return load_config(root, folder, loads + SMALL + RESIZE + extra + REFRESH)


def train(cfg, name):
    """Train; the losses, the weights at the end and what validation gave."""
    cfg.work_dir += name
    cfg.experiment_name += name
    runner, losses = Runner.from_cfg(cfg), Losses()
    runner.register_hook(losses)
    model = runner.train()
    scalars = runner.message_hub.log_scalars
    figures = {key: one.current() for key, one in scalars.items() if key.startswith('val/')}
    figures = {key: value for key, value in figures.items() if 'time' not in key}
    return losses.values, model.state_dict(), figures


@pytest.mark.parametrize(
    'extra',
    ['', FLIP, LINEAR, MAPS, TRAINED_NECK, RLSD],
    ids=['CNN-RNN', 'flipped at random', 'linear head', 'maps', 'a neck that trains', 'RLSD'],
)
def test_training_on_features_equals_training_on_images(root, tmp_path, weights, extra):
    """Every loss, the weights and the metrics: shuffled, with dropout, over several epochs."""
    cfg = make_config(root, tmp_path, weights, extra)
    wanted, state, figures = train(Config(cfg.to_dict()), '_images')
    flip = extra == FLIP
    for split in ('train', 'val'):
        extract_features(cfg, split, tmp_path / 'f', flip=flip and split == 'train')
    before = cfg.to_dict()
    changed = use_cached_features(cfg, tmp_path / 'f')
    assert cfg.to_dict() == before
    losses, ours, again = train(changed, '_features')
    assert len(wanted) == 9 and len(set(wanted)) == 9
    assert losses == pytest.approx(wanted, abs=1e-4)
    assert ours.keys() == state.keys()
    for name, value in state.items():
        assert torch.allclose(ours[name], value, atol=1e-4), name
    trained = [name for name in state if name.startswith('neck.')]
    assert bool(trained) == (extra in (TRAINED_NECK, RLSD))
    if trained:  # the neck ran, and learnt
        start = Runner.from_cfg(Config({**cfg.to_dict(), 'experiment_name': 'start'})).model
        start.init_weights()
        start = start.state_dict()
        assert not any(torch.allclose(state[name], start[name], atol=1e-6) for name in trained)
    assert len(figures) > 1 and again == pytest.approx(figures, abs=1e-3)
    if flip:  # another draw, another curve
        other = use_cached_features(cfg, tmp_path / 'f')
        other.train_dataloader.dataset.flip_prob = 0.0
        assert train(other, '_plain')[0] != pytest.approx(wanted, abs=1e-3)


def test_the_changed_config_runs_by_itself(root, tmp_path, weights):
    """It holds plain types alone, so MMPretrain's own tools run what the work folder has."""
    cfg = make_config(root, tmp_path, weights, REPEATED)
    for split in ('train', 'val'):
        extract_features(cfg, split, tmp_path / 'f')
    changed = use_cached_features(cfg, tmp_path / 'f')
    assert changed.train_dataloader.dataset.type == 'RepeatDataset'
    (tmp_path / 'dumped.json').write_text(json.dumps(changed.to_dict()))
    losses = train(changed, '_first')[0]
    again = train(Config.fromfile(tmp_path / 'dumped.json'), '_second')[0]
    assert len(losses) == 18 and again == losses
    # A checkpoint of it tests on images with the ordinary config.
    cfg.load_from = str(next((tmp_path / 'work_first').glob('epoch_3.pth')))
    figures = Runner.from_cfg(cfg).test()
    tested = use_cached_features(cfg, tmp_path / 'f', ['test'])  # validates on the same images
    tested.experiment_name += '_tested'
    assert Runner.from_cfg(tested).test() == pytest.approx(figures, abs=1e-3)


def test_maps_serve_every_neck_that_trains_and_none_that_stays(root, tmp_path, weights):
    """What stays is part of the features, and is named where they were made without it."""
    cfg = make_config(root, tmp_path / 'a', weights, RLSD)
    for split in ('train', 'val'):
        cached = extract_features(cfg, split, tmp_path / 'f')
        assert cached.views.ndim == 5 and cached.meta['fingerprint']['neck'] is None
    for extra, kind in (
        (RLSD, 'FeatureClassifier'),
        (RLSD.replace('num_regions=3', 'num_regions=9'), 'FeatureClassifier'),
        (TRAINED_NECK, 'FeatureClassifier'),
        (QUIET + MAPS, 'FeatureClassifier'),
        (f"{RLSD}\nmodel['type'] = 'cnnrnn_mm.RegionClassifier'\n", 'FeatureRegionClassifier'),
    ):
        cfg = make_config(root, tmp_path / 'a', weights, extra)
        changed = use_cached_features(cfg, tmp_path / 'f')
        assert changed.model.type == f'cnnrnn_mm.{kind}'
        assert changed.model.neck == cfg.model.neck
    cfg = make_config(root, tmp_path / 'b', weights, QUIET)
    message = r'was made with neck nothing, the config has neck GlobalAveragePooling\(\)'
    with pytest.raises(UsageError, match=message):
        use_cached_features(cfg, tmp_path / 'f')
    # Nor do features behind a neck that stays serve one that trains.
    for split in ('train', 'val'):
        extract_features(cfg, split, tmp_path / 'g')
    cfg = make_config(root, tmp_path / 'c', weights, RLSD)
    message = r'was made with neck GlobalAveragePooling\(\), the config has neck nothing'
    with pytest.raises(UsageError, match=message):
        use_cached_features(cfg, tmp_path / 'g')


# What is refused.
@pytest.fixture(scope='module')
def cache(root, weights, tmp_path_factory):
    """Features of both splits, with mirror images in training."""
    folder = tmp_path_factory.mktemp('cache')
    cfg = make_config(root, folder, weights, FLIP)
    for split in ('train', 'val'):
        extract_features(cfg, split, folder / 'f', flip=split == 'train')
    return folder / 'f'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            "for one in (train_pipeline, test_pipeline): one[1] = dict(type='Resize', scale=48)",
            r'was made with Resize\(scale=\[40, 36\]\), the config has Resize\(scale=48\)',
        ),
        (
            "test_pipeline[1] = dict(type='ResizeEdge', scale=40)",
            r'was made with Resize\(scale=\[40, 36\]\), the config has ResizeEdge\(scale=40\)',
        ),
        (
            "test_pipeline.insert(2, dict(type='CenterCrop', crop_size=32))",
            r'was made with nothing, the config has CenterCrop\(crop_size=32\)',
        ),
        (
            "data_preprocessor['mean'] = [120.0] * 3",
            r'made with data_preprocessor\.mean=\[127\.5, 127\.5, 127\.5\], the config has '
            r'data_preprocessor\.mean=\[120\.0, 120\.0, 120\.0\]',
        ),
        (
            "data_preprocessor['to_rgb'] = False",
            r'with data_preprocessor\.to_rgb=True, the config has data_preprocessor\.to_rgb=False',
        ),
        (
            "model['backbone']['module']['depth'] = 34",
            r'with backbone\.module\.depth=18, the config has backbone\.module\.depth=34',
        ),
        (
            "model['neck'] = dict(type='cnnrnn_mm.GlobalMaxPooling')",
            r'with neck GlobalAveragePooling\(\), the config has neck GlobalMaxPooling\(\)',
        ),
    ],
    ids=['resize', 'other resize', 'crop', 'mean', 'channels', 'backbone', 'neck'],
)
def test_features_of_another_config_are_refused_by_name(
    root, tmp_path, weights, cache, change, message
):
    cfg = make_config(root, tmp_path, weights, f'{FLIP}\n{change}\n')
    with pytest.raises(UsageError, match=message) as caught:
        use_cached_features(cfg, cache)
    text = str(caught.value)
    assert '\n' not in text and 'make it anew with: python tools/extract_features.py' in text
    assert text.endswith(f'--splits train --out {cache} --flip --overwrite')


def test_what_changes_no_feature_is_free(root, tmp_path, weights, cache):
    """The head, the order, the batch size, the training's own augmentation, paths of weights."""
    free = """
model['head']['hidden_dims'] = 16
train_pipeline[-2]['order'] = 'rare_first'
train_pipeline.insert(1, dict(type='ColorJitter', brightness=0.5))
train_dataloader.update(batch_size=2, num_workers=2, prefetch_factor=4, persistent_workers=True)
data_preprocessor['to_onehot'] = True
"""
    cfg = make_config(root, tmp_path, weights, FLIP + free)
    changed = use_cached_features(cfg, cache)
    loader = changed.train_dataloader
    assert loader.num_workers == 0 and 'prefetch_factor' not in loader
    assert [one.type for one in loader.dataset.pipeline] == ['cnnrnn_mm.OrderLabels', 'PackInputs']
    assert loader.dataset.flip_prob == 0.5 and not loader.dataset.test_mode
    assert changed.val_dataloader.dataset.test_mode
    assert changed.data_preprocessor == dict(
        type='ClsDataPreprocessor', num_classes=4, to_onehot=True
    )
    assert changed.model.head == cfg.model.head and changed.model.backbone == cfg.model.backbone
    build_dataset(changed)


def build_dataset(cfg):
    init_default_scope('mmpretrain')
    return Runner.build_dataloader(cfg.train_dataloader).dataset


def run_on(cfg, cache):
    cfg.train_cfg.max_epochs = 1
    changed = use_cached_features(cfg, cache)
    Runner.from_cfg(changed).train()


def test_other_weights_are_refused_when_the_run_starts(root, tmp_path, weights, cache):
    state = torch.load(weights)['state_dict']
    name = 'layer4.1.bn2.bias'
    state[name] = state[name] + 1e-3
    torch.save({'state_dict': state}, tmp_path / 'other.pth')
    cfg = make_config(root, tmp_path / 'a', str(tmp_path / 'other.pth'), FLIP)
    made = json.loads((cache / 'train' / 'meta.json').read_text())['fingerprint']['weights']
    message = rf'other weights of the backbone \(digest {made["backbone"]}\) than .* \(\w{{16}}\)'
    with pytest.raises(UsageError, match=message):
        run_on(cfg, cache)
    # Loaded over the right ones, too.
    cfg = make_config(root, tmp_path / 'b', weights, FLIP)
    torch.save({f'backbone.{key}': value for key, value in state.items()}, tmp_path / 'load.pth')
    cfg.load_from = str(tmp_path / 'load.pth')
    with pytest.raises(UsageError, match='other weights of the backbone'):
        run_on(cfg, cache)
    run_on(make_config(root, tmp_path / 'c', weights, FLIP), cache)


def test_weights_drawn_at_random_are_those_of_the_seed(root, tmp_path):
    """A frozen backbone without weights of its own is the same in extraction and run."""
    for seed in (3, 3, 4):
        cfg = load_config(root, tmp_path, SMALL + f'\nrandomness = dict(seed={seed})\n')
        if not (tmp_path / 'f').exists():
            for split in ('train', 'val'):
                extract_features(cfg, split, tmp_path / 'f')
        cfg.experiment_name = f'seed_{seed}'
        if seed == 3:
            run_on(cfg, tmp_path / 'f')
        else:
            with pytest.raises(UsageError, match='other weights of the backbone'):
                run_on(cfg, tmp_path / 'f')


def test_other_images_are_refused_by_name(voc_folder, root, tmp_path, weights, cache):
    cfg = make_config(root, tmp_path, weights, FLIP)
    changed = use_cached_features(cfg, cache)
    changed.train_dataloader.dataset.dataset.split = 'val'
    with pytest.raises(UsageError, match=r'val_0000\.jpg of VOC.* is not among the 12 images in'):
        build_dataset(changed)
    # A part of the images is enough.
    changed.train_dataloader.dataset.dataset.split = 'train'
    changed.train_dataloader.dataset.dataset.indices = [5, 2]
    assert len(build_dataset(changed)) == 2


def test_a_changed_image_is_refused_by_name(voc_folder, tmp_path, weights):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL})
    cfg = make_config(root, tmp_path, weights)
    for split in ('train', 'val'):
        extract_features(cfg, split, tmp_path / 'f')
    image = root / 'JPEGImages' / 'train_0002.jpg'
    size = image.stat().st_size
    image.write_bytes(image.read_bytes() + b'!')
    changed = use_cached_features(cfg, tmp_path / 'f')
    message = rf'train_0002\.jpg has {size + 1} bytes, but had {size} when its features .*--overwr'
    with pytest.raises(UsageError, match=message):
        build_dataset(changed)
    for one in image.parent.iterdir():  # without the photos, the annotations are enough
        one.unlink()
    assert len(build_dataset(changed)) == len(TRAIN)


def test_missing_features_name_the_command(root, tmp_path, weights, cache):
    cfg = make_config(root, tmp_path, weights, FLIP)
    with pytest.raises(UsageError, match='no features of train and val in .*none') as caught:
        use_cached_features(cfg, tmp_path / 'none')
    assert str(caught.value).endswith(
        f'make them with: python tools/extract_features.py {cfg.filename} --splits train val '
        f'--out {tmp_path / "none"} --flip'
    )
    half = tmp_path / 'half' / 'train.unfinished'
    half.mkdir(parents=True)
    half.joinpath('meta.json').write_text('{"images": 12, "command": "make it"}')
    half.joinpath('progress.json').write_text('{"done": 8}')
    (tmp_path / 'half' / 'val').symlink_to(cache / 'val')
    with pytest.raises(UsageError, match='8 of 12 images; complete them with: make it'):
        use_cached_features(cfg, tmp_path / 'half')


def test_augmented_copies_bind_the_training_pipeline(root, tmp_path, weights):
    cfg = make_config(root, tmp_path / 'a', weights, FLIP)
    extract_features(cfg, 'train', tmp_path / 'f', copies=2, seed=5)
    extract_features(cfg, 'val', tmp_path / 'f')
    changed = use_cached_features(cfg, tmp_path / 'f')
    assert build_dataset(changed).draw_views(50).tolist().count(0) == 0
    cfg = make_config(root, tmp_path / 'b', weights, FLIP.replace('0.5', '0.1'))
    message = (
        r'made with RandomFlip\(prob=0\.5\), the config has RandomFlip\(prob=0\.1\): make it anew '
        r'with: .* --overwrite --copies 2 --seed 5$'
    )
    with pytest.raises(UsageError, match=message):
        use_cached_features(cfg, tmp_path / 'f')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            "model['train_cfg'] = dict(augments=dict(type='Mixup', alpha=1.0))",
            'mixes images, which features can not follow',
        ),
        ("data_preprocessor['type'] = 'SelfSupDataPreprocessor'", 'is a SelfSupDataPreprocessor'),
        (
            "default_hooks['visualization'] = dict(type='VisualizationHook', enable=True)",
            'pictures need the images',
        ),
        ("model['type'] = 'CustomClassifier'", 'the model is a CustomClassifier'),
        (
            "model['backbone'] = model['backbone']['module']",
            r'with backbone Frozen\(module=.*, the config has backbone ResNet_CIFAR\(',
        ),
    ],
    ids=['Mixup', 'preprocessor', 'pictures', 'model', 'trained backbone'],
)
def test_runs_that_need_images(root, tmp_path, weights, cache, change, message):
    cfg = make_config(root, tmp_path, weights, f'{FLIP}\n{change}\n')
    with pytest.raises(UsageError, match=message) as caught:
        use_cached_features(cfg, cache)
    assert '\n' not in str(caught.value)


def test_transforms_of_others_could_change_labels(root, tmp_path, weights, cache):
    class Custom:
        def __init__(self, **kwargs): ...

        def __call__(self, results):
            return results

    TRANSFORMS.register_module(name='CustomTransform', module=Custom, force=True)
    change = "\ntrain_pipeline.insert(1, dict(type='CustomTransform'))\n"
    cfg = make_config(root, tmp_path, weights, FLIP + change)
    with pytest.raises(UsageError, match='CustomTransform of the train split could change labels'):
        use_cached_features(cfg, cache)
    Custom.changes_only_pixels = True
    use_cached_features(cfg, cache)


def test_splits_with_different_weights(root, tmp_path, weights, cache):
    state = {key: value + 1e-3 for key, value in torch.load(weights)['state_dict'].items()}
    torch.save({'state_dict': state}, tmp_path / 'other.pth')
    cfg = make_config(root, tmp_path / 'a', str(tmp_path / 'other.pth'), FLIP)
    extract_features(cfg, 'val', tmp_path / 'f')
    (tmp_path / 'f' / 'train').symlink_to(cache / 'train')
    with pytest.raises(UsageError, match=r'f/train and .*f/val were made with different weights'):
        use_cached_features(cfg, tmp_path / 'f')
