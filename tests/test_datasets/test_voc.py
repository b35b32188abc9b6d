# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.datasets import VOC
from voc_files import annotation, thing, write_voc

from cnnrnn_mm.datasets import OrderLabels, VOCMultiLabel
from cnnrnn_mm.datasets.annotations import class_names, describe, read_labels
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.registry import DATASETS

CLASSES = ['cat', 'dog', 'person']
SPLIT = {
    '2007_000027': annotation(thing('person'), thing('cat', 0, (1, 1, 100, 100))),
    '2007_000032': annotation(thing('dog', 1)),
    '2008_000003': annotation(thing('dog', 1), thing('dog'), thing('cat', 1), thing('person')),
}
#: The true label sets of VOC 2007, beside the project where they are at hand.
LABEL_SETS = Path(__file__).resolve().parents[3] / 'shared' / 'label_sets' / 'voc2007.json'


@pytest.fixture
def build(tmp_path):
    root = write_voc(tmp_path / 'VOC2012', SPLIT)

    def build(**options):
        options = dict(split='train', metainfo=dict(classes=CLASSES)) | options
        return DATASETS.build(dict(type='cnnrnn_mm.VOCMultiLabel', data_root=str(root), **options))

    build.root = root
    return build


def column(dataset, key):
    return [dataset.get_data_info(row)[key] for row in range(len(dataset))]


@pytest.mark.parametrize(
    ('policy', 'labels', 'difficult'),
    [
        (None, [[0, 2], [], [1, 2]], [[], [], []]),
        ('negative', [[0, 2], [], [1, 2]], [[], [], []]),
        ('ignore', [[0, 2], [], [1, 2]], [[], [1], [0]]),
        ('positive', [[0, 2], [1], [0, 1, 2]], [[], [], []]),
    ],
)
def test_training_labels(policy, labels, difficult, build):
    dataset = build(**({} if policy is None else dict(difficult=policy)))
    assert column(dataset, 'gt_label') == labels
    assert column(dataset, 'gt_label_difficult') == difficult


@pytest.mark.parametrize('policy', ['negative', 'ignore', 'positive'])
def test_the_official_protocol_is_tested_whatever_the_policy(policy, build):
    dataset = build(difficult=policy, test_mode=True)
    assert column(dataset, 'gt_label') == [[0, 2], [], [1, 2]]
    assert column(dataset, 'gt_label_difficult') == [[], [1], [0]]
    assert column(dataset, 'gt_area')[0] == {0: 0.5, 2: 0.25}


def test_apart_from_that_it_is_the_hosts(build):
    options = dict(split='train', metainfo=dict(classes=CLASSES))
    host, ours = VOC(str(build.root), **options), VOCMultiLabel(str(build.root), **options)
    assert isinstance(ours, VOC) and len(host) == len(ours) == 3
    assert column(host, 'img_path') == column(ours, 'img_path')
    assert [sorted(one) for one in column(host, 'gt_label')] == column(ours, 'gt_label')
    assert class_names(ours) == CLASSES
    assert describe(ours) == describe(host).replace('VOC(', 'VOCMultiLabel(', 1)
    assert len(build(indices=[2])) == 1
    named = build(image_set_path='ImageSets/Main/train.txt', split='')
    assert column(named, 'gt_label') == column(ours, 'gt_label')


def test_a_test_split_without_labels(build):
    listing = dict(split='', image_set_path='ImageSets/Main/train.txt')
    dataset = build(**listing, data_prefix='JPEGImages', test_mode=True)
    assert column(dataset, 'gt_label') == [None] * 3


def test_errors_reach_the_user(build):
    (build.root / 'Annotations/2007_000032.xml').write_text('<annotation>')
    with pytest.raises(UsageError, match='2007_000032.xml can not be read as XML'):
        build()
    for option in (dict(difficult='no'), dict(unknown='no')):
        with pytest.raises(UsageError, match="='no' is unknown"):
            build(**option, lazy_init=True)


@pytest.mark.data
@pytest.mark.skipif(
    not LABEL_SETS.is_file(), reason=f'needs {LABEL_SETS.name} in shared/label_sets'
)
@pytest.mark.parametrize(
    ('policy', 'first'),
    [
        # As difficult objects are no labels in the published order.
        ('negative', 'person car chair dog cat bird horse train tvmonitor'),
        ('positive', 'person car chair dog sofa cat bird horse tvmonitor'),
    ],
)
def test_frequency_order_of_voc_2007_trainval(policy, first, tmp_path):
    truth = json.loads(LABEL_SETS.read_text())
    classes = truth['classes']
    images = truth['train'] | truth['val']
    texts = {
        image_id: annotation(
            *(thing(classes[label], 0) for label in one['labels']),
            *(thing(classes[label], 1) for label in one['difficult']),
        )
        for image_id, one in images.items()
    }
    root = write_voc(tmp_path, texts, 'trainval')
    dataset = VOCMultiLabel(str(root), split='trainval', difficult=policy)
    labels, _ = read_labels(dataset)
    counts = np.bincount(np.concatenate(labels), minlength=20)
    wanted = Counter(
        label
        for one in images.values()
        for label in one['labels'] + (one['difficult'] if policy == 'positive' else [])
    )
    assert counts.tolist() == [wanted[label] for label in range(20)]
    order = OrderLabels('frequent_first')
    order.fit(counts, classes)
    assert ' '.join(classes[label] for label in order.sequence[:9]) == first
