# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The paper's figures, and the lines of a table from records."""

import pytest
from mmengine.config import Config
from tiny_run import ROOT

FOLDER = ROOT / 'tools' / 'benchmarks'
CONFIGS = ROOT / 'configs'


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


def make_record(value, k=3, paths=False):
    """A record whose figures are all different: value, value + 1, ..."""
    from tables.protocols import lines

    evaluations = {}
    for shift, line in enumerate(lines(paths, k)):
        metrics = {key: value + 10 * shift + n for n, key in enumerate(line.metrics.values())}
        evaluations[line.decoding] = dict(metrics=metrics)
    return dict(evaluations=evaluations)


def row(name, published=None, factor=1.0):
    from tables.row import Row

    return Row(name, name.upper(), published, factor)


def cells_of(line, *names):
    return [line['cells'][name] for name in names]


def test_f1_of_the_paper_is_harmonic():
    """The mean of P and R as rounded in the paper is within their rounding of its F1."""
    from tables.published import known_sets

    off = []
    for one in known_sets().values():
        for figures in one.rows:
            for letter in 'CO':
                p, r = figures[f'{letter}-P'], figures[f'{letter}-R']
                if abs(2 * p * r / (p + r) - figures[f'{letter}-F1']) > 0.15:
                    off.append((one.name, figures['method'], f'{letter}-F1'))
    assert off == [('coco', 'no RNN', 'O-F1')]
    assert '64.7' in known_sets()['coco'].note  # said where it is shown


def test_mean_of_the_papers_average_precisions():
    from mmpretrain.datasets.categories import VOC2007_CATEGORIES
    from tables.published import known_sets

    (figures,) = known_sets()['voc2007'].average_precision
    assert set(figures['classes']) == set(VOC2007_CATEGORIES)
    assert sum(figures['classes'].values()) / 20 == pytest.approx(figures['mAP'], abs=0.05)


@pytest.mark.parametrize(
    ('config', 'split', 'name'),
    [
        ('cnnrnn_vgg16_coco', 'test', 'coco'),
        ('cnnrnn_convnext_coco', 'test', 'coco'),
        ('cnnrnn_vgg16_nuswide81', 'test', 'nus81'),
        ('cnnrnn_vgg16_nuswide1000', 'test', 'nus1000'),
        ('cnnrnn_vgg16_voc', 'test', 'voc2007'),
        ('cnnrnn_vgg16_voc_val', 'val', None),
        ('cnnrnn_vgg16_voc2012', 'test', None),
        ('cnnrnn_mobilenetv2_corel5k', 'val', None),
    ],
)
def test_only_the_papers_split_is_set_beside_it(config, split, name):
    from tables.published import find_set

    cfg = Config.fromfile(CONFIGS / f'{config}.py')
    found = find_set(cfg, split)
    assert (None if found is None else found.name) == name
    if name is not None:  # a part of the classes or of the images is another set
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset['metainfo'] = dict(classes=['dog'])
        assert find_set(cfg, split) is None
        del dataset['metainfo']
        dataset['indices'] = 100
        assert find_set(cfg, split) is None


def test_mean_and_deviation():
    from tables.summary import spread

    assert spread([1.0, 2.0, 6.0]) == dict(mean=3.0, deviation=pytest.approx(7**0.5))
    assert spread([4.0]) == dict(mean=4.0, deviation=None)
    assert spread([]) is None


def test_lines_of_rows_with_and_without_paths():
    from tables.summary import make_table

    rows, seeds = [row('flat'), row('path', factor=2.0)], [0, 1]
    records = {('flat', seed, 1.0): make_record(20 + 2 * seed) for seed in seeds}
    records.update({('path', seed, 2.0): make_record(60, paths=True) for seed in seeds})
    found = make_table(rows, seeds, dict(flat=False, path=True), records, 3, None)
    assert [(one['method'], one['protocol']) for one in found] == [
        ('FLAT', '3 best scores'),
        ('PATH', 'path, at most 3'),
        ('PATH', 'path, exactly 3'),
        ('PATH', '3 best scores'),
    ]
    assert cells_of(found[0], 'C-P', 'mAP') == [
        dict(mean=21, deviation=pytest.approx(2**0.5)),
        dict(mean=28, deviation=pytest.approx(2**0.5)),
    ]
    means = [
        [cell and cell['mean'] for cell in cells_of(one, 'C-P', 'MAP@10', 'mAP')] for one in found
    ]
    assert means[1:] == [[60, 66, None], [70, 76, None], [80, 86, 87]]


def test_failed_seeds_are_left_out_and_named():
    from tables.summary import make_table

    records = {('flat', 0, 1.0): make_record(20), ('flat', 1, 1.0): dict(error='out of luck')}
    (line,) = make_table([row('flat')], [0, 1], dict(flat=False), records, 3, None)
    assert line['cells']['C-P'] == dict(mean=20, deviation=None)
    assert (line['seeds'], line['errors']) == ([0], {'1': 'out of luck'})


def test_published_lines_stand_behind_their_row_and_only_for_their_k():
    from tables.published import known_sets
    from tables.summary import make_table

    rows = [row('warp', 'WARP'), row('mine')]
    for k, count in ((3, 2 + 3), (5, 2)):
        records = {(one.name, 0, 1.0): make_record(20, k) for one in rows}
        paths = dict(warp=False, mine=False)
        found = make_table(rows, [0], paths, records, k, known_sets()['nus81'])
        shown = [(one['method'], one['source']) for one in found]
        assert len(shown) == count
        if k == 3:
            assert shown == [
                ('WARP', 'measured'),
                ('WARP', 'published'),
                ('MINE', 'measured'),
                ('softmax', 'published'),
                ('CNN-RNN', 'published'),
            ]
            assert cells_of(found[1], 'O-F1', 'MAP@10', 'mAP') == [
                dict(mean=53.9, deviation=None),
                None,
                None,
            ]


def test_average_precision_of_classes_beside_the_papers():
    from tables.published import known_sets
    from tables.summary import class_precision

    metrics = {'ranking/mAP_11points': 50.0, 'ranking/AP_11points_classwise': [40.0, None]}
    records = {
        ('flat', seed, 1.0): dict(evaluations=dict(scores=dict(metrics=metrics))) for seed in (0, 1)
    }
    found = class_precision(
        [row('flat')], [0, 1], records, ['person', 'sofa'], known_sets()['voc2007']
    )
    assert cells_of(found[0], 'mAP', 'person', 'sofa') == [
        dict(mean=50, deviation=0),
        dict(mean=40, deviation=0),
        None,
    ]
    assert (found[1]['source'], found[1]['cells']['sofa']['mean']) == ('published', 75.3)


def test_tuning_compares_sets_of_exactly_k():
    from tables.summary import make_tuning

    rows, factors = [row('flat'), row('path')], [0.5, 1.0]
    records = {('flat', 0, factor): make_record(10 * factor) for factor in factors}
    records.update({('path', 0, factor): make_record(50, paths=True) for factor in factors})
    records['flat', 0, 0.5] = dict(error='out of luck')
    found = make_tuning(rows, factors, [0], dict(flat=False, path=True), records, 3)
    assert found[0]['cells'] == {0.5: None, 1.0: dict(mean=10 + (2 + 5) / 2, deviation=None)}
    assert found[0]['errors'] == {'0.5, 0': 'out of luck'}
    assert found[1]['cells'][1.0]['mean'] == 60 + (2 + 5) / 2  # the path of exactly 3


def test_rows_change_head_and_rate_and_nothing_else():
    from tables.row import ROWS, apply_row, has_paths, load_row

    cfg = Config.fromfile(CONFIGS / 'cnnrnn_mobilenetv2_corel5k.py')
    kinds = {}
    for name in ROWS:
        found = apply_row(cfg, load_row(name), lr_factor=3.0)
        assert found.optim_wrapper.optimizer.lr == pytest.approx(3e-4)
        assert found.model.head.num_classes == 260 and found.model.head.in_channels == 1280
        kinds[name] = (found.model.head.type.split('.')[-1], has_paths(found))
        found.model.head = cfg.model.head
        found.optim_wrapper.optimizer.lr = cfg.optim_wrapper.optimizer.lr
        assert found.to_dict() == cfg.to_dict(), name
    assert kinds == {
        'softmax': ('LinearLabelHead', False),
        'warp': ('LinearLabelHead', False),
        'bce': ('MultiLabelLinearClsHead', False),
        'no-rnn': ('CNNRNNHead', True),
        'cnn-rnn': ('CNNRNNHead', True),
    }


def test_row_without_a_rate_to_multiply(tmp_path):
    from tables.row import apply_row, load_row

    from cnnrnn_mm.errors import UsageError

    cfg = Config.fromfile(CONFIGS / 'cnnrnn_mobilenetv2_corel5k.py')
    del cfg.optim_wrapper.optimizer['lr']
    with pytest.raises(UsageError, match='row bce: .* has no lr to multiply'):
        apply_row(cfg, load_row('bce'))
    path = tmp_path / 'mine.py'
    path.write_text('lr_factor = -1\n')
    with pytest.raises(UsageError, match='mine.py: lr_factor is -1: set it above 0'):
        load_row(str(path))
