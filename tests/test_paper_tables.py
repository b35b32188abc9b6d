# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The paper's tables on a few small photos: figures, resuming, failures."""

import io
import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from rich.console import Console
from sklearn.metrics import average_precision_score, precision_recall_fscore_support
from tiny_run import CLASSES, ROOT, TRAIN, VAL, write_config

from cnnrnn_mm.apis import extract_features

FOLDER = ROOT / 'tools' / 'benchmarks'
OPTIONS = ['--rows', 'bce', 'cnn-rnn', '--k', 2, 3, '--seeds', 4]
#: A frozen backbone with weights from a file, some learning, and no dropout.
EXTRA = """
backbone = dict(model['backbone'], init_cfg=dict(type='Pretrained', checkpoint={checkpoint!r}))
model['backbone'] = dict(type='cnnrnn_mm.Frozen', module=backbone)
model['head'].update(dropout=0.0, postprocessor=dict(beam_size=3))
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.02))
for loader in (train_dataloader, val_dataloader):
    loader['dataset']['serialize_data'] = False  # saves a slow garbage collection each time
"""


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture(scope='module')
def config(voc_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp('tables')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL * 3})
    weights = str(folder / 'backbone.pth')
    config = write_config(root, folder / 'tiny.py', EXTRA.format(checkpoint=weights))
    module = Config.fromfile(config).model.backbone.module
    torch.save(MODELS.build({**module, 'init_cfg': None}).state_dict(), weights)
    return config


@pytest.fixture(scope='module')
def made(config, tmp_path_factory):
    """A folder with two rows' results, and what was printed."""
    out = tmp_path_factory.mktemp('made') / 'out'
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        status, shown = run(
            config, *OPTIONS, '--published', 'coco', '--dump-predictions', '--out', out
        )
    assert status == 0
    return out, shown


@pytest.fixture
def out(made, tmp_path):
    """A copy of the folder."""
    return shutil.copytree(made[0], tmp_path / 'out')


def run(*arguments):
    """The exit status and what was printed."""
    import paper_tables

    console = Console(file=io.StringIO(), width=200)
    status = paper_tables.main(list(map(str, arguments)), console)
    return status, console.file.getvalue()


def results_of(out):
    return json.loads((out / 'results.json').read_text())


def lines_of(out, k):
    (table,) = (one for one in results_of(out)['configs'][0]['tables'] if one['k'] == k)
    return {(one['method'], one['protocol'], one['source']): one for one in table['lines']}


def no_training(monkeypatch):
    def train(self):
        raise AssertionError('a training was made again')

    monkeypatch.setattr(Runner, 'train', train)


def sets_of(labels):
    marks = np.zeros((len(labels), len(CLASSES)), dtype=int)
    for row, one in zip(marks, labels, strict=True):
        row[[int(label) for label in one]] = 1
    return marks


def recompute(pred, true):
    """The six figures in percent, by scikit-learn."""
    found = {}
    for letter, average in (('C', 'macro'), ('O', 'micro')):
        p, r, _, _ = precision_recall_fscore_support(true, pred, average=average, zero_division=0)
        f1 = 2 * p * r / (p + r) if p + r else 0.0
        found.update({f'{letter}-P': p, f'{letter}-R': r, f'{letter}-F1': f1})
    return {name: 100 * value for name, value in found.items()}


def map_at_10(rankings, true):
    """By hand; rankings hold all four labels, so none is cut."""
    values = []
    for ranking, labels in zip(rankings, true, strict=True):
        hits, total = 0, 0.0
        for place, label in enumerate(ranking, 1):
            if label in labels:
                hits += 1
                total += hits / place
        if labels:
            values.append(total / len(labels))
    return 100 * np.mean(values)


def ranking(sample, with_path):
    order = sorted(range(4), key=lambda label: (-float(sample['pred_score'][label]), label))
    path = sample['pred_label'].tolist() if with_path else []
    return path + [label for label in order if label not in path]


def test_figures_are_those_of_the_predictions(made):
    out, shown = made
    for k in (2, 3):
        lines = lines_of(out, k)
        assert len(lines) == 4 + 5 * (k == 3)  # the paper's are of k = 3
        for (method, protocol, source), line in lines.items():
            if source == 'published':
                continue
            row = {'binary CE': 'bce', 'CNN-RNN': 'cnn-rnn'}[method]
            with_path = 'path' in protocol
            name = protocol.removeprefix('path, ').replace(' ', '-') if with_path else 'scores'
            assert protocol.endswith(f' {k}') if with_path else protocol == f'{k} best scores'
            path = out / 'tiny' / row / 'seed4' / f'{name}.pkl'
            samples = pickle.loads(path.read_bytes())
            assert len(samples) == 12
            true = [one['gt_label'].tolist() for one in samples]
            pred = [
                one['pred_label'].tolist() if with_path else ranking(one, False)[:k]
                for one in samples
            ]
            assert all(len(one) <= k if 'at most' in protocol else len(one) == k for one in pred)
            wanted = recompute(sets_of(pred), sets_of(true))
            wanted['MAP@10'] = map_at_10([ranking(one, with_path) for one in samples], true)
            if not with_path:
                scores = np.stack([one['pred_score'].numpy() for one in samples])
                wanted['mAP'] = 100 * average_precision_score(sets_of(true), scores)
            found = {key: cell['mean'] for key, cell in line['cells'].items() if cell}
            assert found == pytest.approx(wanted, abs=1e-4), (method, protocol)
            assert line['seeds'] == [4] and not line['errors']
            text = ' '.join(f'{wanted[key]:.1f}' for key in ('C-P', 'C-R', 'C-F1', 'O-P'))
            assert text in ' '.join(shown.split())


def test_published_lines_are_marked(made):
    out, shown = made
    markdown = (out / 'table.md').read_text()
    assert '| CNN-RNN | path, exactly 3 | measured, 1 seed |' in markdown
    assert '| *CNN-RNN* | *k = 3* | *published* | *66.0* | *55.6* | *60.4* |' in markdown
    assert '| *WARP* | *k = 3* | *published* |' in markdown  # of the paper alone
    first, second = markdown.split('k = 3, val\n')
    assert 'published*' not in first and 'COCO, val2014, k = 3. Wang' in second
    assert shown.count('published ') == 5 and 'CVPR 2016' in shown
    results = results_of(out)
    assert {'date', 'command', 'versions', 'machine', 'git'} <= results['run'].keys()
    assert results['options']['seeds'] == [4] and not results['failed']
    config = results['configs'][0]
    assert (config['data']['train']['images'], config['data']['evaluated']['images']) == (12, 12)
    for one in config['runs']:
        assert one['training']['cpu_seconds'] > 0 and 'versions' in one['training']


def test_data_without_published_figures_says_so(config, out, monkeypatch):
    no_training(monkeypatch)
    assert run(config, *OPTIONS, '--out', out)[0] == 0
    text = (out / 'table.md').read_text()
    assert 'published*' not in text and 'there are no published lines' in text


def test_average_precision_of_classes(config, out, monkeypatch):
    no_training(monkeypatch)
    assert run(config, *OPTIONS, '--published', 'voc2007', '--out', out)[0] == 0
    *_, table = results_of(out)['configs'][0]['tables']
    metrics = {
        one['row']: one['evaluations']['scores']['metrics']
        for one in results_of(out)['configs'][0]['runs']
    }
    ours, theirs, paper = table['lines']
    for line, row in ((ours, 'bce'), (theirs, 'cnn-rnn')):
        found = [line['cells'][name]['mean'] for name in CLASSES]
        assert found == metrics[row]['ranking/AP_11points_classwise']
        assert line['cells']['mAP']['mean'] == pytest.approx(np.mean(found))
    assert [paper['cells'][name]['mean'] for name in CLASSES] == [82.1, 94.2, 92.4, 93.7]
    text = (out / 'table.md').read_text()
    assert '| method | labels of an image | figures | mAP | bus | cat | dog | person |' in text
    assert '| *CNN-RNN* | *scores* | *published* | *84.0* | *82.1* | *94.2* |' in text


def test_finished_runs_are_not_made_again(config, out, monkeypatch):
    before = {k: lines_of(out, k) for k in (2, 3)}
    no_training(monkeypatch)
    command = [config, *OPTIONS, '--published', 'coco', '--out', out]
    shown = run(*command)[1]
    assert '2 runs, 2 of them finished before' in shown
    assert {k: lines_of(out, k) for k in (2, 3)} == before
    # Another k is evaluated with the weights that were kept, and the others stay.
    status, shown = run(*command, '--k', 1, 2)
    assert status == 0 and '2 runs, 0 of them finished before' in shown
    assert lines_of(out, 2) == before[2] and len(lines_of(out, 1)) == 4
    (checkpoint,) = (out / 'tiny' / 'cnn-rnn' / 'seed4').glob('*.pth')
    weights = torch.load(checkpoint, weights_only=True)['state_dict']
    assert weights and all(name.startswith('head.') for name in weights)


def test_weights_that_were_kept_predict_the_same(config, out, monkeypatch):
    before = lines_of(out, 2)
    for path in out.glob('tiny/*/seed4/record.json'):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, 'evaluations': {}}))
    no_training(monkeypatch)
    weights = Path(config).with_name('backbone.pth')
    content = weights.read_bytes()
    torch.save({key: value + 1 for key, value in torch.load(weights).items()}, weights)
    status, shown = run(config, *OPTIONS, '--out', out)
    weights.write_bytes(content)
    assert status == 1 and 'other weights of the backbone' in shown and 'remove that' in shown
    assert run(config, *OPTIONS, '--out', out)[0] == 0
    assert lines_of(out, 2) == before


@pytest.mark.parametrize(
    'options',
    [['--seeds', 5], ['--cfg-options', 'model.head.embed_dims=4'], ['changed data']],
    ids=['seed', 'option', 'data'],
)
def test_what_decides_the_weights_is_trained_anew(config, out, monkeypatch, options):
    no_training(monkeypatch)
    listed = Path(config).parent / 'voc' / 'ImageSets' / 'Main' / 'train.txt'
    text = listed.read_text()
    try:
        if options == ['changed data']:
            listed.write_text('\n'.join(text.split()[:-1]) + '\n')
            options = []
        status, shown = run(config, *OPTIONS, '--rows', 'cnn-rnn', *options, '--out', out)
    finally:
        listed.write_text(text)
    assert status == 1 and 'AssertionError: a training was made again' in shown


def test_a_row_that_fails_leaves_the_others(config, out, tmp_path):
    own = tmp_path / 'my_row.py'
    own.write_text("title = 'mine'\nmodel = dict(head=dict(_delete_=True, type='NoSuchHead'))\n")
    command = [config, *OPTIONS, '--rows', own, 'bce', '--out', out]
    status, shown = run(*command)
    assert status == 1 and 'my_row, seed 4 failed' in shown and 'NoSuchHead' in shown
    assert 'Traceback' not in shown
    lines = lines_of(out, 2)
    failed = lines['mine', '2 best scores', 'measured']
    assert list(failed['errors']) == ['4'] and set(failed['cells'].values()) == {None}
    assert lines['binary CE', '2 best scores', 'measured']['cells']['O-F1']['mean'] > 0
    assert list(results_of(out)['failed']) == ['tiny, my_row, seed 4']
    assert 'measured, 0 seeds, 1 failed' in (out / 'table.md').read_text()
    own.write_text((FOLDER / 'tables' / 'rows' / 'warp.py').read_text())
    assert run(*command)[0] == 0
    assert lines_of(out, 2)['WARP', '2 best scores', 'measured']['seeds'] == [4]


def test_learning_rates_are_compared(config, tmp_path):
    out = tmp_path / 'out'
    command = [config, '--rows', 'softmax', '--seeds', 0, '--k', 2, '--out', out]
    status, shown = run(*command, '--lr-factors', 1, 3)
    assert status == 0 and 'learning-rate factors' in shown
    (table,) = results_of(out)['configs'][0]['tables']
    (line,) = table['tuning']
    for one in results_of(out)['configs'][0]['runs']:
        found = one['evaluations']['scores']['metrics']
        wanted = (found['label-set/C-F1_top2'] + found['label-set/O-F1_top2']) / 2
        assert line['cells'][f'{one["lr_factor"]:g}']['mean'] == pytest.approx(wanted)
    rates = {}
    for path in (out / 'tiny' / 'softmax' / 'seed0').glob('lr_x*/*/vis_data/scalars.json'):
        rates[path.parents[2].name] = json.loads(path.read_text().splitlines()[0])['lr']
    assert rates == pytest.approx({'lr_x1': 0.02, 'lr_x3': 0.06})
    assert (out / 'tuning.md').is_file() and not (out / 'table.md').exists()


def test_cached_features_give_the_same_table(config, made, tmp_path):
    features = tmp_path / 'features'
    for split in ('train', 'val'):
        extract_features(Config.fromfile(config), split, features)
    out = tmp_path / 'out'
    status, shown = run(config, *OPTIONS, '--features', features, '--out', out)
    assert status == 0, shown
    for k in (2, 3):
        images, cached = lines_of(made[0], k), lines_of(out, k)
        for key, line in cached.items():
            for name, cell in line['cells'].items():
                other = images[key]['cells'][name]
                assert other == cell or other['mean'] == pytest.approx(cell['mean'], abs=1e-3)
    assert f'features cached in {features}' in (out / 'table.md').read_text()


@pytest.mark.slow
def test_trainings_in_processes_of_their_own(config, made, tmp_path):
    command = [config, *OPTIONS, '--rows', 'bce', '--jobs', 2, '--out', tmp_path]
    assert run(*command)[0] == 0
    for k in (2, 3):
        alone = lines_of(tmp_path, k)
        assert alone == {key: lines_of(made[0], k)[key] for key in alone} != {}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--k', 5], '--k is 5, but .* has 4 labels'),
        (['--rows', 'sigmoid'], "no row 'sigmoid': choose from softmax, warp"),
        (['--rows', 'bce', FOLDER / 'tables' / 'rows' / 'bce.py'], 'two rows have one name'),
        (['--published', 'coco2014'], 'choose from auto, none, coco'),
        (['--features', 'nowhere'], 'no features of train and val in nowhere'),
    ],
)
def test_usage_errors(config, tmp_path, capsys, options, message):
    command = [config, '--k', 2, '--seeds', 0, '--rows', 'bce', *options]
    with pytest.raises(SystemExit, match='2'):
        run(*command, '--out', tmp_path / 'out')
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_configs_that_are_refused(config, tmp_path, capsys):
    linear, same = tmp_path / 'linear.py', tmp_path / 'b' / 'tiny.py'
    linear.write_text(
        f"_base_ = ['{config}']\nmodel = dict(head=dict(_delete_=True, "
        "type='MultiLabelLinearClsHead', num_classes=4, in_channels=32))\n"
    )
    bare = tmp_path / 'bare.py'
    bare.write_text(f"_base_ = ['{config}']\nval_dataloader = None\n")
    same.parent.mkdir()
    same.write_text(f"_base_ = ['{config}']\n")
    for arguments, message in (
        ([linear], 'has no CNNRNNHead'),
        ([tmp_path / 'none.py'], 'none.py does not exist'),
        ([config, same], "two configs are called 'tiny'"),
        ([bare, '--split', 'val'], 'bare.py has no val: it has test'),
    ):
        with pytest.raises(SystemExit, match='2'):
            run(*arguments, '--k', 2, '--out', tmp_path / 'out')
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    'options',
    [['--k', '0'], ['--jobs', '0'], ['--lr-factors', '0'], ['--features', 'a', 'b']],
)
def test_wrong_options(options):
    import paper_tables

    with pytest.raises(SystemExit, match='2'):
        paper_tables.parse_args(['config.py', *options])
