# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""tools/label_neighbors.py and the files that it writes."""

import csv
import json

import pytest
import torch
from forked_tool import run_forked
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image
from tiny_run import CLASSES, ROOT, TRAIN, VAL, load_config

from cnnrnn_mm.apis import load_trained_model
from cnnrnn_mm.apis.joint_embedding import JointEmbedding
from cnnrnn_mm.apis.label_neighbors import neighbor_lift
from cnnrnn_mm.errors import UsageError

TOOL = ROOT / 'tools' / 'label_neighbors.py'


@pytest.fixture
def checkpoint(voc_folder, tmp_path):
    """A model of a tiny config, as a run saves it."""
    cfg = load_config(voc_folder(tmp_path / 'voc', {'train': TRAIN, 'val': VAL}), tmp_path)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    path = tmp_path / 'tiny.pth'
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


def read_csv(path):
    with path.open(newline='', encoding='utf-8') as file:
        return list(csv.reader(file))


def test_tables_files_and_map(checkpoint, tmp_path):
    photos, out = tmp_path / 'voc' / 'JPEGImages', tmp_path / 'out'
    bad = tmp_path / 'bad.jpg'
    bad.write_text('no picture')
    done = run_forked(
        *(TOOL, checkpoint, '--photos', photos, bad, '--labels', 'dog', 'cat', '-k', 2),
        *('--lift', 'train', 'val', '--out-dir', out, '--device', 'cpu'),
    )
    assert done.returncode == 0, done.stderr
    for words in ('Nearest labels of each photo', 'together? val: 4 images', 'bad.jpg'):
        assert words in done.stdout
    assert {one.name for one in out.iterdir()} == {
        'neighbors.json',
        'nearest_labels.csv',
        'nearest_photos.csv',
        'nearest_photos_of_labels.csv',
        'label_map.png',
    }
    embedding = JointEmbedding(load_trained_model(checkpoint, device='cpu'))
    files = sorted(str(one) for one in photos.iterdir())
    vectors = embedding.read_photos(files).vectors
    report = json.loads((out / 'neighbors.json').read_text())
    assert [one['label'] for one in report['labels']] == ['dog', 'cat']
    assert [one['photo'] for one in report['photos']] == files
    assert [one['photo'] for one in report['unreadable']] == [str(bad)]
    rows = read_csv(out / 'nearest_photos_of_labels.csv')
    assert rows[0] == ['label', 'rank', 'nearest_photo', 'score'] and len(rows) == 1 + 2 * 2
    expected = embedding.nearest_photos('dog', vectors, 2)
    assert [row[:3] for row in rows[1:3]] == [
        ['dog', str(rank), files[one.id]] for rank, one in enumerate(expected, start=1)
    ]
    rows = read_csv(out / 'nearest_photos.csv')
    best = embedding.nearest_labels(vectors[0], 1)[0]
    assert rows[1][:3] == [files[0], '1', CLASSES[best.id]]
    assert float(rows[1][3]) == pytest.approx(best.closeness, rel=1e-4)
    assert report['lift']['train']['images'] == len(TRAIN)
    assert len(report['map']['points']) == len(CLASSES)
    with Image.open(out / 'label_map.png') as picture:
        assert min(picture.size) > 500


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--labels', 'dig'), "label 'dig' is not among the 4 classes: do you mean dog?"),
        (('--lift', 'test', '--photos', 'nowhere/*.jpg'), 'pattern nowhere/*.jpg has no photos'),
        (('--space', 'classifier'), 'LabelDecoder has no classifier space'),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(checkpoint, tmp_path, arguments, message):
    out = tmp_path / 'out'
    done = run_forked(TOOL, checkpoint, *arguments, '--out-dir', out, '--device', 'cpu')
    assert done.returncode == 2
    assert done.stderr.startswith('error: ') and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(out.iterdir()) == []


def test_lift_reads_the_annotations_below_cached_features_and_checks_the_classes(checkpoint):
    trained = load_trained_model(checkpoint, device='cpu')
    embedding = JointEmbedding(trained)
    expected = neighbor_lift(embedding, trained.cfg, 'train', k=2)
    cfg = Config(trained.cfg.to_dict())
    cfg.train_dataloader.dataset = dict(
        type='cnnrnn_mm.FeatureDataset', features='gone', dataset=cfg.train_dataloader.dataset
    )
    assert neighbor_lift(embedding, cfg, 'train', k=2) == expected
    cfg.val_dataloader.dataset.metainfo = dict(classes=['a', 'b', 'c', 'd'])
    with pytest.raises(UsageError, match="split 'val' has other classes than the checkpoint"):
        neighbor_lift(embedding, cfg, 'val')
    cfg.test_dataloader = None
    with pytest.raises(UsageError, match="no split 'test'"):
        neighbor_lift(embedding, cfg, 'test')
