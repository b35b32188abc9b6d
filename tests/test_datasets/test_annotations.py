# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmpretrain.datasets import VOC, CustomDataset, KFoldDataset, MultiTaskDataset

from cnnrnn_mm.datasets.annotations import check_labels, class_names, infos, read_labels
from cnnrnn_mm.errors import UsageError

CLASSES = ['bird', 'cat', 'dog']
TRAIN = [['dog', 'bird'], [], ['cat'], ['cat', 'dog', 'bird']]
TRUTH = [{0, 2}, set(), {1}, {0, 1, 2}]


@pytest.fixture
def voc(voc_folder, tmp_path):
    root = voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': [['cat']], 'test': []})

    def build(split='train', **options):
        metainfo = dict(classes=CLASSES)
        return VOC(data_root=str(root), split=split, metainfo=metainfo, **options)

    return build


def multi_task(tmp_path, *labels):
    data = [dict(img_path=f'{i}.jpg', gt_label=label) for i, label in enumerate(labels)]
    path = tmp_path / 'annotation.json'
    path.write_text(json.dumps(dict(metainfo=dict(tasks=['kind', 'things']), data_list=data)))
    return MultiTaskDataset(ann_file=path.name, data_root=str(tmp_path), pipeline=[])


def sets(labels):
    return [set(one.tolist()) for one in labels]


def test_labels_and_paths_of_all_images(voc):
    labels, paths = read_labels(voc())
    assert sets(labels) == TRUTH
    assert all(one.dtype == np.int64 and one.ndim == 1 for one in labels)
    assert [path[-14:] for path in paths] == [f'train_{i:04d}.jpg' for i in range(4)]


def test_no_image_is_loaded(voc, tmp_path):
    dataset = voc(pipeline=[dict(type='LoadImageFromFile')])
    for picture in (tmp_path / 'voc' / 'JPEGImages').iterdir():
        picture.unlink()
    assert sets(read_labels(dataset)[0]) == TRUTH


def test_wrappers_are_counted_as_they_are_seen(voc):
    assert sets(read_labels(RepeatDataset(voc(), 2))[0]) == TRUTH * 2
    assert sets(read_labels(ConcatDataset([voc(), voc('val')]))[0]) == [*TRUTH, {1}]
    config = dict(type=VOC, data_root=voc().data_root, split='train')
    folds = [KFoldDataset(config, fold=0, num_splits=2, test_mode=m, seed=1) for m in (False, True)]
    kept, left = (read_labels(fold)[1] for fold in folds)
    assert len(kept) == len(left) == 2 and not set(kept) & set(left)


def test_indices_are_respected(voc):
    assert sets(read_labels(voc(indices=[3, 0]))[0]) == [TRUTH[3], TRUTH[0]]


@pytest.mark.parametrize('serialize', [True, False])
@pytest.mark.parametrize('lazy', [True, False])
@pytest.mark.parametrize('subset', [None, 2, -2, [3, 0, 0], []])
def test_stored_annotations_are_those_of_the_dataset(voc, serialize, lazy, subset):
    dataset = voc(serialize_data=serialize, lazy_init=lazy)
    if subset is not None:
        dataset.get_subset_(subset)
    expected = [dataset.get_data_info(index) for index in range(len(dataset))]
    found = [dict(info) for info in infos(dataset)]
    for index, info in enumerate(expected):
        assert info.pop('sample_idx') == index
        assert info == found[index]
    assert len(found) == len(expected) == (4 if subset is None else len(TRUTH_OF[str(subset)]))


TRUTH_OF = {'2': [0, 1], '-2': [2, 3], '[3, 0, 0]': [3, 0, 0], '[]': []}


def test_a_dataset_that_makes_its_annotations_is_asked(voc):
    class Shifted(VOC):
        def get_data_info(self, idx):
            info = super().get_data_info(idx)
            return {**info, 'gt_label': [0]}

    dataset = Shifted(voc().data_root, split='train', metainfo=dict(classes=CLASSES))
    assert sets(read_labels(dataset)[0]) == [{0}] * 4


def test_what_is_read_is_not_the_datasets_own(voc):
    dataset = voc(serialize_data=False)
    dataset.data_list[0]['gt_label'] = np.array([0, 2])
    read_labels(dataset)[0][0][:] = 1
    assert dataset.get_data_info(0)['gt_label'].tolist() == [0, 2]


def test_single_labels_become_lists(voc_folder, tmp_path):
    root = voc_folder(tmp_path, {'train': [['cat'], ['dog']]})
    (root / 'list.txt').write_text('train_0000.jpg 2\ntrain_0001.jpg 0\n')
    dataset = CustomDataset(data_root=str(root), ann_file='list.txt', data_prefix='JPEGImages')
    assert [one.tolist() for one in read_labels(dataset)[0]] == [[2], [0]]


def test_one_task_of_many(tmp_path):
    dataset = multi_task(
        tmp_path,
        {'kind': 1, 'things': [2, 0]},
        {'kind': 0},
        {'things': []},
        {'kind': 2, 'things': [1]},
    )
    labels, paths = read_labels(dataset, 'things')
    assert [one.tolist() for one in labels] == [[2, 0], [], [1]]
    assert [path[-5:] for path in paths] == ['0.jpg', '2.jpg', '3.jpg']
    labels, _ = read_labels(dataset, 'kind')
    assert [one.tolist() for one in labels] == [[1], [0], [2]]


def test_missing_task_is_named(tmp_path):
    dataset = multi_task(tmp_path, {'kind': 1}, {'kind': 0})
    with pytest.raises(UsageError, match="no image with task 'things'"):
        read_labels(dataset, 'things')
    with pytest.raises(UsageError, match=r'0\.jpg .*OrderLabels\(task='):
        read_labels(dataset)


def test_task_without_tasks(voc):
    with pytest.raises(UsageError, match="train_0000.jpg has no tasks.*task='things'"):
        read_labels(voc(), 'things')


def test_empty_dataset(voc):
    with pytest.raises(UsageError, match='VOC.*test.txt.*is empty'):
        read_labels(voc('test', serialize_data=False))


def test_image_without_annotation(voc_folder, tmp_path):
    root = voc_folder(tmp_path, {'test': [['cat']]})
    dataset = VOC(data_root=str(root), split='test', data_prefix='JPEGImages', test_mode=True)
    with pytest.raises(UsageError, match='test_0000.jpg has gt_label=None'):
        read_labels(dataset)


def test_class_names(voc, tmp_path):
    assert class_names(voc()) == CLASSES
    assert class_names(ConcatDataset([voc(), voc()])) == CLASSES
    assert class_names(RepeatDataset(voc(), 2)) == CLASSES
    assert class_names(multi_task(tmp_path, {'kind': 1})) is None
    assert class_names(object()) is None


def arrays(*labels):
    return [np.array(one, dtype=np.int64) for one in labels]


@pytest.mark.parametrize(
    ('labels', 'named'),
    [
        (([0, 1], [2, 3], [1]), 'label 3 of image b is outside 0..2 .3 classes'),
        (([0], [], [1, -1]), 'label -1 of image c'),
        (([], [], [3]), 'label 3 of image c'),
        (([0, 1], [2, 0, 2], [1]), 'label 2 comes twice in image b'),
        (([], [0, 1], [0, 0]), 'label 0 comes twice in image c'),
        (([1, 1], [], []), 'label 1 comes twice in image a'),
    ],
)
def test_wrong_labels_name_value_and_image(labels, named):
    with pytest.raises(UsageError, match=named):
        check_labels(arrays(*labels), list('abc'), 3)


def test_same_label_in_two_images_is_no_duplicate():
    check_labels(arrays([0, 2], [2, 0], [2]), list('abc'), 3)


@pytest.mark.parametrize('labels', [(), ([],), ([], [])])
def test_no_labels_at_all(labels):
    check_labels(arrays(*labels), ['a', 'b'][: len(labels)], 3)


@given(st.lists(st.lists(st.integers(-1, 4), max_size=4), min_size=1, max_size=5))
def test_agrees_with_a_plain_check(labels):
    wrong = any(
        len(set(one)) < len(one) or any(not 0 <= label < 4 for label in one) for one in labels
    )
    try:
        check_labels(arrays(*labels), [str(i) for i in range(len(labels))], 4)
    except UsageError:
        assert wrong
    else:
        assert not wrong
