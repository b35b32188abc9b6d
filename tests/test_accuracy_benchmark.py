# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The comparison of models on a few small photos, and its figures on hand-worked cases."""

import gc
import io
import json
import math
import re
import shutil
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from forked_tool import server_context
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from path_sums import ids_of, path_log_prob, sets_log_probs
from rich.console import Console
from sklearn.metrics import average_precision_score, f1_score
from sklearn.neighbors import NearestNeighbors
from tiny_run import CLASSES, ROOT, TRAIN, VAL, write_config

from cnnrnn_mm.apis import extract_features
from cnnrnn_mm.datasets import load_features
from cnnrnn_mm.errors import UsageError

PHOTOS = [*VAL, ['cat', 'dog', 'person'], ['dog', 'person'], ['bus', 'cat'], ['person']]
FOLDER = ROOT / 'tools' / 'benchmarks'
ROWS = ['linear', 'mlp-ensemble', 'nearest', 'conditional-mlp', 'csra', 'paper', 'plus', 'mlp']
#: The recommended model, small, on a frozen backbone, with an average of the weights.
EXTRA = """
backbone = dict(model['backbone'], init_cfg=dict(type='Pretrained', checkpoint={checkpoint!r}))
model['backbone'] = dict(type='cnnrnn_mm.Frozen', module=backbone)
model['head'].update(
    activation='identity', decoder=dict(type='ChainDecoder'),
    marginal=dict(hidden_dims=16, dropout=0.1),
    postprocessor=dict(beam_size=3, marginal_share=0.5),
)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.02))
custom_hooks = [dict(type='EMAHook', momentum=0.1)]
for loader in (train_dataloader, val_dataloader):
    loader['dataset']['serialize_data'] = False  # saves a slow garbage collection each time
"""


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    prepare(monkeypatch)


def prepare(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(gc, 'collect', lambda: 0)  # the host's datasets do, and it takes a while


@pytest.fixture(scope='module')
def config(voc_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp('accuracy')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': PHOTOS, 'test': PHOTOS[::-2]})
    weights = str(folder / 'backbone.pth')
    config = write_config(root, folder / 'tiny.py', EXTRA.format(checkpoint=weights))
    module = Config.fromfile(config).model.backbone.module
    torch.save(MODELS.build({**module, 'init_cfg': None}).state_dict(), weights)
    for split in ('train', 'val'):
        extract_features(Config.fromfile(config), split, folder / 'features')
    return config


@pytest.fixture(scope='module')
def made(config, tmp_path_factory):
    """A folder with the results of several rows, and what was printed."""
    out = tmp_path_factory.mktemp('made') / 'out'
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch)
        status, shown = run(config, '--rows', *ROWS, '--out', out)
    assert status == 0, shown
    return out, shown


@pytest.fixture
def out(made, tmp_path):
    """A copy of the folder."""
    return shutil.copytree(made[0], tmp_path / 'out')


def run(config, *arguments):
    """The exit status and what was printed, with one seed and few samples."""
    import accuracy

    features = Path(config).with_name('features')
    fixed = ['--features', features, '--seeds', 4, '--samples', 40, '--resamples', 30]
    console = Console(file=io.StringIO(), width=200)
    status = accuracy.main(list(map(str, [config, *fixed, *arguments])), console)
    return status, console.file.getvalue()


def results_of(out):
    return json.loads((out / 'results.json').read_text())


def row_of(out, name):
    (row,) = (one for one in results_of(out)['rows'] if one['row'] == name)
    return row


def figure(out, name, key, part='figures'):
    cell = row_of(out, name)['cells'][part][key]
    return None if cell is None else cell['mean']


def outputs_of(out, name, split='val'):
    from comparison.outputs import Outputs

    folder = out / 'tiny' / name
    return Outputs.load((folder if name == 'nearest' else folder / 'seed4') / f'{split}.pt')


def no_training(monkeypatch):
    def train(self):
        raise AssertionError('a training was made again')

    monkeypatch.setattr(Runner, 'train', train)


def head_of(out, name):
    """The head with the weights of the checkpoint, and the features of val."""
    (config,) = (out / 'tiny' / name / 'seed4').glob('2*/vis_data/config.py')
    cfg = Config.fromfile(config)
    head = MODELS.build(cfg.model.head)
    (path,) = (out / 'tiny' / name / 'seed4').glob('*.pth')
    weights = torch.load(path, weights_only=True)['state_dict']
    head.load_state_dict({key[5:]: one for key, one in weights.items() if key[:5] == 'head.'})
    return head.eval(), (load_features(Path(cfg.model.features) / 'val').features,)


@pytest.mark.parametrize('name', ['linear', 'mlp-ensemble', 'nearest', 'conditional-mlp', 'plus'])
def test_figures_are_those_of_the_outputs(made, name):
    one, found = outputs_of(made[0], name), row_of(made[0], name)['models'][0]['figures']
    target, scores = one.target.numpy(), one.scores.double().numpy()
    counts = target.any(0)
    precision = [average_precision_score(*pair) for pair in zip(target.T, scores.T, strict=True)]
    assert found['mAP'] == pytest.approx(100 * np.mean(np.array(precision)[counts]), abs=1e-4)
    assert found['mAP, absent 0'] == pytest.approx(100 * np.mean(precision), abs=1e-4)
    best = max(f1_score(target, scores >= value, average='micro') for value in scores.flat)
    assert found['O-F1*'] == pytest.approx(100 * best)
    tuned = scores >= found['threshold']
    assert f1_score(target, tuned, average='micro') == pytest.approx(best)
    predicted, expected = one.predicted.numpy(), one.expected.numpy()
    plain = f1_score(target, predicted, average='micro', zero_division=0)
    assert found['O-F1'] == pytest.approx(100 * plain)
    own = predicted if name == 'plus' else tuned
    options = dict(average='samples', zero_division=1)
    assert found['example-F1'] == pytest.approx(100 * f1_score(target, own, **options))
    value = 100 * f1_score(target, expected, **options)
    assert found['example-F1, expected'] == pytest.approx(value)
    exact = (own == target).all(1)
    seen = np.array([labels_of(row) in {frozenset(photo) for photo in TRAIN} for row in target])
    assert seen.tolist() == [True, False, True, True, True, True, False, True]
    assert found['EM'] == pytest.approx(100 * exact.mean())
    assert found['EM seen'] == pytest.approx(100 * exact[seen].mean())
    assert found['EM unseen'] == pytest.approx(100 * exact[~seen].mean())


def labels_of(row):
    return frozenset(CLASSES[label] for label in row.nonzero()[0])


def test_likelihood_of_independent_labels(made):
    head, feats = head_of(made[0], 'linear')
    raw = feats[0].double() @ head.fc.weight.double().T + head.fc.bias.double()
    total = 0.0
    for row, labels in zip(raw.tolist(), PHOTOS, strict=True):
        for name, value in zip(CLASSES, row, strict=True):
            total += math.log(1 + math.exp(-value if name in labels else value))
    assert figure(made[0], 'linear', 'NLL') == pytest.approx(total / len(PHOTOS), abs=1e-4)


def test_likelihood_of_a_chain(made):
    head, feats = head_of(made[0], 'plus')
    target, order = outputs_of(made[0], 'plus').target, head.decoder.order.tolist()
    assert sorted(order) == [0, 1, 2, 3] != order
    values = []
    for row, labels in enumerate(target):
        found = sets_log_probs(head, feats, row, order)
        assert sum(map(math.exp, found.values())) == pytest.approx(1, abs=1e-5)
        values.append(found[frozenset(labels.nonzero().flatten().tolist())])
    assert figure(made[0], 'plus', 'NLL') == pytest.approx(-np.mean(values), abs=1e-4)
    assert figure(made[0], 'plus', 'NLL, lower bound') == pytest.approx(-np.mean(values), abs=1e-4)


def test_likelihood_of_a_set_is_summed_over_its_orders(made):
    head, feats = head_of(made[0], 'paper')
    values = []
    for row, labels in enumerate(outputs_of(made[0], 'paper').target):
        paths = permutations(labels.nonzero().flatten().tolist())
        values.append(np.logaddexp.reduce([path_log_prob(head, feats, row, x) for x in paths]))
    assert figure(made[0], 'paper', 'NLL') == pytest.approx(-np.mean(values), abs=1e-4)


def test_maps(config, tmp_path):
    own = tmp_path / 'maps' / 'tiny.py'
    own.parent.mkdir()
    own.write_text(f"_base_ = ['{config}']\nmodel = dict(neck=None)\n")
    features = own.with_name('features')
    for split in ('train', 'val'):
        extract_features(Config.fromfile(own), split, features)
    rows = ['csra', 'nearest', 'conditional-mlp']
    status, shown = run(own, '--rows', *rows, '--out', tmp_path, '--features', features)
    assert status == 0 and 'not run' not in shown, shown
    assert figure(tmp_path, 'csra', 'mAP') > 0
    pooled = load_features(features / 'val').features.mean((2, 3))
    assert torch.allclose(pooled, load_features(config.with_name('features') / 'val').features)


def test_averaged_weights_are_evaluated(config, made, tmp_path, monkeypatch):
    last, train = [], Runner.train

    def keep(self):
        model = train(self)
        last.append(self.model.head.fc.weight.clone())
        return model

    monkeypatch.setattr(Runner, 'train', keep)
    out = tmp_path / 'new'
    assert run(config, '--rows', 'linear', '--out', out)[0] == 0
    head, feats = head_of(out, 'linear')  # the checkpoint holds the average
    assert not torch.allclose(head.fc.weight, last[0], atol=1e-3)
    first = outputs_of(out, 'linear')
    assert torch.allclose(first.scores, head(feats).sigmoid(), atol=1e-6)
    (path,) = (out / 'tiny').glob('linear/seed4/val.pt')
    path.unlink()
    no_training(monkeypatch)
    assert run(config, '--rows', 'linear', '--out', out)[0] == 0
    again = outputs_of(out, 'linear')
    assert torch.equal(first.scores, again.scores) and torch.equal(first.logits, again.logits)
    (checkpoint,) = (out / 'tiny').glob('linear/seed4/*.pth')
    assert 'ema_state_dict' not in torch.load(checkpoint, weights_only=True)


def test_two_models_are_averaged(made):
    from comparison.outputs import Outputs

    members = [
        Outputs.load(made[0] / 'tiny' / 'mlp' / f'seed{seed}' / 'val.pt') for seed in (4, 1004)
    ]
    assert not torch.allclose(members[0].scores, members[1].scores, atol=1e-3)
    wanted = (members[0].scores + members[1].scores) / 2
    assert torch.allclose(outputs_of(made[0], 'mlp-ensemble').scores, wanted, atol=1e-6)
    present = torch.where(members[0].target, wanted, 1 - wanted).log().sum(1)
    value = figure(made[0], 'mlp-ensemble', 'NLL')
    assert value == pytest.approx(-float(present.mean()), abs=1e-4)
    seconds = figure(made[0], 'mlp', 's/epoch'), figure(made[0], 'mlp-ensemble', 's/epoch')
    assert 0 < seconds[0] < seconds[1]


def test_a_mixture_of_label_orders(config, out, tmp_path):
    own = tmp_path / 'orders.py'
    kind = "derived = dict(type='{}', of=['plus', '{}'], seeds=[0])\n"
    own.write_text(kind.format('mixture', 'plus-rare-first'))
    status, shown = run(config, '--rows', own, 'plus-rare-first', 'plus', '--out', out)
    assert status == 0 and '2 runs, 1 of them finished before' in shown
    heads, feats = zip(*(head_of(out, one) for one in ('plus', 'plus-rare-first')), strict=True)
    orders = [head.decoder.order.tolist() for head in heads]
    assert orders[0] != orders[1]
    found, values = outputs_of(out, 'orders'), []
    for row, labels in enumerate(found.target):
        members = zip(heads, feats, orders, strict=True)
        each = [sets_log_probs(*pair, row, order) for *pair, order in members]
        wanted = {one: np.logaddexp(each[0][one], each[1][one]) - math.log(2) for one in each[0]}
        assert ids_of(found.predicted[row]) == max(wanted, key=wanted.get)
        values.append(wanted[ids_of(labels)])
    assert figure(out, 'orders', 'NLL') == pytest.approx(-np.mean(values), abs=1e-4)
    assert 'Mixtures of models of paths' in table_of(out)
    facts = row_of(out, 'orders')['models'][0]['facts']
    assert facts['members'] == [['plus', 4, 1.0], ['plus-rare-first', 4, 1.0]]


@pytest.mark.parametrize(
    ('derived', 'message'),
    [
        ("type='mixture', of=['plus', 'mlp']", "mlp can't be a member of type 'mixture'"),
        ("type='ensemble', of='plus'", "plus can't be a member of type 'ensemble'"),
        ("type='mixture', of='mlp-ensemble'", "mlp-ensemble can't be a member"),
        ("type='vote', of='plus'", "derived type 'vote' is not known: choose nearest, ensemble"),
    ],
)
def test_members_that_do_not_fit(config, tmp_path, capsys, derived, message):
    own = tmp_path / 'wrong.py'
    own.write_text(f'derived = dict({derived}, seeds=[0])\n')
    with pytest.raises(SystemExit, match='2'):
        run(config, '--rows', own, '--out', tmp_path / 'out')
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1 and not (tmp_path / 'out').exists()


def test_nearest_photo(config, made):
    folder = Path(config).with_name('features')
    train, val = load_features(folder / 'train'), load_features(folder / 'val')
    neighbours = NearestNeighbors(n_neighbors=12, metric='cosine').fit(train.features.numpy())
    near = neighbours.kneighbors(val.features.numpy(), return_distance=False)
    found = outputs_of(made[0], 'nearest')
    for row, places in zip(found.predicted, near, strict=True):
        assert row.nonzero().flatten().tolist() == sorted(train.labels[places[0]])
    count = row_of(made[0], 'nearest')['models'][0]['facts']['neighbours']
    frequency = (np.bincount(np.concatenate(train.labels).astype(int)) + 0.5) / 13
    for scores, places in zip(found.scores.numpy(), near, strict=True):
        marks = [[label in train.labels[place] for label in range(4)] for place in places[:count]]
        assert scores == pytest.approx((np.sum(marks, 0) + frequency) / (count + 1), abs=1e-6)


def test_rows_that_can_not_run_say_why(config, made, tmp_path):
    assert 'csra: not run: needs feature maps' in made[1]
    assert 'csra: not run: needs feature maps.' in (made[0] / 'table.md').read_text()
    assert [one['row'] for one in results_of(made[0])['rows']] == [x for x in ROWS if x != 'csra']


def test_known_labels_reach_the_models(made):
    from comparison.known import draw_keys, reveal

    conditional = outputs_of(made[0], 'conditional-mlp')
    known, _ = reveal(conditional.target, draw_keys(8, 4, 0), '1')
    rows = known.any(1)
    assert not torch.equal(conditional.completion['1'][rows], conditional.scores[rows])
    assert torch.allclose(conditional.completion['1'][~rows], conditional.scores[~rows])
    assert outputs_of(made[0], 'linear').completion == {}
    assert set(outputs_of(made[0], 'plus').completion) == {'1', '2', 'half'}


def test_the_table_of_differences(made):
    found = results_of(made[0])['paired']
    assert set(found) == {*ROWS} - {'csra', 'mlp'}
    value = figure(made[0], 'plus', 'mAP') - figure(made[0], 'mlp', 'mAP')
    assert found['plus']['mAP']['difference'] == pytest.approx(value, abs=1e-6)
    assert 'tiny, against mlp, val' in made[1] and f'| {value:+.1f} [' in table_of(made[0])


def table_of(out):
    return (out / 'table.md').read_text()


def test_finished_runs_are_not_made_again(config, out, monkeypatch):
    before = results_of(out)
    no_training(monkeypatch)
    monkeypatch.setattr('comparison.evaluation.predict_split', None)
    status, shown = run(config, '--rows', *ROWS, '--out', out)
    assert status == 0 and '6 runs, 6 of them finished before' in shown
    after = results_of(out)
    assert after['rows'] == json.loads(
        json.dumps(before['rows']).replace(str(before['options']['out']), str(out))
    )


def test_thresholds_of_val_serve_the_test_split(config, out, tmp_path, capsys):
    with pytest.raises(SystemExit, match='2'):
        run(config, '--split', 'test', '--rows', 'linear', '--out', tmp_path / 'test')
    assert 'the test split of' in (error := capsys.readouterr().err) and 'is its val' in error
    own = Path(config).with_name('own') / 'tiny.py'
    own.parent.mkdir(exist_ok=True)
    own.write_text(f"_base_ = ['{config}']\ntest_dataloader = dict(dataset=dict(split='test'))\n")
    features = Path(config).with_name('features')
    extract_features(Config.fromfile(own), 'test', features)
    with pytest.raises(SystemExit, match='2'):
        run(own, '--split', 'test', '--rows', 'linear', '--out', out)
    assert 'holds results of val: give those of test another --out' in capsys.readouterr().err
    command = ['--features', features, '--split', 'test', '--rows', 'linear', 'nearest']
    status, shown = run(own, *command, '--out', tmp_path / 'test')
    assert status == 0 and 'tiny, test' in shown
    assert len(outputs_of(tmp_path / 'test', 'linear', 'test').target) == 4
    threshold = figure(out, 'linear', 'threshold')
    assert figure(tmp_path / 'test', 'linear', 'threshold') == pytest.approx(threshold)


def test_learning_rates_are_compared(config, tmp_path):
    from comparison.outputs import Outputs

    command = ['--rows', 'linear', 'nearest', '--lr-factors', 1, 3, '--out', tmp_path]
    status, shown = run(config, *command)
    assert status == 0 and 'learning-rate factors' in shown
    (line,) = results_of(tmp_path)['tuning']['mAP and O-F1*, mean']
    (loss,) = results_of(tmp_path)['tuning']['NLL']
    rates, losses = {}, []
    for factor in ('1', '3'):
        folder = tmp_path / 'tiny' / 'linear' / 'seed4' / f'lr_x{factor}'
        (scalars,) = folder.glob('*/vis_data/scalars.json')
        rates[factor] = json.loads(scalars.read_text().splitlines()[0])['lr']
        outputs = Outputs.load(folder / 'val.pt')
        losses.append(-float(outputs.log_prob.mean()))
        assert loss['cells'][factor]['mean'] == pytest.approx(losses[-1])
        target, scores = outputs.target.numpy(), outputs.scores.double().numpy()
        best = max(f1_score(target, scores >= value, average='micro') for value in scores.flat)
        wanted = 50 * (average_precision_score(target, scores) + best)
        assert line['cells'][factor]['mean'] == pytest.approx(wanted)
    assert rates == pytest.approx({'1': 0.02, '3': 0.06}) and losses[0] != losses[1]
    assert (tmp_path / 'tuning.md').is_file() and not (tmp_path / 'table.md').exists()


def test_a_row_that_fails_leaves_the_others(config, out, tmp_path):
    own = tmp_path / 'my_row.py'
    own.write_text("title = 'mine'\nmodel = dict(head=dict(_delete_=True, type='NoSuchHead'))\n")
    status, shown = run(config, '--rows', own, 'linear', '--out', out)
    assert status == 1 and 'my_row, seed 4 failed' in shown and 'Traceback' not in shown
    assert list(row_of(out, 'my_row')['errors']) == ['4'] and figure(out, 'linear', 'mAP') > 0


@pytest.mark.parametrize('name', ['corel5k', 'paper'])
def test_rows_of_the_paper_are_its_configs(name):
    from comparison.trainings import FOLDER as ROW_FILES
    from comparison.trainings import ROWS as NAMES
    from tables.row import apply_row, load_row

    plus, theirs = (
        Config.fromfile(ROOT / 'configs' / f'{one}_mobilenetv2_corel5k.py')
        for one in ('cnnrnn_plus', 'cnnrnn')
    )
    cfg = apply_row(plus, load_row(name, ROW_FILES, NAMES))
    head = theirs.model.head.to_dict()
    head['postprocessor']['constraints'] = dict(order='training')  # the one difference
    if name == 'paper':
        head.update(embed_dims=64, hidden_dims=512, dropout=0.5, activation='tanh')
    assert cfg.model.head == head and not cfg.custom_hooks
    given = dict(theirs.optim_wrapper)
    assert cfg.optim_wrapper == given and cfg.param_scheduler == theirs.param_scheduler
    assert cfg.train_cfg.max_epochs == theirs.train_cfg.max_epochs
    assert cfg.train_dataloader == plus.train_dataloader


def test_every_row_builds():
    import comparison.conditional_head  # noqa: F401 - registers the head
    from comparison.trainings import FOLDER as ROW_FILES
    from comparison.trainings import ROWS as NAMES
    from comparison.trainings import members_of
    from tables.row import apply_row, load_row

    assert {path.stem.replace('_', '-') for path in ROW_FILES.glob('*.py')} == set(NAMES)
    plus = Config.fromfile(ROOT / 'configs' / 'cnnrnn_plus_mobilenetv2_corel5k.py')
    heads = {}
    for name in NAMES:
        row = load_row(name, ROW_FILES, NAMES)
        if row.derived is None:
            cfg = apply_row(plus, row)
            heads[name] = MODELS.build({**cfg.model.head, '_scope_': 'mmpretrain'})
            order = cfg.train_dataloader.dataset.pipeline[3].order
            others = {'plus-rare-first': 'rare_first', 'skip-rare-first': 'rare_first'}
            others['skip-random-order'] = 'fixed_random'
            assert order == others.get(name, 'frequent_first')
        elif row.derived['type'] == 'mixture':
            assert len(members_of(row, 1)) == 3 and members_of(row, 1)[0] == ('skip', 1)
    assert heads['plus-image'].decoder.image_projection is not None
    assert not heads['plus-attached'].decoder.detach and heads['plus'].decoder.detach
    del plus.model.head.marginal['dropout']
    with pytest.raises(UsageError, match='mlp takes marginal.dropout of model.head, which'):
        apply_row(plus, load_row('mlp', ROW_FILES, NAMES))
    mlp, branch = heads['mlp'], heads['plus'].marginal_branch
    assert mlp.hidden.weight.shape == branch.hidden[1].weight.shape
    assert mlp.dropout.p == branch.hidden[0].p == branch.hidden[3].p


def test_no_dependency_means_none(config, made, tmp_path):
    name = 'plus-no-dependency'
    assert run(config, '--rows', name, '--fast', '--out', tmp_path)[0] == 0
    (log,) = (tmp_path / 'tiny' / name / 'seed4').glob('*/vis_data/scalars.json')
    assert len(log.read_text().splitlines()) == 3  # steps of one epoch
    for out, ablated in ((tmp_path, True), (made[0], False)):
        head, feats = head_of(out, name if ablated else 'plus')
        with torch.no_grad():
            image, marginals = head.read_images(feats)
            one, two = (head.decoder.logits(torch.randn(8, 8), image) for _ in range(2))
        assert torch.allclose(one, two) == ablated
        scale, bias = head.decoder.skip_scale, head.decoder.classifier.bias
        assert torch.allclose(one, scale * marginals + bias) == ablated


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--rows', 'sigmoid'], "no row 'sigmoid': choose from linear, mlp"),
        (['--rows', 'plus', FOLDER / 'comparison' / 'rows' / 'plus.py'], 'two rows have one name'),
        (['--features', 'nowhere'], 'no features of train and val in nowhere'),
    ],
)
def test_usage_errors(config, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit, match='2'):
        run(config, '--rows', 'linear', *options, '--out', tmp_path / 'out')
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'options',
    [['--jobs', '0'], ['--lr-factors', '0'], ['--lr-factors', '1', '--split', 'test']],
)
def test_wrong_options(options):
    import accuracy

    with pytest.raises(SystemExit, match='2'):
        accuracy.parse_args(['config.py', *options])


def test_default_folders():
    import accuracy

    folders = [accuracy.parse_args(['a.py', '--split', one]).out for one in ('val', 'test')]
    assert folders == [Path('work_dirs/accuracy'), Path('work_dirs/accuracy_test')]


@pytest.mark.slow
def test_trainings_in_a_process_of_their_own(config, made, tmp_path, monkeypatch):
    # test_paper_tables.py has it with the processes that the tool starts.
    context = server_context()
    monkeypatch.setattr('multiprocessing.get_context', lambda _: context)
    assert run(config, '--rows', 'plus', '--jobs', 2, '--out', tmp_path)[0] == 0
    one, other = outputs_of(made[0], 'plus'), outputs_of(tmp_path, 'plus')
    assert torch.equal(one.scores, other.scores) and torch.equal(one.log_prob, other.log_prob)
    assert torch.equal(one.completion['1'], other.completion['1'])


def test_row_skip_is_the_config_of_that_name():
    from comparison.trainings import FOLDER as ROW_FILES
    from comparison.trainings import ROWS as NAMES
    from tables.row import apply_row, load_row

    plus, theirs = (
        Config.fromfile(ROOT / 'configs' / f'cnnrnn_plus_{one}mobilenetv2_corel5k.py')
        for one in ('', 'skip_')
    )
    cfg = apply_row(plus, load_row('skip', ROW_FILES, NAMES))
    assert cfg.model.head == theirs.model.head
    assert cfg.optim_wrapper == theirs.optim_wrapper and cfg.train_cfg == theirs.train_cfg
