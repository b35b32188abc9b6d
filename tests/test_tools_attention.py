# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""tools/vis_attention.py, and the pointing game on a few scenes."""

import io
import json

import numpy as np
import pytest
import torch
from forked_tool import run_forked
from mmpretrain.registry import MODELS
from PIL import Image
from rich.console import Console
from tiny_run import CLASSES, ROOT, TRAIN, VAL, load_config

from cnnrnn_mm.datasets.demo_scenes import CLASSES as DIGITS
from cnnrnn_mm.datasets.demo_scenes import generate_demo_scenes

pytest.importorskip('captum')
TOOL = ROOT / 'tools' / 'vis_attention.py'
FOLDER = ROOT / 'tools' / 'benchmarks'


def save_model(cfg, classes, path, order):
    """A checkpoint of a model with random weights."""
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    orders = {'': {'order': 'given', 'sequence': order}}
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=classes), label_order=orders)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory, voc_folder):
    folder = tmp_path_factory.mktemp('attention')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    return save_model(load_config(root, folder), CLASSES, folder / 'tiny.pth', [0, 1, 2, 3])


@pytest.fixture
def photos(tmp_path):
    rng, found = np.random.default_rng(0), []
    for number, size in enumerate([(50, 50), (90, 120)]):
        found.append(tmp_path / f'photo{number}.png')
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(found[-1])
    return found


def test_one_picture_a_photo(checkpoint, photos, tmp_path):
    broken = tmp_path / 'broken.jpg'
    broken.write_text('no picture')
    out = tmp_path / 'out'
    words = ['--checkpoint', checkpoint, '--device', 'cpu', '--out-dir', out]
    done = run_forked(
        TOOL, photos[0], broken, photos[1], *words, '--path', 'cat', 'dog', '--end', '--method',
        'deconvolution',
    )  # fmt: skip
    assert done.returncode == 1
    assert 'broken.jpg is not a picture' in done.stderr
    assert 'Traceback' not in done.stderr
    assert f'2 pictures: {out}' in done.stdout
    names = sorted(path.name for path in out.iterdir())
    assert names == ['photo0_deconvolution.png', 'photo1_deconvolution.png']
    for name in names:
        with Image.open(out / name) as sheet:
            assert min(sheet.size) > 150
            assert np.asarray(sheet).std() > 10


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--label', 'zebra'], "label 'zebra' is not among the model's"),
        (['--path', 'cat', 'cat'], 'has a label twice'),
        (['--layer', 'backbone.layer9'], "layer 'backbone.layer9' is not in the model"),
        (['--score', 'marginal'], 'the head has none'),
    ],
)
def test_mistakes_end_with_one_line(checkpoint, photos, tmp_path, words, message):
    out = tmp_path / 'out'
    done = run_forked(
        TOOL, photos[0], '--checkpoint', checkpoint, '--device', 'cpu', '--out-dir', out, *words
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes') / 'demo_scenes'
    return generate_demo_scenes(root, {'train': 1, 'val': 5, 'test': 1}, seed=0, progress=False)


@pytest.fixture
def game(monkeypatch, scenes, tmp_path):
    monkeypatch.syspath_prepend(str(FOLDER))
    import pointing_game

    cfg = load_config(scenes, tmp_path)
    cfg.model.head.num_classes = cfg.data_preprocessor.num_classes = 10
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.metainfo = dict(classes=DIGITS)
    cfg.dump(tmp_path / 'digits.py')
    weights = save_model(cfg, DIGITS, tmp_path / 'digits.pth', [*range(9, -1, -1)])
    return pointing_game, [str(tmp_path / 'digits.py'), str(weights), '--split', 'val']


def play(game, tmp_path, *words):
    module, arguments = game
    out, console = tmp_path / 'figures.json', Console(file=io.StringIO(), width=120)
    options = ['--device', 'cpu', '--out', str(out), *words]
    module.main([*arguments, *options], console)
    return json.loads(out.read_text()), console.file.getvalue()


def test_the_game_counts_what_it_says(game, scenes, tmp_path, monkeypatch):
    """With maps that are known: each label's map peaks where it should, or never does."""
    module, digits = game[0], {}
    for path in sorted(scenes.glob('JPEGImages/val*')):
        digits[module.imread(str(path), channel_order='rgb').tobytes()] = module.read_digits(
            path, DIGITS
        )
    order = []

    def known(trained, pixels, path, **options):
        heat = torch.zeros(len(path), 50, 50)
        order.append(path)
        for place, label in enumerate(path):
            (digit,) = (d for d in digits[pixels.tobytes()] if d.label == label)
            left, top, right, bottom = digit.box
            if digit.kind != 'companion':
                heat[place, top, left] = 0.75  # the corner is inside
                heat[place, 0 if top > 10 else 49, 0 if left > 10 else 49] = 0.25
        return type('Found', (), dict(maps=heat))

    monkeypatch.setattr(module, 'step_attention', known)
    record, text = play(game, tmp_path, '--methods', 'grad_cam')
    figures = record['games'][0]['figures']
    assert all(path == sorted(path, reverse=True) for path in order)  # the order of training
    kinds = [d.kind for one in digits.values() for d in one]
    for group, hits in (('anchor', 100), ('smudged', 100), ('companion', 0)):
        if group in kinds:
            assert figures[group]['count'] == kinds.count(group)
            assert figures[group]['hit'] == hits
            assert figures[group]['mass'] == pytest.approx(0.75 * hits)
    found = kinds.count('anchor') + kinds.count('companion')
    assert figures['readable']['hit'] == pytest.approx(100 * kinds.count('anchor') / found)
    boxes = [d.box for one in digits.values() for d in one if d.kind == 'anchor']
    chance = np.mean([(b[2] - b[0]) * (b[3] - b[1]) / 2500 for b in boxes])
    assert figures['anchor']['chance'] == pytest.approx(100 * chance)
    assert f'{100 * chance:.1f}' in text


def test_the_game_on_a_model(game, tmp_path):
    record, text = play(game, tmp_path, '--alone', '--occlusion', '--limit', '3')
    assert [one['method'] for one in record['games']] == ['grad_cam', 'deconvolution']
    for one in [*record['games'], *record['occlusion']]:
        assert 'smudged' not in one['figures']
        assert 0 <= one['figures']['readable']['hit'] <= 100
    assert record['occlusion'][0]['figures']['all']['hit'] == 100  # there is one digit
    assert 'painting out, log_odds' in text


def test_painting_out_leaves_the_background(game, scenes):
    module = game[0]
    path = sorted(scenes.glob('JPEGImages/val*'))[0]
    pixels, digits = np.asarray(Image.open(path)), module.read_digits(path, DIGITS)
    empty = module.paint_out(pixels, digits)
    assert pixels.max() > 150 > empty.max() + 20
    alone = module.find_games(pixels, digits, alone=True)
    assert len(alone) == sum(one.kind != 'smudged' for one in digits)
    for shown, (digit,) in alone:
        left, top, right, bottom = digit.box
        inner = (slice(top + 2, bottom - 2), slice(left + 2, right - 2))
        assert np.array_equal(shown[inner], pixels[inner])
