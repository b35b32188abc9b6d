# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""RLSD beside models without regions: its rows, recall by area, and what a step costs."""

import gc
import io
import json
import re
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from rich.console import Console
from tiny_run import CLASSES, ROOT, TRAIN, VAL, write_config

from cnnrnn_mm.apis import extract_features
from cnnrnn_mm.datasets import load_features
from cnnrnn_mm.errors import UsageError

FOLDER = ROOT / 'tools' / 'benchmarks'
#: The right and lower edges of objects that start in the corner of 32 x 32 pixels; others cover
#: the image. A cat has 3.5 % of it, a dog 25 %.
EDGES = {'cat': 6, 'dog': 16}
SIZE_OF = {'cat': 'small', 'dog': 'medium', 'bus': 'large', 'person': 'large'}
PHOTOS = [*VAL, ['cat', 'dog', 'person'], ['dog', 'person'], ['bus', 'cat'], ['person']]
EXTRA = """
backbone = dict(model['backbone'], init_cfg=dict(type='Pretrained', checkpoint={checkpoint!r}))
model['backbone'] = dict(type='cnnrnn_mm.Frozen', module=backbone)
model['neck'] = dict(
    type='cnnrnn_mm.RegionLocalizationNeck', in_channels=32, num_regions=5, sample_size=2,
    proposals=dict(type='ProposalNetwork', hidden=8),
)
model['head'] = dict(
    type='cnnrnn_mm.RLSDHead', num_classes=4, in_channels=32, embed_dims=8, hidden_dims=8,
    recurrent='gru', dropout=0.1, label_decoder=dict(type='SkipDecoder'), region_loss=None,
    marginal=dict(hidden_dims=16, dropout=0.1),
    postprocessor=dict(beam_size=3, marginal_share=0.5, constraints=dict(order='training')),
)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.02))
custom_hooks = [dict(type='EMAHook', momentum=0.1)]
for loader in (train_dataloader, val_dataloader):
    loader['dataset'].update(type='cnnrnn_mm.VOCMultiLabel', serialize_data=False)
train_dataloader['dataset'].update(boxes=True)
train_pipeline[-1] = dict(type='PackInputs', algorithm_keys=('gt_bboxes', 'gt_bboxes_labels'))
train_dataloader['dataset']['pipeline'] = train_pipeline
"""


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    prepare(monkeypatch)


def prepare(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(gc, 'collect', lambda: 0)  # the host's datasets do, and it takes a while


@pytest.fixture(scope='module')
def config(voc_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp('regions')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': PHOTOS})
    for path in (root / 'Annotations').iterdir():
        things = path.read_text().split('<object>')
        for place, text in enumerate(things):
            edge = EDGES.get(re.search('<name>(.*?)</name>', text)[1]) if place else None
            if edge is not None:
                things[place] = re.sub('(<[xy]max>)32', rf'\g<1>{edge}', text)
        path.write_text('<object>'.join(things))
    weights = str(folder / 'backbone.pth')
    config = write_config(root, folder / 'tiny.py', EXTRA.format(checkpoint=weights))
    module = Config.fromfile(config).model.backbone.module
    torch.save(MODELS.build({**module, 'init_cfg': None}).state_dict(), weights)
    for split in ('train', 'val'):
        extract_features(Config.fromfile(config), split, folder / 'features')
    return config


@pytest.fixture(scope='module')
def made(config, tmp_path_factory):
    """A folder with the results of all rows, and what was printed."""
    out = tmp_path_factory.mktemp('made') / 'out'
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch)
        status, shown = run(config, '--fast', '--small-classes', 'cat', 'dog', '--out', out)
    assert status == 0, shown
    return out, shown


def run(config, *arguments):
    """The exit status and what was printed, with one seed."""
    import regions

    features = Path(config).with_name('features')
    console = Console(file=io.StringIO(), width=200)
    fixed = [config, '--features', features, '--seeds', 4]
    status = regions.main(list(map(str, [*fixed, *arguments])), console)
    return status, console.file.getvalue()


def results_of(out):
    return json.loads((out / 'results.json').read_text())


def model_of(out, name):
    """Neck and head with the weights of the checkpoint, in evaluation mode, and maps of val."""
    folder = out / 'tiny' / name / 'seed4'
    (path,) = folder.glob('2*/vis_data/config.py')
    cfg = Config.fromfile(path)
    (path,) = folder.glob('*.pth')
    weights = torch.load(path, weights_only=True)['state_dict']
    parts = []
    for part in ('neck', 'head'):
        one = MODELS.build(cfg.model[part])
        start = f'{part}.'
        own = {k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)}
        one.load_state_dict(own)
        parts.append(one.eval())
    return *parts, load_features(Path(cfg.model.features) / 'val').features


def test_groups_by_hand():
    from comparison.areas import area_groups, class_group, group_recall

    target = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0]]).bool()
    # The limits themselves are medium; what is no label does not count, nor what has no area.
    areas = [{0: 0.049, 1: 0.05, 2: 0.01}, {1: 0.25}, {0: 0.251, 2: 1.0}, {}]
    groups = area_groups(target, areas, (0.05, 0.25))
    pairs = {name: one.nonzero().tolist() for name, one in groups.items()}
    assert pairs == dict(small=[[0, 0]], medium=[[0, 1], [1, 1]], large=[[2, 0], [2, 2]])
    groups['b'] = class_group(target, ['a', 'b', 'c'], ['b'])
    groups['none'] = torch.zeros_like(target)
    sets = torch.tensor([[1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1]]).bool()
    recall = group_recall(sets, groups)
    weights = torch.tensor([[1, 0], [1, 3], [1, 0], [1, 1]])
    found = {name: value.tolist() for name, value in recall(weights).items()}
    assert np.isnan(found.pop('none')).all() and np.isnan(found['small'].pop())
    assert np.isnan(found['large'].pop())
    assert found == dict(small=[100], medium=[50, 100], large=[50], b=[50, 100])
    with pytest.raises(UsageError, match="no class 'd': choose from a, b, c"):
        class_group(target, ['a', 'b', 'c'], ['b', 'd'])


def test_recall_is_compared_on_the_same_images():
    from comparison.areas import recall_measure
    from comparison.outputs import independent_outputs
    from comparison.paired import compare, paired_text, resample

    from cnnrnn_mm.evaluation.functional import draw_weights

    target = torch.rand(20, 4) < 0.5
    groups = dict(few=target & (torch.arange(20) < 2).unsqueeze(1), rest=target)
    groups['none'] = torch.zeros_like(target)
    measure = recall_measure(groups, 'recall', [])
    rows = [independent_outputs(target, torch.zeros_like(target), torch.randn(20, 4)) for _ in 'ab']
    drawn = [resample([one], [0.7], 60, 3, measure) for one in rows]
    (weights,) = draw_weights(20, 60, 3, 60)
    cells = compare(*drawn)
    assert cells['none'] == cells['none*'] == dict(difference=None, low=None, high=None)
    assert paired_text(cells['none']) == '-'
    assert measure.figures(rows[0], 0.7)['none'] is None
    del groups['none']
    for name, pairs in groups.items():
        for star, low in (('', 0.5), ('*', 0.7)):
            shares = []
            for one in rows:
                counts = (weights.double() * pairs.sum(1, keepdim=True)).sum(0)
                hits = (pairs & (one.scores >= low)).sum(1, keepdim=True)
                shares.append(100 * (weights.double() * hits).sum(0) / counts)
            assert torch.equal(shares[0].isnan(), drawn[0][name + star][1].isnan())
            moved = (shares[0] - shares[1])[~shares[0].isnan()].numpy()
            width = np.subtract(*np.quantile(moved, [0.975, 0.025]))
            cell = cells[name + star]
            assert cell['high'] - cell['low'] == pytest.approx(width)
    assert drawn[0]['few'][1].isnan().any() and not drawn[0]['rest'][1].isnan().any()


@pytest.mark.parametrize('name', ['linear', 'csra', 'cnn-rnn-max', 'rlsd-grid', 'rlsd-ft'])
def test_recall_is_that_of_the_outputs(made, name):
    from comparison.outputs import Outputs

    outputs = Outputs.load(made[0] / 'tiny' / name / 'seed4' / 'val.pt')
    (row,) = (one for one in results_of(made[0])['rows'] if one['row'] == name)
    cells, (model,) = row['cells']['further'], row['models']
    tuned = outputs.scores.double() >= model['figures']['threshold']
    for star, sets in (('', outputs.predicted), ('*', tuned)):
        hits = {}
        for labels, found in zip(PHOTOS, sets, strict=True):
            for label in labels:
                hit = bool(found[CLASSES.index(label)])
                hits.setdefault(SIZE_OF[label], []).append(hit)
        hits['cat + dog'] = hits['small'] + hits['medium']
        assert {name: len(one) for name, one in hits.items()} == {
            **dict(small=3, medium=3, large=7), 'cat + dog': 6
        }  # fmt: skip
        for size, one in hits.items():
            assert cells[size + star]['mean'] == pytest.approx(100 * np.mean(one))


def test_all_rows_are_in_the_tables(made):
    from comparison.regions import REGION_ROWS

    out, shown = made
    results = results_of(out)
    assert [one['row'] for one in results['rows']] == list(REGION_ROWS.default)
    assert results['missing'] == {} and results['baseline'] == 'cnn-rnn'
    others = [one for one in REGION_ROWS.default if one != 'cnn-rnn']
    assert list(results['paired']) == list(results['paired_further']) == others
    table = (out / 'table.md').read_text()
    for text in (shown, table):
        assert 'tiny, recall by area of the object, against cnn-rnn, val' in text
        assert 'small: 3, medium: 3, large: 7, cat + dog: 6' in text
    scores = {}
    for name in REGION_ROWS.default:
        from comparison.outputs import Outputs

        scores[name] = Outputs.load(out / 'tiny' / name / 'seed4' / 'val.pt').scores
    assert not torch.allclose(scores['rlsd-weak'], scores['rlsd-ft'], atol=1e-4)
    assert not torch.allclose(scores['rlsd-weak'], scores['rlsd-grid'], atol=1e-4)
    assert not torch.allclose(scores['cnn-rnn'], scores['cnn-rnn-max'], atol=1e-4)


@pytest.mark.parametrize('name', ['rlsd-grid', 'rlsd-ft'])
def test_outputs_are_those_of_the_regions(made, name):
    from comparison.outputs import Outputs

    neck, head, maps = model_of(made[0], name)
    outputs = Outputs.load(made[0] / 'tiny' / name / 'seed4' / 'val.pt')
    with torch.no_grad():
        for row in range(len(maps)):
            feats = neck((maps[[row]],))
            values = []
            for path in permutations(outputs.target[row].nonzero().flatten().tolist()):
                tokens = torch.tensor([[head.vocabulary.start, *path]])
                steps = head(feats, tokens).log_softmax(-1)[0]
                wanted = [*path, head.vocabulary.end]
                values.append(float(sum(steps[i, label] for i, label in enumerate(wanted))))
            total = np.logaddexp.reduce(values)
            assert float(outputs.log_prob[row]) == pytest.approx(total, abs=1e-4)
            marginals = head.read_images(feats)[1].sigmoid()
            shares = 2 * outputs.scores[row] - marginals[0]  # what the paths say
            assert shares.min() > -1e-5 and shares.max() < 1 + 1e-5


class Listed(list):
    """A dataloader or a dataset that is made of a list."""


def test_regions_that_come_with_the_images(default_scope):
    from comparison.evaluation import predict_split

    default_scope('mmpretrain')
    backbone = dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4)
    source = dict(type='GivenProposals')
    neck = dict(type='cnnrnn_mm.RegionLocalizationNeck', in_channels=32, proposals=source)
    head = dict(type='cnnrnn_mm.RLSDHead', num_classes=4, in_channels=32, fusion='logsumexp')
    model = MODELS.build(
        dict(type='cnnrnn_mm.RegionClassifier', backbone=backbone, neck=neck, head=head)
    )
    found = []
    for boxes in ([[0, 0, 9, 9]], [[0, 0, 9, 9]], [[5, 9, 32, 32], [0, 0, 20, 8]]):
        sample = DataSample(metainfo=dict(img_shape=(32, 32))).set_gt_label(torch.tensor([1]))
        sample.set_field(torch.tensor(boxes).float(), 'proposals')
        found.append(sample)
    image = torch.randn(3, 32, 32)

    loader = Listed([dict(inputs=[image] * 3, data_samples=found)])
    loader.dataset = Listed(found)
    loader.dataset.metainfo = dict(classes=CLASSES)
    options = dict(known_seed=0, samples=8, sample_seed=0, max_prefixes=9)
    scores = predict_split(model, loader, options).scores
    assert torch.allclose(scores[0], scores[1]) and not torch.allclose(scores[0], scores[2])


def test_rows_without_regions_are_the_config_without_them(config):
    from comparison.regions import REGION_ROWS

    cfg = Config.fromfile(config)
    before = cfg.to_dict()
    cfg.model.type, cfg.model.neck.region_neck = 'RegionClassifier', dict(type='SomeNeck')
    cfg.model.head.in_channels = 16  # of what that neck makes
    made = REGION_ROWS.config_of(cfg, REGION_ROWS.load('cnn-rnn'))
    head = {**before['model']['head'], 'type': 'cnnrnn_mm.CNNRNNHead'}
    del head['region_loss']
    head['decoder'] = head.pop('label_decoder')
    assert made.model.head.to_dict() == head and made.model.neck is None
    assert made.model.type == 'ImageClassifier' and made.custom_hooks == cfg.custom_hooks
    assert made.optim_wrapper == cfg.optim_wrapper
    linear = REGION_ROWS.config_of(cfg, REGION_ROWS.load('linear'))
    assert linear.model.head.in_channels == 32 and linear.model.neck is None
    assert cfg.model.head.type == 'cnnrnn_mm.RLSDHead' and 'label_decoder' in cfg.model.head


def test_sources_of_regions(config):
    from comparison.regions import REGION_ROWS

    cfg = Config.fromfile(config)
    heads, sources = {}, {}
    for name in ('rlsd', 'rlsd-weak', 'rlsd-ft', 'rlsd-lse', 'rlsd-grid'):
        model = REGION_ROWS.config_of(cfg, REGION_ROWS.load(name)).model
        heads[name], sources[name] = model.head, model.neck.proposals.to_dict()
        MODELS.build({**model.neck, '_scope_': 'mmpretrain'})
        MODELS.build({**model.head, '_scope_': 'mmpretrain'})
    own = dict(type='ProposalNetwork', hidden=8)
    assert [sources.pop(one) for one in ('rlsd', 'rlsd-weak', 'rlsd-ft', 'rlsd-lse')] == [own] * 4
    assert sources == {'rlsd-grid': dict(type='GridProposals')}
    assert heads['rlsd-ft'].region_loss.type == 'RegionProposalLoss'
    assert heads['rlsd-weak'].region_loss is None and heads['rlsd-lse'].fusion == 'logsumexp'
    cfg.model.neck.proposals = ConfigDict(type='cnnrnn_mm.GridProposals', levels=(2,))
    cfg.model.head.region_loss = dict(type='RegionProposalLoss', loss_weight=0.5)
    for name, wanted in (
        ('rlsd-grid', dict(type='GridProposals', levels=(2,))),
        ('rlsd-weak', dict(type='ProposalNetwork')),
    ):
        made = REGION_ROWS.config_of(cfg, REGION_ROWS.load(name)).model
        assert made.neck.proposals.to_dict() == wanted and made.head.region_loss is None
    trained = REGION_ROWS.config_of(cfg, REGION_ROWS.load('rlsd-ft')).model.head
    assert trained.region_loss.loss_weight == 0.5


def test_every_file_is_a_row():
    from comparison.regions import REGION_ROWS

    files = {path.stem.replace('_', '-') for path in REGION_ROWS.folder.glob('*.py')}
    assert files == set(REGION_ROWS.names)


def test_boxes_are_needed(config, tmp_path):
    own = Path(config).with_name('without') / 'tiny.py'
    own.parent.mkdir(exist_ok=True)
    own.write_text(f"_base_ = ['{config}']\ntrain_dataloader = dict(dataset=dict(boxes=False))\n")
    features = ['--features', Path(config).with_name('features')]
    command = ['--rows', 'rlsd-ft', 'linear', '--fast', '--out', tmp_path / 'out']
    status, shown = run(own, *command, *features)
    needs = 'rlsd-ft: not run: needs boxes=True in the training dataset'
    assert status == 0 and needs in shown and needs in (tmp_path / 'out/table.md').read_text()


def test_cost(config, tmp_path):
    status, shown = run(config, '--cost', 3, 9, '--repeats', 3, '--out', tmp_path)
    assert status == 0 and 'a training step' in shown
    rows = json.loads((tmp_path / 'cost.json').read_text())['rows']
    ways = [(one['row'], one['asked']) for one in rows]
    grid, weak = 'rlsd-grid', 'rlsd-weak'
    assert ways == [('cnn-rnn', None), (grid, 3), (weak, 3), (grid, 9), (weak, 9)]
    counts = [one['regions'] for one in rows if one['row'] != weak]
    assert counts == [1, 4, 10]  # the whole image is one more
    for one in rows:
        assert 0 < one['ms_min'] <= one['ms'] <= one['ms_max']
        assert one['memory_ratio'] == pytest.approx(one['mib'] / rows[0]['mib'])
    memory = {way: one['mib'] for way, one in zip(ways, rows, strict=True)}
    assert memory['cnn-rnn', None] < memory[grid, 3] < memory[grid, 9]
    assert memory[grid, 3] < memory[weak, 3]
    assert rows[1]['weights'] < rows[2]['weights']
    assert (tmp_path / 'cost.md').is_file() and not (tmp_path / 'results.json').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--rows', 'skip'], "no row 'skip': choose from linear, mlp, csra"),
        (['--small-classes', 'cow'], "no class 'cow': choose from bus, cat, dog, person"),
        (['--features', 'nowhere'], 'no features in nowhere'),
    ],
)
def test_usage_errors(config, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit, match='2'):
        run(config, '--rows', 'linear', *options, '--out', tmp_path / 'out')
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1 and not (tmp_path / 'out').exists()


def test_config_or_cache_without_regions(config, tmp_path, capsys):
    own = tmp_path / 'tiny.py'
    own.write_text(f"_base_ = ['{config}']\nmodel = dict(neck=None)\n")
    with pytest.raises(SystemExit, match='2'):
        run(own, '--out', tmp_path / 'out')
    assert 'has neck and head none and RLSDHead: give a config with' in capsys.readouterr().err
    pooled = "neck=dict(_delete_=True, type='GlobalAveragePooling')"
    own.write_text(f"_base_ = ['{config}']\nmodel = dict({pooled})\n")
    extract_features(Config.fromfile(own), 'train', tmp_path / 'features')
    with pytest.raises(SystemExit, match='2'):
        run(config, '--features', tmp_path / 'features', '--out', tmp_path / 'out')
    assert 'holds vectors of 32 channels, and regions are on maps' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'options',
    [
        ['--area-limits', '25', '5'],
        ['--area-limits', '0', '5'],
        ['--cost', '0', '--features', 'somewhere'],
        ['--cost'],
        ['--repeats', '0'],
    ],
)
def test_wrong_options(options):
    import regions

    with pytest.raises(SystemExit, match='2'):
        regions.parse_args(['config.py', *options])
