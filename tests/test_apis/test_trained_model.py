# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pathlib

import pytest
import torch
from mmengine.config import Config
from mmpretrain.datasets import VOC
from tiny_checkpoint import write_checkpoint
from tiny_run import CLASSES, TRAIN, VAL

from cnnrnn_mm.apis import extract_features, load_trained_model, use_cached_features
from cnnrnn_mm.apis.literal_config import read_literal_config
from cnnrnn_mm.errors import UsageError


@pytest.fixture(scope='module')
def made(tmp_path_factory, voc_folder):
    """A checkpoint and its config."""
    folder = tmp_path_factory.mktemp('made')
    return write_checkpoint(folder, voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL}))


def changed(made, tmp_path, change):
    """A copy of the checkpoint, changed."""
    content = torch.load(made[0], weights_only=True)
    change(content)
    torch.save(content, tmp_path / 'changed.pth')
    return tmp_path / 'changed.pth'


def test_from_the_checkpoint_alone(made):
    trained = load_trained_model(made[0], device='cpu')
    weights = torch.load(made[0], weights_only=True)['state_dict']
    found = trained.model.state_dict()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert not trained.model.training
    assert trained.classes == CLASSES
    assert [one['type'] for one in trained.pipeline] == ['cnnrnn_mm.LoadImage', 'PackInputs']
    assert trained.checkpoint == str(made[0])


def test_a_given_config_and_options(made):
    options = {'model.head.postprocessor.beam_size': 2}
    for config in (made[1], Config.fromfile(made[1])):
        trained = load_trained_model(made[0], config, 'cpu', cfg_options=options)
        assert trained.model.head.postprocessor.options['beam_size'] == 2


def test_a_given_config_is_not_changed(made):
    cfg = Config.fromfile(made[1])
    before = cfg.to_dict()
    load_trained_model(made[0], cfg, 'cpu', cfg_options={'model.head.use_trie': False})
    assert cfg.to_dict() == before


def test_the_label_order_reaches_the_head(made, voc_folder, tmp_path):
    extra = "\nmodel['head']['postprocessor'] = dict(constraints=dict(order='training'))\n"
    path, _ = write_checkpoint(tmp_path, tmp_path / 'voc', extra)
    trained = load_trained_model(path, device='cpu')
    assert trained.model.head.postprocessor.constraints.order == (3, 1, 2, 0)


def test_a_run_on_cached_features(made, tmp_path):
    """Its config names the features; the model on images is in it, too."""
    frozen = "\nmodel['backbone'] = dict(type='cnnrnn_mm.Frozen', module=model['backbone'])\n"
    photos = made[0].parent / 'voc'
    path, config = write_checkpoint(tmp_path, photos, frozen)
    cfg = Config.fromfile(config)
    cfg.load_from = str(path)
    for split in ('train', 'val'):
        extract_features(cfg, split, tmp_path / 'features', checkpoint=str(path))
    content = torch.load(path, weights_only=True)
    content['meta']['cfg'] = use_cached_features(cfg, tmp_path / 'features').pretty_text
    assert 'FeatureClassifier' in content['meta']['cfg']
    torch.save(content, path)

    trained = load_trained_model(path, device='cpu')
    assert type(trained.model).__name__ == 'ImageClassifier'
    assert trained.model.data_preprocessor.mean is not None
    assert trained.pipeline[0]['type'] == 'cnnrnn_mm.LoadImage'

    content['meta']['cfg'] = content['meta']['cfg'].replace('on_images', 'elsewhere')
    torch.save(content, path)
    with pytest.raises(UsageError, match='trained on cached features, .* --config'):
        load_trained_model(path, device='cpu')


def test_weights_of_a_distributed_run(made, tmp_path):
    def wrap(content):
        weights = content['state_dict']
        content['state_dict'] = {f'module.{name}': value for name, value in weights.items()}

    load_trained_model(changed(made, tmp_path, wrap), device='cpu')


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_a_bomb_does_not_explode(made, tmp_path):
    mark = tmp_path / 'exploded'
    path = changed(made, tmp_path, lambda content: content['meta'].update(extra=Bomb(mark)))
    with pytest.raises(UsageError, match='could run code when loaded'):
        load_trained_model(path)
    assert not mark.exists()


def test_a_config_that_is_code_does_not_run(made, tmp_path):
    mark = tmp_path / 'exploded'
    text = f'model = open({str(mark)!r}, "w")'
    path = changed(made, tmp_path, lambda content: content['meta'].update(cfg=text))
    with pytest.raises(UsageError, match='not made of plain values .*--config'):
        load_trained_model(path)
    assert not mark.exists()
    assert load_trained_model(path, made[1], 'cpu').classes == CLASSES


def _drop_backbone(content):
    weights = content['state_dict']
    content['state_dict'] = {k: v for k, v in weights.items() if not k.startswith('backbone')}


def _reshape(content):
    content['state_dict']['head.decoder.embedding.weight'] = torch.zeros(3, 5)


def _add(content):
    content['state_dict']['head.more'] = torch.zeros(1)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (_drop_backbone, r'lacks \d+ of the \d+ tensors .* backbone\..*without its backbone'),
        (_add, r'holds 1 tensors that the model lacks, head\.more first'),
        (lambda content: content['meta'].pop('cfg'), 'holds no config: give one with --config'),
        (lambda content: content['meta'].update(cfg=''), 'holds no config'),
        (lambda content: content['meta'].update(cfg='a = 1'), 'has no model'),
        (lambda content: content.pop('meta'), 'holds no config'),
    ],
)
def test_what_is_missing_or_too_much(made, tmp_path, change, words):
    path = changed(made, tmp_path, change)
    with pytest.raises(UsageError, match=words) as no:
        load_trained_model(path)
    assert '\n' not in str(no.value)


def test_other_shapes(made, tmp_path):
    def cut(content):
        name = next(k for k in content['state_dict'] if k.startswith('head') and 'weight' in k)
        content['state_dict'][name] = content['state_dict'][name][:1]

    with pytest.raises(UsageError, match=r'head\..* of shape \(1, .*the config makes it'):
        load_trained_model(changed(made, tmp_path, cut))


def test_classes_are_given_or_in_the_config(made, tmp_path):
    path = changed(made, tmp_path, lambda content: content['meta'].pop('dataset_meta'))
    assert load_trained_model(path, device='cpu').classes == CLASSES
    assert load_trained_model(path, device='cpu', classes='abcd').classes == tuple('abcd')


def test_no_classes_at_all(made, tmp_path):
    path = changed(made, tmp_path, lambda content: content['meta'].pop('dataset_meta'))
    cfg = Config.fromfile(made[1])
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset = dict(type='MultiLabelDataset', pipeline=loader.dataset.pipeline)
    with pytest.raises(UsageError, match='names the classes: give a file .* --classes'):
        load_trained_model(path, cfg)


def test_classes_of_the_datasets_type(made, tmp_path):
    """VOC knows its classes itself."""
    cfg = Config.fromfile(made[1])
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        del loader.dataset['metainfo']
    with pytest.raises(UsageError, match=r"class 0 is 'bus' there and 'aeroplane' here"):
        load_trained_model(made[0], cfg)
    names = VOC.METAINFO['classes']
    with pytest.raises(UsageError, match='there are 20 class names, but the head has 4'):
        load_trained_model(made[0], cfg, classes=names)


@pytest.mark.parametrize(
    ('names', 'words'),
    [
        (('bus', 'dog', 'cat', 'person'), "class 1 is 'dog' there and 'cat' here"),
        (('bus', 'cat', 'dog'), "class 3 is None there and 'person' here"),
        ((*CLASSES, 'tram'), "class 4 is 'tram' there and None here"),
    ],
)
def test_classes_that_differ(made, tmp_path, names, words):
    path = changed(
        made, tmp_path, lambda content: content['meta']['dataset_meta'].update(classes=names)
    )
    with pytest.raises(UsageError, match=words):
        load_trained_model(path)


def test_a_device_that_is_not_there(made):
    for device in ('cuda:99', 'nonsense'):
        with pytest.raises(UsageError, match=f'device {device} can not be used'):
            load_trained_model(made[0], device=device)


@pytest.mark.parametrize('which', ['checkpoint', 'config'])
def test_files_that_are_not_there(made, which):
    given = {'checkpoint': made[0], 'config': made[1], which: '/none/such.py'}
    with pytest.raises(UsageError, match=rf'{which} /none/such\.py does not exist'):
        load_trained_model(**given)


def test_an_address_that_fails():
    with pytest.raises(UsageError, match='can not be fetched'):
        load_trained_model('http://127.0.0.1:9/a.pth')


def test_no_test_pipeline(made):
    cfg = Config.fromfile(made[1])
    cfg.val_dataloader = cfg.test_dataloader = None
    with pytest.raises(UsageError, match='neither test_dataloader nor val_dataloader'):
        load_trained_model(made[0], cfg, 'cpu', CLASSES)


def with_config(made, tmp_path, change):
    """A copy of the checkpoint whose own config is changed."""

    def write(content):
        cfg = read_literal_config(content['meta']['cfg'], 'a test')
        change(cfg)
        content['meta']['cfg'] = cfg.pretty_text

    return changed(made, tmp_path, write)


@pytest.mark.parametrize('key', ['backbone', 'neck', 'init_cfg'])
def test_a_type_that_nothing_is_registered_as_is_not_imported(made, tmp_path, key):
    command = f'touch {tmp_path / "harm"}'

    def change(cfg):
        cfg.model[key] = dict(type='os.system', command=command)

    with pytest.raises(
        UsageError, match=r"has type='os\.system', which nothing here is registered"
    ):
        load_trained_model(with_config(made, tmp_path, change), device='cpu')
    assert not (tmp_path / 'harm').exists()


def test_neither_is_one_of_the_pipeline_the_dataset_or_a_scope(made, tmp_path, monkeypatch):
    (tmp_path / 'harmful.py').write_text(f'open({str(tmp_path / "harm")!r}, "w")')
    monkeypatch.syspath_prepend(str(tmp_path))
    for change in (
        lambda cfg: cfg.test_dataloader.dataset.pipeline.append(dict(type='harmful.Anything')),
        lambda cfg: cfg.test_dataloader.dataset.update(type='harmful.Anything'),
        lambda cfg: cfg.model.update(_scope_='harmful'),
        lambda cfg: cfg.update(default_scope='harmful'),
    ):
        with pytest.raises(UsageError, match='which nothing here is registered as'):
            load_trained_model(with_config(made, tmp_path, change), device='cpu')
    assert not (tmp_path / 'harm').exists()


def test_addresses_that_end_alike_are_told_apart(made, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    folders = [tmp_path / name for name in ('a', 'b', 'bad')]
    for number, folder in enumerate(folders):
        folder.mkdir()

        def change(content, number=number):
            first = next(iter(content['state_dict']))
            content['state_dict'][first] = torch.full_like(content['state_dict'][first], number)

        changed(made, folder, change)
    (folders[2] / 'changed.pth').write_text('no checkpoint')
    for number, folder in enumerate(folders[:2]):
        trained = load_trained_model(f'file://{folder / "changed.pth"}', device='cpu')
        assert set(next(trained.model.parameters()).unique().tolist()) == {float(number)}
    with pytest.raises(UsageError, match='truncated or not a checkpoint'):
        load_trained_model(f'file://{folders[2] / "changed.pth"}', device='cpu')
    assert len(list((tmp_path / 'hub' / 'checkpoints').iterdir())) == 2
