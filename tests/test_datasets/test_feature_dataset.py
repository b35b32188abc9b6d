# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from feature_cache import write_cache
from mmengine.dataset import ClassBalancedDataset, RepeatDataset, default_collate
from mmpretrain.registry import DATASETS, MODELS
from torch.utils.data import DataLoader

from cnnrnn_mm.datasets import FeatureDataset, OrderLabels, load_features
from cnnrnn_mm.datasets.annotations import class_names, describe, read_labels
from cnnrnn_mm.datasets.fast_packing import FastPacking
from cnnrnn_mm.engine.hooks.label_order_hook import find_transforms
from cnnrnn_mm.errors import UsageError

CLASSES = ['bird', 'cat', 'dog']
LABELS = [[2, 0], [], [1], [0, 1, 2], [2]]
PACK = [dict(type='PackInputs')]
PLAIN = (torch.arange(5.0) + 1).unsqueeze(1).repeat(1, 4)


@pytest.fixture
def folder(tmp_path):
    """Feature (row + 1, ...) of each image; that of its mirror image is negative."""
    write_cache(
        tmp_path / 'train', torch.stack([PLAIN, -PLAIN], 1), LABELS, CLASSES, ('plain', 'mirrored')
    )
    return tmp_path / 'train'


@pytest.fixture
def copies(tmp_path):
    """Feature row + 1 of each image, and 10 and 100 times as much of its copies."""
    views = torch.stack([PLAIN, 10 * PLAIN, 100 * PLAIN], 1)
    write_cache(tmp_path / 'copies', views, LABELS, CLASSES, ('plain', 'augmented', 'augmented'))
    return tmp_path / 'copies'


@pytest.fixture(autouse=True)
def _scope(default_scope):
    default_scope('mmpretrain')


def build(folder, pipeline=(), **options):
    return FeatureDataset(str(folder), pipeline=list(pipeline), **options)


def test_items_pack_as_images_do(folder):
    dataset = build(folder, PACK, test_mode=True)
    assert len(dataset) == 5 and class_names(dataset) == CLASSES
    for row, item in enumerate(dataset):
        assert item['inputs'].tolist() == [row + 1.0] * 4 and item['inputs'].dtype == torch.float32
        assert item['data_samples'].gt_label.tolist() == LABELS[row]
        assert item['data_samples'].img_path == f'{row}.jpg'
        assert item['data_samples'].sample_idx == row
        assert 'flip' not in item['data_samples']


def test_labels_are_read_and_ordered_by_the_project_s_tools(folder):
    dataset = build(folder, [dict(type='cnnrnn_mm.OrderLabels', order='rare_first'), *PACK])
    labels, paths = read_labels(dataset)
    assert [one.tolist() for one in labels] == LABELS and paths[2] == '2.jpg'
    assert str(folder) in describe(dataset)
    (order,) = find_transforms(dataset, OrderLabels)
    order.fit([5, 3, 4], CLASSES)
    assert dataset[3]['data_samples'].gt_label.tolist() == [1, 2, 0]


def other_dataset(tmp_path, paths, **keys):
    """A dataset of the host with these images, in its order and with other labels."""
    data_list = [dict(img_path=path, gt_label=[row % 2], **keys) for row, path in enumerate(paths)]
    path = tmp_path / 'other.json'
    path.write_text(
        str(dict(metainfo=dict(classes=['x', 'y']), data_list=data_list)).replace("'", '"')
    )
    return dict(type='MultiLabelDataset', ann_file=str(path))


def test_annotations_come_from_the_dataset_with_the_images(folder, tmp_path):
    cfg = other_dataset(tmp_path, ['3.jpg', '0.jpg', '4.jpg'], gt_label_difficult=[1])
    pack = [dict(type='PackInputs', meta_keys=('img_path', 'gt_label_difficult'))]
    dataset = build(folder, pack, dataset=cfg, test_mode=True)
    assert class_names(dataset) == ['x', 'y'] and len(dataset) == 3
    for item, row, label in zip(dataset, (3, 0, 4), (0, 1, 0), strict=True):
        assert item['inputs'][0] == row + 1
        assert item['data_samples'].img_path == f'{row}.jpg'
        assert item['data_samples'].gt_label.tolist() == [label]
        assert item['data_samples'].gt_label_difficult == [1]


def test_images_without_features(folder, tmp_path):
    cfg = other_dataset(tmp_path, ['3.jpg', 'new.jpg'])
    message = (
        r'image new\.jpg of MultiLabelDataset\(.*other\.json\) is not among the 5 images in .*'
        r'train, which was made from another image list: make it anew with: python make\.py'
    )
    with pytest.raises(UsageError, match=message):
        build(folder, dataset=cfg)
    # Skipped where it can't be decoded and the run skips such images, and only then.
    dataset = build(folder, dataset=cfg, unreadable='skip')
    assert len(dataset) == 1 and dataset[0]['img'].abs()[0] == 4
    import mmcv

    mmcv.imwrite(np.zeros((4, 4, 3), np.uint8), str(tmp_path / 'new.jpg'))
    cfg = other_dataset(tmp_path, ['3.jpg', str(tmp_path / 'new.jpg')])
    with pytest.raises(UsageError, match='made from another image list'):
        build(folder, dataset=cfg, unreadable='skip')


def test_built_by_name(folder):
    cfg = dict(type='cnnrnn_mm.FeatureDataset', features=str(folder))
    assert len(DATASETS.build(cfg)) == 5


def test_training_takes_either_feature_at_random(folder):
    dataset = build(folder)
    drawn = torch.tensor([[dataset[row]['img'][0] for row in range(5)] for _ in range(400)])
    assert torch.equal(drawn.abs(), torch.arange(1.0, 6).repeat(400, 1))
    assert (drawn < 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert drawn.sign().unique(dim=0).shape[0] == 2**5  # each image by itself, anew each time
    for item in (dataset[0] for _ in range(20)):
        assert item['flip'] == (item['img'][0] < 0).item()
        assert item['flip_direction'] == ('horizontal' if item['flip'] else None)


def test_training_takes_any_copy_at_random(copies):
    dataset = build(copies)
    drawn = torch.tensor([[dataset[row]['img'][0] for row in range(5)] for _ in range(400)])
    factors = drawn / torch.arange(1.0, 6)
    assert set(factors.unique().tolist()) == {10.0, 100.0}
    assert (factors == 10).float().mean() == pytest.approx(0.5, abs=0.05)
    assert factors.unique(dim=0).shape[0] == 2**5
    assert 'flip' not in dataset[0]
    assert build(copies, test_mode=True)[2]['img'][0] == 3


@pytest.mark.parametrize('batched', [False, True])
def test_draws_follow_numpy_s_seed(folder, batched):
    """As the host's transforms do; and a batch draws what its items would."""
    dataset = build(folder, PACK)
    rounds = []
    for of_batch in (False, batched):
        np.random.seed(3)
        rows = [row % 5 for row in range(30)]
        items = dataset.__getitems__(rows) if of_batch else [dataset[row] for row in rows]
        rounds.append([one['data_samples'].flip for one in items])
    assert rounds[0] == rounds[1] and len(set(rounds[0])) == 2


@pytest.mark.parametrize(('probability', 'sign'), [(0, 1), (1, -1)])
def test_flip_prob(folder, probability, sign):
    dataset = build(folder, flip_prob=probability)
    assert all(dataset[1]['img'][0] == sign * 2 for _ in range(50))


def test_never_flipped_in_test_mode(folder):
    dataset = build(folder, PACK, test_mode=True, flip_prob=1)
    assert all(dataset[2]['inputs'][0] == 3 for _ in range(20))
    assert all(one['inputs'][0] == 3 for one in dataset.__getitems__([2] * 20))


def test_subsets_keep_their_rows(folder):
    dataset = build(folder, PACK, test_mode=True, indices=[4, 2])
    assert [item['inputs'][0] for item in dataset] == [5, 3]
    dataset.get_subset_([1])
    assert dataset[0]['inputs'][0] == 3 and dataset[0]['data_samples'].gt_label.tolist() == [1]
    whole = build(folder, PACK, test_mode=True)
    part = whole.get_subset([3, 0])
    assert [item['inputs'][0] for item in part.__getitems__([0, 1])] == [4, 1]
    assert part.cached.views is whole.cached.views  # mapped once, not copied


def test_host_s_wrappers(folder):
    # bird comes in 2 images of 5, cat in 2, dog in 3: the threshold doubles bird and cat.
    dataset = ClassBalancedDataset(build(folder, PACK, test_mode=True), 0.9)
    rows = [int(item['inputs'][0]) - 1 for item in (dataset[i] for i in range(len(dataset)))]
    assert rows == sorted(rows) and len(rows) > 5
    for row, index in zip(rows, range(len(dataset)), strict=True):
        assert dataset.get_data_info(index)['gt_label'] == LABELS[row]
    repeated = RepeatDataset(build(folder, PACK, test_mode=True), 2)
    assert [repeated[index]['inputs'][0] for index in range(10)] == [1, 2, 3, 4, 5] * 2


def test_transforms_can_not_change_the_cache(folder):
    dataset = build(folder, [lambda results: {**results, 'img': results['img'].mul_(0)}])
    assert dataset[0]['img'].sum() == 0
    packed = build(folder, PACK, test_mode=True)
    packed.__getitems__([0, 1])[0]['inputs'].zero_()
    assert load_features(folder).views[0, 0].sum() == 4 and dataset.cached.views[0, 0].sum() == 4


def test_lazy_and_own_classes(folder):
    dataset = build(folder, lazy_init=True, metainfo=dict(classes=['a', 'b', 'c']))
    assert dataset.cached is None
    dataset.full_init()
    assert class_names(dataset) == ['a', 'b', 'c'] and dataset[0]['img'].abs()[0] == 1
    lazy = build(folder, lazy_init=True, test_mode=True)
    assert lazy.draw_views(3).tolist() == [0, 0, 0] and len(lazy) == 5


@pytest.mark.parametrize('workers', [0, 2])
def test_a_loader_s_batch_reaches_the_head(folder, workers):
    """Through the host's collating, preprocessing and model, to the head, unchanged."""
    loader = DataLoader(
        build(folder, PACK, test_mode=True), 5, num_workers=workers, collate_fn=default_collate
    )
    model = MODELS.build(
        dict(
            type='cnnrnn_mm.FeatureClassifier',
            features=str(folder),
            feature_shape=(4,),
            backbone_digest='e3b0c44298fc1c14',  # SHA-256 of nothing
            neck_digest='e3b0c44298fc1c14',
            data_preprocessor=dict(num_classes=3),
            backbone=torch.nn.Identity(),
            head=dict(type='cnnrnn_mm.CNNRNNHead', num_classes=3, in_channels=4),
        )
    )
    (batch,) = loader
    data = model.data_preprocessor(batch)
    feature = model.extract_feat(data['inputs'], stage='pre_logits')
    assert torch.equal(feature, load_features(folder).features)
    assert [one.gt_label.tolist() for one in data['data_samples']] == LABELS


def same(first, second):
    """Whether two packed items are equal in all they hold."""
    if not torch.equal(first['inputs'], second['inputs']):
        return False
    ours, theirs = first['data_samples'], second['data_samples']
    assert type(ours) is type(theirs)
    assert set(ours.keys()) == set(theirs.keys())
    assert set(ours.metainfo_keys()) == set(theirs.metainfo_keys())
    assert ours.gt_label.dtype == theirs.gt_label.dtype == torch.int64
    assert ours.metainfo == theirs.metainfo
    return torch.equal(ours.gt_label, theirs.gt_label)


@pytest.mark.parametrize('order', [None, 'rare_first', 'given', 'random'])
@pytest.mark.parametrize('keys', [None, ('img_path', 'nothing')], ids=str)
def test_a_batch_is_what_its_items_are(folder, order, keys):
    """Whether it is packed at once or, as with a random order, one by one."""
    pack = [dict(type='PackInputs', **({} if keys is None else dict(meta_keys=keys)))]
    given = dict(given=[1, 2, 0]) if order == 'given' else {}
    orders = [] if order is None else [dict(type='cnnrnn_mm.OrderLabels', order=order, **given)]
    dataset = build(folder, [*orders, *pack])
    for one in find_transforms(dataset, OrderLabels):
        one.fit([2, 2, 3], CLASSES)
    packing = FastPacking.of(dataset.pipeline.transforms)
    assert (packing is None) == (order == 'random')
    rows = [3, 1, 0, 3, 2, 4, 1]
    np.random.seed(0)
    batch = dataset.__getitems__(rows)
    np.random.seed(0)
    items = [dataset[row] for row in rows]
    assert all(same(*pair) for pair in zip(batch, items, strict=True))
    assert len({item['inputs'].tolist()[0] for item in batch}) > 4  # some are mirrored
    # Samples can be filled further, as a model does.
    batch[0]['data_samples'].set_pred_score(torch.rand(3)).set_gt_label([1])
    assert batch[0]['data_samples'].gt_label.tolist() == [1]


def test_pipelines_that_are_not_packed_at_once(folder):
    order, pack = OrderLabels('rare_first'), build(folder, PACK).pipeline.transforms[0]
    order.fit([1, 2, 3])
    assert FastPacking.of([order, pack]) is not None and FastPacking.of([pack]) is not None

    class Other(type(pack)):
        pass

    unfitted = OrderLabels('rare_first')
    for transforms in (
        [],
        [order],
        [pack, order],
        [order, order, pack],
        [unfitted, pack],
        [Other()],
    ):
        assert FastPacking.of(transforms) is None
    for options in (dict(input_key='inputs'), dict(algorithm_keys=['gt_area'])):
        assert FastPacking.of([order, type(pack)(**options)]) is None
    task = OrderLabels('random', task='a')
    task.set_sequence([0, 1, 2])
    assert FastPacking.of([task, pack]) is None
    packing = FastPacking.of([pack])
    assert packing.fits([dict(gt_label=[1])]) and not packing.fits([dict(gt_label={'a': 1})])
    assert not packing.fits([dict(gt_label=[1], gt_score=[0.5])]) and not packing.fits([{}])


def test_wrong_label_in_a_batch_is_named(folder, tmp_path):
    dataset = build(folder, [dict(type='cnnrnn_mm.OrderLabels'), *PACK])
    (order,) = find_transforms(dataset, OrderLabels)
    order.set_sequence([1, 0])  # of fewer classes than there are
    with pytest.raises(UsageError, match=r'label 2 of image 3\.jpg is outside 0\.\.1'):
        dataset.__getitems__([2, 3])


def test_wrong_options(folder, tmp_path):
    with pytest.raises(UsageError, match=r'flip_prob is 1\.5: set it to a value in \[0, 1\]'):
        build(folder, flip_prob=1.5)
    with pytest.raises(UsageError, match="unreadable is 'maybe': set it to 'skip' or 'error'"):
        build(folder, unreadable='maybe')
    with pytest.raises(UsageError, match=r'no features in .*none: make it with'):
        build(tmp_path / 'none')
