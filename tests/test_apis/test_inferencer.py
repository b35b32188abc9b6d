# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The inferencer against the Runner's own test, the head's own search, and itself."""

import json
import math
import pickle
from itertools import permutations

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import DumpResults
from mmengine.runner import Runner
from mmpretrain import get_model
from mmpretrain.apis.base import BaseInferencer
from mmpretrain.structures import DataSample
from PIL import Image
from tiny_checkpoint import CSRA_HEAD, HOST_HEAD, REGIONS_HEAD, SKIP_HEAD, write_checkpoint
from tiny_run import CLASSES, VAL, load_config

from cnnrnn_mm.apis.inferencer import MultiLabelInferencer
from cnnrnn_mm.errors import UsageError

HEADS = {'cnnrnn': '', 'skip': SKIP_HEAD, 'regions': REGIONS_HEAD}
HOST_HEADS = {'host': HOST_HEAD, 'csra': CSRA_HEAD}


@pytest.fixture(scope='module')
def photos(tmp_path_factory, voc_folder):
    return voc_folder(tmp_path_factory.mktemp('photos') / 'voc', {'val': VAL * 2})


@pytest.fixture(scope='module')
def paths(photos):
    return sorted(str(one) for one in (photos / 'JPEGImages').iterdir())


@pytest.fixture(scope='module')
def checkpoints(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp('checkpoints')
    heads = {**HEADS, **HOST_HEADS}
    return {n: write_checkpoint(folder, photos, extra, n) for n, extra in heads.items()}


@pytest.fixture(scope='module')
def inferencers(checkpoints):
    """Made when they are asked for."""
    made = {}

    def get(name='cnnrnn'):
        if name not in made:
            made[name] = MultiLabelInferencer.from_checkpoint(checkpoints[name][0], device='cpu')
        return made[name]

    return get


@pytest.mark.parametrize('name', [*HEADS, *HOST_HEADS])
def test_results_are_those_of_the_test_tool(
    name, checkpoints, inferencers, photos, paths, tmp_path, monkeypatch
):
    monkeypatch.setattr(Runner, '_log_env', lambda self, env: None)
    cfg = load_config(photos, tmp_path, {**HEADS, **HOST_HEADS}[name] + "log_level = 'WARNING'\n")
    cfg.load_from = str(checkpoints[name][0])
    cfg.test_evaluator = [dict(type='MultiLabelMetric')]
    runner = Runner.from_cfg(cfg)
    runner.test_evaluator.metrics.append(DumpResults(out_file_path=str(tmp_path / 'a.pkl')))
    runner.test()
    tested = pickle.loads((tmp_path / 'a.pkl').read_bytes())
    assert len(tested) == len(paths) == 8
    records = inferencers(name)(str(photos / 'JPEGImages'))
    for one, record in zip(tested, records, strict=True):
        assert record['photo'] == one['img_path']
        scores = {each['id']: each['score'] for each in record['marginals']}
        assert [scores[k] for k in range(4)] == pytest.approx(one['pred_score'].tolist(), abs=1e-6)
        if name in HEADS:
            assert record['label_ids'] == one['pred_label'].tolist()
        else:
            assert set(record['label_ids']) == set(one['pred_label'].tolist())
    # The photos are told apart, so that equality means something.
    assert len({json.dumps(record['marginals']) for record in records}) > 4


@pytest.mark.parametrize('name', list(HEADS))
def test_records_of_paths(name, inferencers, paths):
    for record in inferencers(name)(paths):
        assert record['size'] == [32, 32]
        assert record['labels'] == [CLASSES[one] for one in record['label_ids']] == record['path']
        assert len(record['step_probs']) == len(record['labels']) + 1
        assert math.prod(record['step_probs']) == pytest.approx(record['path_prob'], rel=1e-4)
        lower, upper = record['set_prob']
        assert record['path_prob'] <= lower * (1 + 1e-4)
        assert lower <= upper <= 1 + 1e-6
        others = [record['path_prob'], *(one['prob'] for one in record['alternatives'])]
        assert others == sorted(others, reverse=True)
        assert ('regions' in record) == (name == 'regions')
        if name == 'regions':
            assert len(record['regions']) == len(record['labels'])
        json.dumps(record, allow_nan=False)


def test_the_set_probability_sums_over_orders(inferencers, paths):
    """Against the head's own scores of both orders."""
    inferencer = inferencers()
    record = inferencer(paths[0], constraints=dict(min_length=2, max_length=2))[0]
    model, head = inferencer.model, inferencer.model.head
    _, data = next(inferencer.preprocess(inferencer._inputs_to_list(paths[0]))).groups[0]
    with torch.no_grad():
        ready = model.data_preprocessor(data, False)
        feats = model.extract_feat(ready['inputs'])
        total = 0.0
        for order in permutations(record['label_ids']):
            total += path_prob(head, feats, order)
    assert record['set_prob'] == pytest.approx([total, total], rel=1e-4)
    assert record['path_prob'] == pytest.approx(
        path_prob(head, feats, record['label_ids']), rel=1e-4
    )


def path_prob(head, feats, path):
    """P(path, END), in one pass under teacher forcing."""
    scores = head.forward(feats, torch.tensor([[head.vocabulary.start, *path]]))[0]
    probs = scores.softmax(-1)
    return math.prod(probs[step, token].item() for step, token in enumerate([*path, 4]))


def test_a_set_in_a_canonical_order_has_one_path(inferencers, paths):
    for record in inferencers('skip')(paths):
        assert record['set_prob'] == pytest.approx([record['path_prob']] * 2, rel=1e-5)


def test_without_set_probability(inferencers, paths):
    for name in ('cnnrnn', 'skip'):
        records = inferencers(name)(paths, set_prob=False)
        assert all(record['set_prob'] is None for record in records)
        assert inferencers(name).model.head.postprocessor.set_log_prob is False


def test_host_heads(inferencers, paths):
    for record in inferencers('host')(paths):
        scores = [one['score'] for one in record['marginals']]
        assert scores == sorted(scores, reverse=True)
        above = [one['label'] for one in record['marginals'] if one['score'] >= 0.3]
        assert record['labels'] == above
        assert record['path'] is record['set_prob'] is record['alternatives'] is None
    assert all(len(record['labels']) == 2 for record in inferencers('csra')(paths))


@pytest.mark.parametrize('size', [1, 3, 8])
def test_batches_do_not_matter(inferencers, paths, size):
    wanted = inferencers()(paths, batch_size=5)
    found = inferencers()(paths, batch_size=size)
    for one, two in zip(wanted, found, strict=True):
        assert one['label_ids'] == two['label_ids']
        assert one['path_prob'] == pytest.approx(two['path_prob'], rel=1e-4)


def test_workers_give_the_same(inferencers, paths):
    wanted = inferencers()(paths, batch_size=2, num_workers=0, on_error='report')
    assert inferencers()(paths, batch_size=2, num_workers=2, on_error='report') == wanted


def test_photos_of_different_sizes(inferencers, paths, tmp_path):
    """The pipeline does not resize: each photo has the result it has alone."""
    large = tmp_path / 'large.png'
    Image.open(paths[0]).resize((48, 40)).save(large)
    mixed = [paths[1], large, paths[2]]
    together = inferencers()(mixed, batch_size=3)
    assert together[1]['size'] == [48, 40]
    for record, path in zip(together, mixed, strict=True):
        alone = inferencers()(path)[0]
        assert alone['label_ids'] == record['label_ids']
        assert alone['path_prob'] == pytest.approx(record['path_prob'], rel=1e-4)


def test_arrays_and_pillow_images(inferencers, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / 'a.png')
    content = (tmp_path / 'a.png').read_bytes()
    found = inferencers()([tmp_path / 'a.png', pixels[..., ::-1], picture, content])
    assert [one['photo'] for one in found] == [str(tmp_path / 'a.png'), None, None, None]
    for one in found:
        assert one['label_ids'] == found[0]['label_ids']
        assert one['path_prob'] == pytest.approx(found[0]['path_prob'], rel=1e-4)
    swapped = inferencers()(pixels)[0]['path_prob']  # RGB is not BGR
    assert swapped != pytest.approx(found[0]['path_prob'], rel=1e-2)


@pytest.mark.parametrize('workers', [0, 1])
def test_broken_photos_are_passed_over(inferencers, paths, tmp_path, workers):
    (tmp_path / 'text.jpg').write_text('text')
    mixed = [paths[0], tmp_path / 'text.jpg', tmp_path / 'none.jpg', *paths[1:4]]
    found = inferencers()(mixed, batch_size=2, num_workers=workers, on_error='report')
    assert found[1] == {
        'photo': str(tmp_path / 'text.jpg'),
        'error': f'photo {tmp_path}/text.jpg is not a picture: replace it',
    }
    assert 'does not exist' in found[2]['error']
    good = inferencers()([paths[0], *paths[1:4]])
    assert [one['label_ids'] for k, one in enumerate(found) if k not in (1, 2)] == [
        one['label_ids'] for one in good
    ]
    with pytest.raises(UsageError, match=r'text\.jpg is not a picture'):
        inferencers()(mixed, num_workers=workers)
    samples = inferencers()(mixed, return_datasamples=True, on_error='report')
    assert [sample is None for sample in samples] == [False, True, True, False, False, False]


def test_a_photo_for_which_the_model_gives_nan(inferencers, paths, monkeypatch):
    inferencer = inferencers()
    preprocess = inferencer.model.data_preprocessor.forward
    marked = Image.open(paths[1])

    def spoil(data, training=False):
        ready = preprocess(data, training)
        for row, sample in enumerate(data['data_samples']):
            if sample.get('img_path') == paths[1]:
                ready['inputs'][row] = math.nan
        return ready

    monkeypatch.setattr(inferencer.model.data_preprocessor, 'forward', spoil)
    for constraints in (None, dict(max_length=2)):
        found = inferencer(paths[:3], on_error='report', constraints=constraints)
        assert [list(one) == ['photo', 'error'] for one in found] == [False, True, False]
        assert paths[1] in found[1]['error']
    assert marked.size == (32, 32)


def test_constraints(inferencers, paths):
    inferencer = inferencers()
    free = inferencer(paths)
    for label in CLASSES:
        for one in inferencer(paths, constraints=dict(required=[label], max_length=2)):
            assert label in one['labels']
        for one in inferencer(paths, constraints=dict(forbidden=[label])):
            assert label not in one['labels']
        for one in inferencer(paths, constraints=dict(prefix=[label])):
            assert one['labels'][0] == label
            assert one['step_probs'][0] == 1
    assert inferencer(paths) == free


def test_constraints_of_each_photo_are_those_of_the_head(inferencers, paths):
    inferencer = inferencers()
    each = [dict(required=['dog']), None, dict(forbidden=[3, 1])] + [None] * 5
    found = inferencer(paths, constraints=each, batch_size=3)
    for path, one, record in zip(paths, each, found, strict=True):
        alone = inferencer(path, constraints=one)[0]
        assert alone['label_ids'] == record['label_ids']
    assert 'dog' in found[0]['labels']
    assert not {'person', 'cat'} & set(found[2]['labels'])


def test_constraints_stay_with_their_photo_behind_one_that_is_missing(inferencers, paths, tmp_path):
    wide = tmp_path / 'wide.png'  # the pipeline does not resize: a group of its own
    Image.fromarray(np.zeros((40, 64, 3), np.uint8)).save(wide)
    photos = [str(tmp_path / 'missing.jpg'), paths[0], str(wide), paths[1]]
    each = [dict(required=['bus']), dict(required=['dog']), dict(forbidden=[0, 1, 2, 3]), None]
    inferencer = inferencers()
    found = inferencer(photos, constraints=each, batch_size=4, on_error='report')
    assert 'missing.jpg' in found[0]['error']
    for photo, one, record in list(zip(photos, each, found, strict=True))[1:]:
        assert inferencer(photo, constraints=one)[0]['label_ids'] == record['label_ids']
    assert 'dog' in found[1]['labels'] and found[2]['labels'] == []


def test_constraints_that_do_not_fit(inferencers, paths):
    for given, words in (
        (dict(required=['dgo']), "did you mean 'dog'"),
        ([None], 'there are 1 constraints for 8 photos'),
    ):
        with pytest.raises(UsageError, match=words):
            inferencers()(paths, constraints=given)
    with pytest.raises(UsageError, match='MultiLabelLinearClsHead searches no label paths'):
        inferencers('host')(paths, constraints=dict(required=['dog']))


def test_data_samples(inferencers, paths):
    samples = inferencers()(paths, return_datasamples=True)
    records = inferencers()(paths)
    assert all(isinstance(sample, DataSample) for sample in samples)
    for sample, record in zip(samples, records, strict=True):
        assert sample.pred_label.tolist() == record['label_ids']
        assert math.exp(sample.pred_set_log_prob_lower) == record['set_prob'][0]


def test_pictures(inferencers, paths, tmp_path):
    (tmp_path / 'other').mkdir()
    same_name = tmp_path / 'other' / 'val_0000.jpg'
    Image.open(paths[1]).save(same_name)
    pixels = np.zeros((32, 32, 3), np.uint8)
    (tmp_path / 'broken.jpg').write_bytes(b'')
    mixed = [paths[0], same_name, pixels, tmp_path / 'broken.jpg']
    inferencers('regions')(mixed, show_dir=tmp_path / 'a' / 'b', on_error='report')
    names = sorted(one.name for one in (tmp_path / 'a' / 'b').iterdir())
    assert names == ['photo_2.png', 'val_0000.png', 'val_0000_2.png']
    drawn = [np.asarray(Image.open(tmp_path / 'a' / 'b' / name)) for name in names]
    assert all(one.shape[1] > 320 and one.std() > 5 for one in drawn)
    assert not np.array_equal(drawn[1], drawn[2])


def test_a_stream_begins_before_the_end(inferencers, paths):
    stream = inferencers()(paths[:1] * 2) and inferencers().stream(
        [paths[0], '/none.jpg'], batch_size=1
    )
    assert next(stream)['photo'] == paths[0]
    with pytest.raises(UsageError, match='does not exist'):
        next(stream)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(batch_size=0), 'batch_size is 0: set it to 1 or more'),
        (dict(num_workers=-1), 'num_workers is -1: set it to 0 or more'),
        (dict(on_error='ignore'), "on_error is 'ignore': set it to 'raise' or 'report'"),
    ],
)
def test_options_that_do_not_fit(inferencers, paths, options, words):
    with pytest.raises(UsageError, match=words):
        inferencers()(paths, **options)


def test_what_it_is_made_from(checkpoints, paths):
    path, config = checkpoints['cnnrnn']
    wanted = MultiLabelInferencer.from_checkpoint(path, device='cpu')(paths[0])
    cfg = Config.fromfile(config)
    built = get_model(cfg, pretrained=str(path))
    cfg.load_from = str(path)
    for made in (
        MultiLabelInferencer(str(config), str(path), 'cpu'),
        MultiLabelInferencer(cfg, device='cpu'),
        MultiLabelInferencer(built, classes=CLASSES),
    ):
        assert isinstance(made, BaseInferencer)
        assert made(paths[0]) == wanted
    random = MultiLabelInferencer(str(config), pretrained=False, device='cpu', classes=CLASSES)
    assert random(paths[0])[0]['marginals'] != wanted[0]['marginals']


@pytest.mark.parametrize(
    ('model', 'options', 'words'),
    [
        ('{1}', {}, 'nothing says where the weights of .*tiny.* are|nothing says where'),
        ('{0}', {}, 'is a checkpoint: use MultiLabelInferencer.from_checkpoint'),
        ('/none.py', {}, r'config /none\.py does not exist'),
        ('no_such_model', {}, "model 'no_such_model' is neither a config"),
        (3, {}, 'model is a int'),
        ('{1}', {'pretrained': False, 'classes': 'abc'}, 'there are 3 class names, .* 4 classes'),
    ],
)
def test_what_it_can_not_be_made_from(checkpoints, model, options, words):
    model = model.format(*checkpoints['cnnrnn']) if isinstance(model, str) else model
    with pytest.raises(UsageError, match=words):
        MultiLabelInferencer(model, **options)


def test_a_pipeline_that_loads_no_photo(checkpoints):
    cfg = Config.fromfile(checkpoints['cnnrnn'][1])
    cfg.test_dataloader.dataset.pipeline = [dict(type='PackInputs')]
    with pytest.raises(UsageError, match='begins with PackInputs, which loads no photo'):
        MultiLabelInferencer.from_checkpoint(checkpoints['cnnrnn'][0], cfg, 'cpu')


def test_a_photo_that_the_pipeline_can_not_take(checkpoints, paths):
    cfg = Config.fromfile(checkpoints['cnnrnn'][1])
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='CenterCrop', crop_size=-5))
    with pytest.raises((UsageError, AssertionError)):
        MultiLabelInferencer.from_checkpoint(checkpoints['cnnrnn'][0], cfg, 'cpu')(paths[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu(checkpoints, inferencers, paths):
    found = MultiLabelInferencer.from_checkpoint(checkpoints['cnnrnn'][0], device='cuda')(paths)
    for one, two in zip(found, inferencers()(paths), strict=True):
        assert one['label_ids'] == two['label_ids']
        assert one['path_prob'] == pytest.approx(two['path_prob'], rel=1e-3)
