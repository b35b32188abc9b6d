# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The benchmark of dataset loading: both ways read what was written and find the same order."""

import json
from collections import Counter
from pathlib import Path

import pytest

from cnnrnn_mm.datasets import NUSWide
from cnnrnn_mm.errors import UsageError

FOLDER = Path(__file__).resolve().parents[1] / 'tools' / 'benchmarks'


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


def test_drawn_label_sets_are_of_the_real_sets_size():
    from nus_wide_folder import draw_label_sets

    classes, labels = draw_label_sets(0, 20000)
    assert len(classes) == 81 and len(labels) == 20000
    assert all(one == sorted(set(one)) and one and max(one) < 81 for one in labels)
    assert 2.0 < sum(map(len, labels)) / len(labels) < 3.0
    assert draw_label_sets(0, 50) == draw_label_sets(0, 50) != draw_label_sets(1, 50)


def test_files_are_read_as_they_were_drawn(tmp_path):
    from dataset_loading_row import PlainDataset, measure
    from nus_wide_folder import draw_label_sets, write_nus_wide

    classes, labels = draw_label_sets(0, 500)
    paths = write_nus_wide(tmp_path, classes, labels)
    ours = NUSWide(str(tmp_path), split='all', missing='ignore')
    plain = PlainDataset('', data_root=str(tmp_path))
    for data in (ours, plain):
        assert list(data.metainfo['classes']) == classes
        infos = [data.get_data_info(row) for row in range(len(data))]
        assert [info['gt_label'] for info in infos] == labels
        assert [info['img_path'] for info in infos] == [
            str(tmp_path / 'Flickr' / path) for path in paths
        ]

    counts = Counter(label for one in labels for label in one)
    frequent_first = sorted(range(81), key=lambda label: (-counts[label], label))
    for row in ('ours', 'plain'):
        found = measure(row, str(tmp_path))
        assert found['order'] == frequent_first
        assert list(found['steps']) == ['start', 'count and order']
        for figures in found['steps'].values():
            assert figures['wall'] > 0 and figures['peak'] >= figures['after']


def test_memory_at_its_peak_and_after(tmp_path):
    from dataset_loading_row import Steps

    step = Steps()
    step('peak', lambda: len(b'x' * 300 * 2**20))
    step('after', lambda: None)
    assert 290 < step.found['peak']['peak'] < 400
    assert step.found['peak']['after'] < 100
    assert step.found['after']['peak'] < 100


def test_the_tool(tmp_path, monkeypatch, capsys):
    import dataset_loading
    import dataset_loading_row

    monkeypatch.setattr(dataset_loading, '_measure', dataset_loading_row.measure)
    label_sets = tmp_path / 'sets.json'
    label_sets.write_text(json.dumps({'classes': ['a', 'b'], 'labels': [[0, 1], [1], []]}))
    out = tmp_path / 'new' / 'figures.json'
    options = ['--label-sets', str(label_sets), '--photos', '--out', str(out)]
    dataset_loading.main(options)
    assert '3 images, 2 classes' in capsys.readouterr().out
    rows = json.loads(out.read_text())['rows']
    assert list(rows) == ['ours', 'images', 'plain']
    assert all(row['order'] == [1, 0] for row in rows.values())

    other = {'steps': {}, 'order': [0, 1]}
    monkeypatch.setattr(
        dataset_loading,
        '_measure',
        lambda row, folder: other if row == 'plain' else dataset_loading_row.measure(row, folder),
    )
    with pytest.raises(RuntimeError, match='not find the same label order'):
        dataset_loading.main(options)


def test_wrong_label_sets(tmp_path):
    from nus_wide_folder import read_label_sets

    (tmp_path / 'a.json').write_text('[]')
    for name in ('a.json', 'nowhere.json'):
        with pytest.raises(UsageError, match=f'{name} is no file .*leave out --label-sets'):
            read_label_sets(str(tmp_path / name))
