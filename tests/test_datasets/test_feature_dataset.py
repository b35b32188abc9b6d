# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from mmengine.dataset import ClassBalancedDataset
from mmpretrain.registry import DATASETS, MODELS
from torch.utils.data import DataLoader, default_collate

from cnnrnn_mm.datasets import (
    CachedFeatures,
    FeatureDataset,
    OrderLabels,
    load_features,
    save_features,
)
from cnnrnn_mm.datasets.annotations import class_names, describe, read_labels
from cnnrnn_mm.engine.hooks.label_order_hook import find_transforms
from cnnrnn_mm.errors import UsageError

CLASSES = ['bird', 'cat', 'dog']
LABELS = [[2, 0], [], [1], [0, 1, 2], [2]]
PACK = [dict(type='PackInputs')]


@pytest.fixture
def path(tmp_path):
    """Feature (row, ...) of each image; that of its mirror image is negative."""
    features = (torch.arange(5.0) + 1).unsqueeze(1).repeat(1, 4)
    cached = CachedFeatures(
        features, LABELS, CLASSES, [f'{row}.jpg' for row in range(5)], flipped=-features
    )
    save_features(cached, tmp_path / 'a.pt')
    return tmp_path / 'a.pt'


@pytest.fixture(autouse=True)
def _scope(default_scope):
    default_scope('mmpretrain')


def build(path, pipeline=(), **options):
    return FeatureDataset(str(path), pipeline=list(pipeline), **options)


def test_items_pack_as_images_do(path):
    dataset = build(path, PACK, test_mode=True)
    assert len(dataset) == 5 and class_names(dataset) == CLASSES
    for row, item in enumerate(dataset):
        assert item['inputs'].tolist() == [row + 1.0] * 4 and item['inputs'].dtype == torch.float32
        assert item['data_samples'].gt_label.tolist() == LABELS[row]
        assert item['data_samples'].img_path == f'{row}.jpg'
        assert item['data_samples'].sample_idx == row
        assert item['data_samples'].flip is False


def test_labels_are_read_and_ordered_by_the_project_s_tools(path):
    dataset = build(path, [dict(type='cnnrnn_mm.OrderLabels', order='rare_first'), *PACK])
    labels, paths = read_labels(dataset)
    assert [one.tolist() for one in labels] == LABELS and paths[2] == '2.jpg'
    assert 'a.pt' in describe(dataset)
    (order,) = find_transforms(dataset, OrderLabels)
    order.fit([5, 3, 4], CLASSES)
    assert dataset[3]['data_samples'].gt_label.tolist() == [1, 2, 0]


def test_built_by_name_below_data_root(path):
    cfg = dict(type='cnnrnn_mm.FeatureDataset', data_root=str(path.parent), ann_file='a.pt')
    assert len(DATASETS.build(cfg)) == 5


def test_training_takes_either_feature_at_random(path):
    dataset = build(path)
    drawn = torch.tensor([[dataset[row]['img'][0] for row in range(5)] for _ in range(400)])
    assert torch.equal(drawn.abs(), torch.arange(1.0, 6).repeat(400, 1))
    assert (drawn < 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert drawn.sign().unique(dim=0).shape[0] == 2**5  # each image by itself, anew each time
    assert all((one['img'][0] < 0).item() == one['flip'] for one in (dataset[0] for _ in range(20)))


def test_draws_follow_numpy_s_seed(path):
    """As the host's transforms do, so its seeding of workers and resumed runs holds."""
    dataset = build(path)
    rounds = []
    for _ in range(2):
        np.random.seed(3)
        rounds.append([dataset[row % 5]['flip'] for row in range(30)])
    assert rounds[0] == rounds[1]


@pytest.mark.parametrize(('probability', 'sign'), [(0, 1), (1, -1)])
def test_flip_prob(path, probability, sign):
    dataset = build(path, flip_prob=probability)
    assert all(dataset[1]['img'][0] == sign * 2 for _ in range(50))


def test_never_flipped_in_test_mode_or_without_such_features(path):
    assert not any(build(path, test_mode=True, flip_prob=1)[2]['flip'] for _ in range(20))
    cached = load_features(path)
    save_features(CachedFeatures(cached.features, LABELS, None, cached.img_paths), path)
    dataset = build(path, flip_prob=1)
    assert dataset[2]['img'][0] == 3 and class_names(dataset) is None


def test_subsets_keep_their_rows(path):
    dataset = build(path, PACK, test_mode=True, indices=[4, 2])
    assert [item['inputs'][0] for item in dataset] == [5, 3]
    dataset.get_subset_([1])
    assert dataset[0]['inputs'][0] == 3 and dataset[0]['data_samples'].gt_label.tolist() == [1]
    part = build(path, PACK, test_mode=True).get_subset([3, 0])
    assert [item['inputs'][0] for item in part] == [4, 1]


def test_host_s_wrappers(path):
    # bird comes in 2 images of 5, cat in 2, dog in 3: the threshold doubles bird and cat.
    dataset = ClassBalancedDataset(build(path, PACK, test_mode=True), 0.9)
    rows = [int(item['inputs'][0]) - 1 for item in (dataset[i] for i in range(len(dataset)))]
    assert rows == sorted(rows) and len(rows) > 5
    for row, index in zip(rows, range(len(dataset)), strict=True):
        assert dataset.get_data_info(index)['gt_label'] == LABELS[row]


def test_transforms_can_not_change_the_cache(path):
    dataset = build(path, [lambda results: {**results, 'img': results['img'].mul_(0)}])
    assert dataset[0]['img'].sum() == 0
    assert dataset.features[0].sum() == 4


def test_lazy_and_own_classes(path):
    dataset = build(path, lazy_init=True, metainfo=dict(classes=['a', 'b', 'c']))
    assert dataset.features is None
    dataset.full_init()
    assert class_names(dataset) == ['a', 'b', 'c'] and dataset[0]['img'].abs()[0] == 1


@pytest.mark.parametrize('workers', [0, 2])
def test_a_loader_s_batch_reaches_the_head(path, workers):
    """Through the host's collating, preprocessing and model, to the head, unchanged."""
    loader = DataLoader(
        build(path, PACK, test_mode=True), 5, num_workers=workers,
        collate_fn=lambda batch: {
            'inputs': default_collate([one['inputs'] for one in batch]),
            'data_samples': [one['data_samples'] for one in batch],
        },
    )  # fmt: skip
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            data_preprocessor=dict(num_classes=3),
            backbone=dict(type='cnnrnn_mm.PrecomputedFeatures'),
            head=dict(type='cnnrnn_mm.CNNRNNHead', num_classes=3, in_channels=4),
        )
    )
    (batch,) = loader
    data = model.data_preprocessor(batch)
    feature = model.extract_feat(data['inputs'], stage='pre_logits')
    assert torch.equal(feature, load_features(path).features)
    assert [one.gt_label.tolist() for one in data['data_samples']] == LABELS


def test_wrong_options(path, tmp_path):
    with pytest.raises(UsageError, match=r'flip_prob is 1\.5: set it to a value in \[0, 1\]'):
        build(path, flip_prob=1.5)
    with pytest.raises(UsageError, match=r'none\.pt does not exist: write it with'):
        build(tmp_path / 'none.pt')
