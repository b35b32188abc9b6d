# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The search benchmark: its baselines find what beam search finds, and the tool writes results."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
import torch
from feature_cache import write_cache
from rich.console import Console

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead

FOLDER = Path(__file__).resolve().parents[1] / 'tools' / 'benchmarks'


@pytest.fixture(autouse=True)
def _import_from_the_tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


def make_decoder(num_labels, recurrent='lstm', seed=0, num_images=5):
    """A decoder whose probabilities are far from even, and projected images (N, D)."""
    torch.manual_seed(seed)
    head = CNNRNNHead(num_labels, 8, embed_dims=16, hidden_dims=12, recurrent=recurrent).eval()
    decoder = head.decoder
    with torch.no_grad():
        decoder.embedding.weight.mul_(4)
        decoder.image_projection.weight.mul_(3)
        return decoder, decoder.project_image(torch.randn(num_images, 8))


def score(decoder, image, paths):
    """Equation (6) from one pass over each path."""
    totals = []
    for one, path in zip(image, paths, strict=True):
        tokens = torch.tensor([[decoder.vocabulary.start, *path]])
        with torch.no_grad():
            steps = decoder(one.unsqueeze(0), tokens)[0].log_softmax(-1)[0]
        totals.append(steps[range(len(path) + 1), [*path, decoder.vocabulary.end]].sum())
    return torch.stack(totals)


@pytest.mark.parametrize('recurrent', ['lstm', 'none'])
@pytest.mark.parametrize('beam_size', [1, 3, 50])
@pytest.mark.parametrize('num_labels', [1, 3, 9])
def test_baselines_find_what_beam_search_finds(num_labels, beam_size, recurrent):
    from methods import METHODS

    decoder, image = make_decoder(num_labels, recurrent, seed=beam_size)
    wanted = METHODS['generic'].run(decoder, image, beam_size)
    assert torch.allclose(score(decoder, image, wanted.paths), wanted.log_probs, atol=1e-5)
    for key in ('loop_paths', 'loop_images', 'textbook', 'cold', 'warm'):
        found = METHODS[key].run(decoder, image, beam_size)
        assert found.paths == wanted.paths, key
        assert torch.allclose(found.log_probs, wanted.log_probs, atol=1e-5), key


def test_baselines_agree_on_many_images():
    from methods import METHODS

    decoder, image = make_decoder(8, num_images=100)
    wanted = METHODS['generic'].run(decoder, image, 2)
    for key in ('loop_images', 'textbook', 'cold'):
        assert METHODS[key].run(decoder, image, 2).paths == wanted.paths, key


@pytest.mark.parametrize('num_labels', [2, 8])
@pytest.mark.parametrize('beam_size', [1, 2, 5, 200])
def test_transformers_decodes_the_same_weights(num_labels, beam_size):
    pytest.importorskip('transformers', reason="needs transformers (pip install '.[benchmark]')")
    from methods import METHODS

    decoder, image = make_decoder(num_labels)
    wanted = METHODS['generic'].run(decoder, image, beam_size)
    found = METHODS['hugging_face'].run(decoder, image, beam_size)
    assert torch.allclose(score(decoder, image, found.paths), found.log_probs, atol=1e-5)
    # Its beams drop some candidates that ours keep: equal where nothing is dropped.
    assert (found.log_probs <= wanted.log_probs + 1e-5).all()
    if beam_size in (1, 200):
        assert found.paths == wanted.paths


def test_best_first_is_never_beaten_by_a_wide_beam():
    from methods import METHODS

    decoder, image = make_decoder(6)
    exact = METHODS['best_first'].run(decoder, image, 1)
    wide = METHODS['textbook'].run(decoder, image, 300)
    assert exact.proven.all()
    assert exact.paths == wide.paths


def run_tool(arguments):
    import search

    console = Console(file=io.StringIO(), width=200)
    content = search.run(search.parse_args([*arguments, '--threads', '1']), console)
    return content, console.file.getvalue()


SMALL = ['--labels=6', '--beams=2', '--embed-dims=8', '--hidden-dims=8', '--repeats=1']


@pytest.fixture
def small_caches(tmp_path):
    """Two caches of features, 7 labels: 0 in every image, 2 in each second, 1 in each third, ..."""
    every = {0: 1, 2: 2, 1: 3, 3: 4, 4: 5, 5: 6, 6: 7}
    paths = []
    for split, images in (('train', 40), ('val', 12)):
        labels = [
            [label for label, period in every.items() if number % period == 0]
            for number in range(images)
        ]
        views = torch.randn(images, 1, 8)
        paths.append(write_cache(tmp_path / split, views, labels, None).folder)
    return paths


def test_tool_writes_results_and_pictures(small_caches, tmp_path):
    out = tmp_path / 'out'
    content, text = run_tool(
        [
            *SMALL,
            *('--batches', '3', '--no-backbones', '--epochs', '1', '--out', str(out)),
            *('--features', *map(str, small_caches)),
            *('--methods', 'loop_images', 'textbook', 'generic', 'cold', 'warm', 'best_first'),
        ]
    )
    assert json.loads((out / 'search.json').read_text()) == content
    rows = list(csv.DictReader((out / 'grid.csv').open()))
    assert len(rows) == len(content['grid']) == 12  # six methods with two kinds of weights
    by_method = {row['method']: row for row in content['grid'] if row['weights'] == 'trained'}
    assert all(row['ms'] > 0 and row['peak_mb'] > 0 for row in by_method.values())
    assert all(row['repeats'] == 1 and row['images_run'] == 3 for row in by_method.values())
    assert all(by_method[key]['equal_share'] == 1 for key in ('textbook', 'loop_images', 'cold'))
    assert by_method['warm']['ratio_to_warm'] == 1
    assert by_method['cold']['hit_rate'] < by_method['warm']['hit_rate'] <= 1
    assert by_method['best_first']['proven_share'] == 1
    for weights in ('random', 'trained'):
        assert (out / f'scaling_{weights}.png').stat().st_size > 10_000
    assert 'ours, warm trie' in text


def test_tool_times_a_split_and_counts_what_beams_miss(small_caches, tmp_path):
    content, _ = run_tool(
        [
            *SMALL,
            *('--split', '12', '--exactness', '--weights', 'trained', '--epochs', '1'),
            *('--features', *map(str, small_caches), '--out', str(tmp_path / 'out')),
            *('--methods', 'textbook', 'generic', 'cold', 'best_first'),
        ]
    )
    assert [row['method'] for row in content['split']] == [
        'cold',
        'textbook',
        'generic',
        'best_first',
    ]
    assert all(row['equal_share'] == 1 for row in content['split'][:3])
    found = [row['found_best'] for row in content['exactness']]
    assert [row['beam_size'] for row in content['exactness']] == [1, 2, 5, 10]
    assert found[-1] >= found[0] > 0
    assert all(row['lost'] >= 0 for row in content['exactness'])


def test_tool_names_what_is_missing(small_caches, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)  # as if it were not installed
    content, text = run_tool(
        [
            *SMALL,
            *('--labels', '6', '50', '--batches', '3', '--no-backbones', '--weights', 'random'),
            *('--features', *map(str, small_caches), '--out', str(tmp_path / 'out')),
            *('--methods', 'hugging_face', 'warm'),
        ]
    )
    assert {row['method'] for row in content['grid']} == {'warm'}
    assert 'not run: needs transformers' in text
    assert '50 labels: not run' in text


def test_files_are_cut_to_the_most_frequent_labels(small_caches):
    from label_data import read_data

    data = read_data(*map(str, small_caches), num_labels=2)
    assert data.num_labels == 2
    # Labels 0 and 2, which become 0 and 1.
    assert data.labels == [[0, 1] if number % 2 == 0 else [0] for number in range(40)]
    with pytest.raises(UsageError, match='7 different labels'):
        read_data(*map(str, small_caches), num_labels=8)


def test_generated_labels_have_a_long_tail():
    from label_data import generate_data

    data = generate_data(30, seed=1, num_train=500, num_held_out=50)
    assert (len(data.labels), len(data.held_out_labels)) == (500, 50)
    counts = torch.zeros(30)
    for one in data.labels:
        assert one == sorted(set(one))
        counts[one] += 1
    assert 2 < counts.sum() / 500 < 4
    assert counts[:5].sum() > counts[-15:].sum()
    assert any(not one for one in data.labels)


def test_peak_memory_counts_what_lives_at_once():
    from measuring import peak_bytes

    given = torch.zeros(1000)

    def run():
        first = given + 1  # 4000 bytes
        second = first * 2  # 4000 more
        del first
        third = second.view(10, 100) + 1  # 4000 in the place of the first
        return third

    assert 8000 <= peak_bytes(run, torch.device('cpu')) < 8200


def test_grid_varies_one_axis_at_a_time():
    from points import Config, make_configs

    axes = ([20, 81], [1, 5], [1, 64])
    points = make_configs(['random'], *axes, full_grid=False)
    assert points[0] == Config('random', 81, 5, 64)
    assert len(points) == 4
    assert len(make_configs(['random', 'trained'], *axes, full_grid=True)) == 16
