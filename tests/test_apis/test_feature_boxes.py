# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Boxes beside cached features: where each view shows the object, and who is given them."""

import json

import mmcv
import numpy as np
import pytest
import torch
from feature_cache import write_cache
from mmpretrain.registry import DATASETS
from tiny_run import CLASSES, load_config
from voc_files import annotation, thing, write_voc

from cnnrnn_mm.apis import extract_features, feature_model, features
from cnnrnn_mm.apis.split_images import SplitImages
from cnnrnn_mm.datasets.fast_packing import FastPacking
from cnnrnn_mm.datasets.view_boxes import mirror, read_boxes
from cnnrnn_mm.errors import UsageError

SIZE = 32
#: x1 y1 x2 y2 of the one object of each image, a white cat on black.
OBJECTS = [(4, 6, 20, 15), (10, 2, 31, 30), (0, 0, 16, 16), (8, 16, 24, 32), (18, 3, 27, 29)]
BOXES = """
model['backbone'] = dict(type='cnnrnn_mm.Frozen', module=model['backbone'])
moves = [dict(type='RandomCrop', crop_size=28, padding=2), dict(type='RandomFlip', prob=0.5)]
load = dict(type='cnnrnn_mm.LoadImage')
keys = ('gt_bboxes', 'gt_bboxes_labels')
train_pipeline = [
    load, dict(type='cnnrnn_mm.WithBoxes', transforms=moves),
    dict(type='cnnrnn_mm.OrderLabels'), dict(type='PackInputs', algorithm_keys=keys),
]
test_pipeline = [load, dict(type='Resize', scale=24), dict(type='PackInputs')]
train_dataloader['dataset'].update(
    type='cnnrnn_mm.VOCMultiLabel', boxes=True, pipeline=train_pipeline
)
val_dataloader['dataset'] = dict(train_dataloader['dataset'], pipeline=test_pipeline)
test_dataloader = val_dataloader
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """VOC with an object an image."""
    root = tmp_path_factory.mktemp('boxes') / 'voc'
    size = f'<size><width>{SIZE}</width><height>{SIZE}</height><depth>3</depth></size>'
    objects = {str(row): (x1 + 1, y1 + 1, x2, y2) for row, (x1, y1, x2, y2) in enumerate(OBJECTS)}
    split = {name: annotation(thing('cat', 0, box), size=size) for name, box in objects.items()}
    write_voc(root, split)
    for row, (x1, y1, x2, y2) in enumerate(OBJECTS):
        picture = np.zeros((SIZE, SIZE, 3), np.uint8)
        picture[y1:y2, x1:x2] = 255
        mmcv.imwrite(picture, str(root / 'JPEGImages' / f'{row}.jpg'), [1, 100])
    return root


@pytest.fixture(autouse=True)
def _scope(default_scope):
    default_scope('mmpretrain')


def config(root, folder, extra=''):
    folder.mkdir(exist_ok=True)
    return load_config(root, folder, BOXES + extra)


def white(inputs):
    """The box around the white pixels of an image (3, H, W)."""
    ys, xs = np.nonzero(inputs.float().mean(0).numpy() > 127)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_each_view_has_the_box_of_what_it_shows(root, tmp_path):
    images = SplitImages(config(root, tmp_path), 'train', copies=3)
    assert images.box_keys == ('gt_bboxes',) and len(images.objects) == 16
    places = set()
    for row in range(len(images)):
        for number, view in enumerate(images[row]):
            side = 28 if number else 24
            assert view.boxes['img_shape'] == tuple(view.inputs.shape[1:]) == (side, side)
            assert view.boxes['gt_bboxes_labels'].tolist() == [CLASSES.index('cat')]
            (box,) = view.boxes['gt_bboxes']
            assert np.abs(box - white(view.inputs)).max() <= (0 if number else 1)
            places.add(tuple(box.tolist()))
    assert len(places) > 12  # the copies differ


def test_they_are_kept_for_each_view(root, tmp_path):
    cfg = config(root, tmp_path)
    cached = extract_features(cfg, 'train', tmp_path / 'a', flip=True)
    plain = np.float32(OBJECTS) * 24 / SIZE
    assert np.allclose([one[0]['gt_bboxes'][0] for one in cached.boxes], plain)
    mirrored = np.stack([24 - plain[:, 2], plain[:, 1], 24 - plain[:, 0], plain[:, 3]], 1)
    assert np.allclose([one[1]['gt_bboxes'][0] for one in cached.boxes], mirrored)
    for views in cached.boxes:
        assert [one['img_shape'] for one in views] == [(24, 24)] * 2
        assert [one['gt_bboxes_labels'].tolist() for one in views] == [[1], [1]]
    copies = extract_features(cfg, 'train', tmp_path / 'b', copies=2)
    wanted = SplitImages(cfg, 'train', copies=2)
    for row, views in enumerate(copies.boxes):
        for found, view in zip(views, wanted[row], strict=True):
            assert found.keys() == view.boxes.keys()
            assert all(np.array_equal(found[key], view.boxes[key]) for key in found)


def test_an_interrupted_extraction_keeps_a_line_an_image(root, tmp_path, monkeypatch):
    cfg = config(root, tmp_path, '\ntrain_dataloader.update(batch_size=2)\n')
    original, calls = feature_model.compute_features, []

    def stop(model, inputs):
        calls.append(0)
        if len(calls) == 4:  # the third view of the second batch
            raise KeyboardInterrupt
        return original(model, inputs)

    monkeypatch.setattr(features, 'compute_features', stop)
    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        extract_features(cfg, 'train', tmp_path / 'a', copies=1)
    half = tmp_path / 'a' / 'train.unfinished' / 'boxes.jsonl'
    assert len(half.read_text().splitlines()) == 2
    half.write_text(half.read_text() + '[half a line')  # killed before the batch was done
    torch.manual_seed(0)  # the same random weights
    cached = extract_features(cfg, 'train', tmp_path / 'a', copies=1)
    assert len(cached.boxes) == 5
    torch.manual_seed(0)
    extract_features(cfg, 'train', tmp_path / 'b', copies=1)
    first, second = (tmp_path / name / 'train' / 'boxes.jsonl' for name in 'ab')
    assert first.read_bytes() == second.read_bytes()


def test_a_cache_without_boxes_is_as_ever_and_no_cache_with_boxes(root, tmp_path):
    without = "\nfor one in (train_dataloader, val_dataloader): one['dataset'].pop('boxes')\n"
    cfg = config(root, tmp_path, without + 'del one\n')
    torch.manual_seed(0)
    cached = extract_features(cfg, 'train', tmp_path / 'a')
    assert cached.boxes is None and 'boxes' not in cached.meta['fingerprint']
    files = sorted(path.name for path in (tmp_path / 'a' / 'train').iterdir())
    assert files == ['annotations.json', 'features.npy', 'meta.json']
    torch.manual_seed(0)
    with pytest.raises(
        UsageError, match=r"was made with boxes nothing, and now there is boxes '\w{16}"
    ):
        extract_features(config(root, tmp_path), 'train', tmp_path / 'a')
    dataset = config(root, tmp_path).train_dataloader.dataset
    with pytest.raises(
        UsageError, match='has boxes=True, but .* was made without boxes: make it a'
    ):
        build(cached.folder, {**dataset, 'pipeline': []})
    # One with boxes serves those who want none.
    torch.manual_seed(0)
    made = extract_features(config(root, tmp_path), 'train', tmp_path / 'b')
    torch.manual_seed(0)
    assert extract_features(cfg, 'train', tmp_path / 'b').meta == made.meta


def test_what_moves_pixels_under_boxes_is_refused(root, tmp_path):
    crop = "\ntrain_pipeline[1] = dict(type='RandomCrop', crop_size=28)\n"
    crop += "train_dataloader['dataset']['pipeline'] = train_pipeline\n"
    message = (
        'RandomCrop in the pipeline of training may move pixels, and leaves gt_bboxes where they '
        r"are or without area: put it into dict\(type='cnnrnn_mm.WithBoxes', transforms="
    )
    with pytest.raises(UsageError, match=message):
        SplitImages(config(root, tmp_path, crop), 'train', copies=1)


def test_proposals_are_kept_too(root, tmp_path):
    boxes = {f'{row}.jpg': [list(box), [0, 0, SIZE, SIZE]] for row, box in enumerate(OBJECTS)}
    (tmp_path / 'file.json').write_text(json.dumps(boxes))
    extra = f"""
test_pipeline[1:2] = [
    dict(type='cnnrnn_mm.LoadProposals', file={str(tmp_path / 'file.json')!r}),
    dict(type='cnnrnn_mm.WithBoxes', transforms=dict(type='Resize', scale=24)),
]
val_dataloader['dataset'] = dict(train_dataloader['dataset'], pipeline=test_pipeline)
val_dataloader['dataset'].pop('boxes')
test_dataloader = val_dataloader
"""
    cached = extract_features(config(root, tmp_path, extra), 'val', tmp_path / 'a', flip=True)
    for row, (plain, mirrored) in enumerate(cached.boxes):
        assert plain.keys() == {'img_shape', 'proposals'}
        assert np.allclose(plain['proposals'], np.float32([OBJECTS[row], [0, 0, 32, 32]]) * 0.75)
        assert mirrored['proposals'][1].tolist() == [0, 0, 24, 24]
    flipped = mirror(mirrored)
    assert np.array_equal(flipped['proposals'], plain['proposals'])


def build(folder, dataset=None, **options):
    pack = dict(type='PackInputs', algorithm_keys=('gt_bboxes', 'gt_bboxes_labels', 'proposals'))
    options = dict(pipeline=[pack], test_mode=False) | options
    return DATASETS.build(
        dict(type='cnnrnn_mm.FeatureDataset', features=str(folder), dataset=dataset, **options)
    )


@pytest.fixture
def flipped_cache(root, tmp_path):
    return extract_features(config(root, tmp_path), 'train', tmp_path / 'cache', flip=True)


@pytest.mark.parametrize('source', ['cache', 'dataset'])
@pytest.mark.parametrize('one_by_one', [False, True])
def test_the_dataset_hands_out_those_of_the_drawn_view(
    source, one_by_one, flipped_cache, root, tmp_path, monkeypatch
):
    inner = {**config(root, tmp_path).train_dataloader.dataset, 'pipeline': []}
    dataset = build(flipped_cache.folder, inner if source == 'dataset' else None)
    if one_by_one:
        monkeypatch.setattr(FastPacking, 'of', lambda transforms: None)
    else:
        assert FastPacking.of(dataset.pipeline.transforms) is not None
    seen = set()
    for item in dataset.__getitems__([0, 1, 2, 3, 4] * 4):
        sample = item['data_samples']
        row, view = int(sample.img_path.split('/')[-1].split('.')[0]), int(sample.flip)
        wanted = flipped_cache.boxes[row][view]
        assert np.array_equal(sample.gt_bboxes, wanted['gt_bboxes'])
        assert np.array_equal(sample.gt_bboxes_labels, [1]) and sample.img_shape == (24, 24)
        assert np.array_equal(item['inputs'], flipped_cache.views[row, view])
        assert set(sample.keys()) == {'gt_label', 'gt_bboxes', 'gt_bboxes_labels'}
        seen.add(view)
    assert seen == {0, 1}
    tested = build(flipped_cache.folder, test_mode=True)[3]['data_samples']
    assert np.array_equal(tested.gt_bboxes, flipped_cache.boxes[3][0]['gt_bboxes'])


def test_whose_boxes_they_are(flipped_cache, root, tmp_path):
    """Boxes are labels: the dataset with the images decides whether and of which classes."""
    inner = {**config(root, tmp_path).train_dataloader.dataset, 'pipeline': []}
    sample = build(flipped_cache.folder, {**inner, 'boxes': False})[0]['data_samples']
    assert set(sample.keys()) == {'gt_label'} and sample.img_shape == (24, 24)
    other = {**inner, 'metainfo': dict(classes=CLASSES[::-1])}
    with pytest.raises(
        UsageError, match='has other classes than .*, whose boxes would mean somethi'
    ):
        build(flipped_cache.folder, other)


def test_damaged_files(tmp_path):
    write_cache(tmp_path / 'a', torch.zeros(2, 1, 3), [[0], []], ['x'])
    path = tmp_path / 'a' / 'boxes.jsonl'
    assert features.load_features(tmp_path / 'a').boxes is None
    line = '[{"img_shape":[4,4],"gt_bboxes":[],"gt_bboxes_labels":[]}]\n'
    path.write_text(2 * line)
    ((first,), _) = features.load_features(tmp_path / 'a').boxes
    assert first['gt_bboxes'].shape == (0, 4) and first['gt_bboxes_labels'].shape == (0,)
    for text, message in (
        (line, 'has 1 lines, not 2'),
        (line + '[]\n', 'lacks one of the 1 views'),
        (line + '[{"img', 'is damaged .*: make the features anew'),
        (line + '[{"img_shape":[4,4],"gt_bboxes":[[1,2]]}]\n', 'is damaged'),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_boxes(path, 2, 1)
