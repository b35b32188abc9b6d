# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json
import sys
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.datasets import VOC
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, f1_score

from cnnrnn_mm.datasets.demo_scenes import (
    CLASSES,
    best_figures,
    generate,
    generate_demo_scenes,
    is_legal,
    mean_average_precision,
    render,
    sample_scene,
    set_probabilities,
)
from cnnrnn_mm.datasets.demo_scenes.figures import average_precisions, marginals, observations
from cnnrnn_mm.errors import UsageError

SPLITS = {'train': 60, 'val': 25, 'test': 40}
LEGAL = [
    (),
    *[(0, 3, 4), (0, 3, 5), (0, 4, 5)],
    *[(1, 5, 6), (1, 7, 8), (1, 3, 9), (1, 4, 7)],
    *[(2, 8, 9), (2, 6, 7), (2, 4, 5), (2, 3, 6)],
]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return generate_demo_scenes(tmp_path_factory.mktemp('demo') / 'scenes', SPLITS, progress=False)


@pytest.fixture(scope='module')
def scenes():
    rng = np.random.default_rng(5)
    return [sample_scene(rng) for _ in range(40000)]


def ids_of(root, split):
    return (root / 'ImageSets' / 'Main' / f'{split}.txt').read_text().split()


def objects_of(root, name):
    """Class index, smudged, and 0-based box with exclusive right and bottom of every object."""
    result = []
    for item in ET.parse(root / 'Annotations' / f'{name}.xml').getroot().findall('object'):
        left, top, right, bottom = (
            int(item.find(f'bndbox/{key}').text) for key in ('xmin', 'ymin', 'xmax', 'ymax')
        )
        box = (left - 1, top - 1, right, bottom)
        label = CLASSES.index(item.find('name').text)
        result.append((label, item.find('smudged').text == '1', box))
    return result


# The law


def test_exactly_the_written_sets_are_legal():
    for size in range(len(CLASSES) + 1):
        for labels in combinations(range(len(CLASSES)), size):
            assert is_legal(labels) == (labels in LEGAL), labels


def test_legality_ignores_order_but_not_repetition():
    assert is_legal(np.array([5, 1, 6])) and is_legal(iter([9, 2, 8]))
    assert not is_legal([1, 5, 6, 6])
    assert not is_legal([10]) and not is_legal([-1])


def test_probabilities_sum_to_one():
    table = set_probabilities()
    assert set(table) == {frozenset(labels) for labels in LEGAL}
    assert all(p > 0 for p in table.values())
    assert sum(table.values()) == pytest.approx(1, abs=1e-12)


def test_sampling_follows_the_law(scenes):
    counts = Counter(frozenset(() if a is None else (a, *c)) for a, c, _ in scenes)
    assert set(counts) <= set(set_probabilities())
    for labels, p in set_probabilities().items():
        deviation = (p * (1 - p) / len(scenes)) ** 0.5
        assert abs(counts[labels] / len(scenes) - p) < 4 * deviation, labels


def test_smudges_are_independent_of_the_labels(scenes):
    patterns = defaultdict(Counter)
    for anchor, companions, smudged in scenes:
        if anchor is not None:
            by_label = tuple(s for _, s in sorted(zip(companions, smudged, strict=True)))
            patterns[(anchor, *sorted(companions))][by_label] += 1
    expected = {
        (False, False): 0.35,
        (True, False): 0.025,
        (False, True): 0.025,
        (True, True): 0.60,
    }
    assert len(patterns) == 11
    for labels, counts in patterns.items():
        total = counts.total()
        for pattern, p in expected.items():
            assert abs(counts[pattern] / total - p) < 4.5 * (p * (1 - p) / total) ** 0.5, labels


def test_unread_companions_make_the_likely_labels_illegal():
    for anchor in (0, 1, 2):
        posterior = observations()[(frozenset((anchor,)), 2)]
        likely = {i for i, p in enumerate(marginals(posterior)) if p > 0.5}
        assert likely == ({0, 3, 4, 5} if anchor == 0 else {anchor})
        assert not is_legal(likely)


# The best possible figures


@pytest.fixture(scope='module')
def simulated(scenes):
    """Truth, sampled posterior marginals and decisions, by counting and without the law."""
    seen = [
        (() if a is None else (a, *sorted(x for x, s in zip(c, d, strict=True) if not s)), sum(d))
        for a, c, d in scenes
    ]
    truth = [tuple(sorted(() if a is None else (a, *c))) for a, c, _ in scenes]
    counts = defaultdict(Counter)
    for observation, labels in zip(seen, truth, strict=True):
        counts[observation][labels] += 1
    joint = {o: c.most_common(1)[0][0] for o, c in counts.items()}
    likely = {
        o: tuple(i for i in range(10) if sum(n for s, n in c.items() if i in s) > 0.5 * c.total())
        for o, c in counts.items()
    }
    return truth, [joint[o] for o in seen], [likely[o] for o in seen], seen


def k_hot(sets):
    rows = np.zeros((len(sets), 10), dtype=int)
    for row, labels in zip(rows, sets, strict=True):
        row[list(labels)] = 1
    return rows


@pytest.mark.parametrize(('reader', 'column'), [('joint', 1), ('independent', 2)])
def test_best_figures_match_a_simulation(simulated, reader, column):
    truth, predicted = k_hot(simulated[0]), k_hot(simulated[column])
    figures = best_figures()[reader]
    precision = (truth & predicted).sum(0) / predicted.sum(0)
    recall = (truth & predicted).sum(0) / truth.sum(0)
    c_f1 = 2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean())
    broken = np.mean([labels not in LEGAL for labels in simulated[column]])
    assert figures.exact_match == pytest.approx(100 * (truth == predicted).all(1).mean(), abs=1)
    assert figures.o_f1 == pytest.approx(100 * f1_score(truth, predicted, average='micro'), abs=1)
    assert figures.c_f1 == pytest.approx(100 * c_f1, abs=1)
    assert figures.law_broken == pytest.approx(100 * broken, abs=1)


def test_average_precisions_match_a_simulation(simulated):
    exact = {
        (tuple(sorted(labels)), smudges): marginals(posterior)
        for (labels, smudges), posterior in observations().items()
    }
    scores = np.array([exact[observation] for observation in simulated[3]])
    scores += 1e-9 * np.random.default_rng(1).random(scores.shape)
    truth = k_hot(simulated[0])
    for label, expected in enumerate(average_precisions()):
        measured = average_precision_score(truth[:, label], scores[:, label])
        assert expected == pytest.approx(100 * measured, abs=1.5), label


def test_joint_decision_gains_without_losing_f1():
    joint, independent, tuned = best_figures().values()
    assert joint.law_broken == 0
    assert independent.law_broken >= 15
    assert joint.exact_match >= independent.exact_match + 15
    assert joint.o_f1 >= independent.o_f1
    assert joint.c_f1 >= independent.c_f1
    assert tuned.o_f1 >= joint.o_f1 and tuned.exact_match <= joint.exact_match


# The pictures


def test_splits_share_no_source_digit():
    pools = {s: render.source_digits(s) for s in ('train', 'val', 'test')}
    everything = np.concatenate([pool for split in pools.values() for pool in split])
    assert sorted(everything) == list(range(1797))
    targets = load_digits().target
    for split, classes in pools.items():
        for label, pool in enumerate(classes):
            assert len(pool) > 10 and (targets[pool] == label).all(), (split, label)


def test_scene_draws_only_from_its_split():
    rng = np.random.default_rng(0)
    targets = load_digits().target
    for split in ('train', 'val', 'test'):
        allowed = set(np.concatenate(render.source_digits(split)).tolist())
        for _ in range(30):
            for digit in render.draw_scene(split, rng)[1]:
                assert digit.source in allowed
                assert digit.smudged or targets[digit.source] == digit.label


def test_smudged_companions_leave_the_picture_independent_of_their_labels(monkeypatch):
    def picture(companions, smudged):
        monkeypatch.setattr(render, 'sample_scene', lambda rng: (1, companions, smudged))
        return render.draw_scene('test', np.random.default_rng(8))[0]

    both = (True, True)
    assert np.array_equal(picture((5, 6), both), picture((9, 3), both))
    assert np.array_equal(picture((5, 6), (True, False)), picture((4, 6), (True, False)))
    assert not np.array_equal(picture((5, 6), (True, False)), picture((5, 8), (True, False)))


def test_smudge_shows_a_digit_of_any_class_in_shuffled_pixels():
    rng, pools = np.random.default_rng(2), render.source_digits('train')
    digits = load_digits()
    shown = Counter()
    for _ in range(1000):
        source, patch = render.pick_patch(7, True, pools, rng)
        shown[int(digits.target[source])] += 1
        original = (digits.images[source] * 15).astype(np.uint8)
        assert not np.array_equal(patch, original)
        assert np.array_equal(np.sort(patch, axis=None), np.sort(original, axis=None))
    assert len(shown) == 10 and max(shown.values()) < 140 and min(shown.values()) > 60


# The files


def test_files_are_complete_and_boxes_are_apart(root):
    assert ids_of(root, 'trainval') == ids_of(root, 'train') + ids_of(root, 'val')
    smudges = empty = 0
    for split, count in SPLITS.items():
        assert len(set(ids_of(root, split))) == count
        for name in ids_of(root, split):
            picture = Image.open(root / 'JPEGImages' / f'{name}.jpg')
            assert picture.size == (50, 50) and picture.mode == 'RGB'
            tree = ET.parse(root / 'Annotations' / f'{name}.xml').getroot()
            assert tree.find('filename').text == f'{name}.jpg'
            assert [e.text for e in tree.find('size')] == ['50', '50', '3']
            objects = objects_of(root, name)
            assert is_legal(label for label, _, _ in objects)
            for _, _, (left, top, right, bottom) in objects:
                assert 0 <= left < right <= 50 and 0 <= top < bottom <= 50
            for (_, _, one), (_, _, two) in combinations(objects, 2):
                apart = one[2] < two[0] or two[2] < one[0] or one[3] < two[1] or two[3] < one[1]
                assert apart, name
            for label, smudged, (left, _, right, _) in objects:
                low, high = (18, 20) if label < 3 else (13, 14)
                assert low <= right - left <= high
                smudges += smudged
            empty += not objects
    assert smudges > 50 and empty > 0


@pytest.mark.parametrize('split', ['train', 'val', 'trainval', 'test'])
def test_host_dataset_reads_the_annotated_labels(root, split):
    dataset = VOC(data_root=str(root), split=split, metainfo={'classes': CLASSES})
    assert dataset.CLASSES == CLASSES
    assert len(dataset) == len(ids_of(root, split))
    for i, name in enumerate(ids_of(root, split)):
        info = dataset.get_data_info(i)
        assert info['img_path'].endswith(f'{name}.jpg')
        assert sorted(info['gt_label']) == sorted(label for label, _, _ in objects_of(root, name))
        assert info['gt_label_difficult'] == []


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(root, tmp_path):
    again = generate_demo_scenes(tmp_path / 'again', SPLITS, progress=False)
    other = generate_demo_scenes(tmp_path / 'other', SPLITS, seed=1, progress=False)
    files = sorted(p.relative_to(root) for p in root.rglob('*') if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob('*') if p.is_file())
    assert len(files) == 2 * sum(SPLITS.values()) + 4 + 1
    assert all((root / f).read_bytes() == (again / f).read_bytes() for f in files)
    names = [f for f in files if f.suffix == '.jpg']
    assert all((root / f).read_bytes() != (other / f).read_bytes() for f in names)


def test_larger_split_begins_with_the_smaller(root, tmp_path):
    larger = generate_demo_scenes(tmp_path / 'x', {**SPLITS, 'train': 70}, progress=False)
    for name in (*ids_of(root, 'train'), *ids_of(root, 'test')):
        for path in (f'JPEGImages/{name}.jpg', f'Annotations/{name}.xml'):
            assert (root / path).read_bytes() == (larger / path).read_bytes()


def test_finished_scenes_are_reused(root, monkeypatch):
    monkeypatch.setattr(generate, 'draw_scene', lambda *_, **__: pytest.fail('drawn again'))
    assert generate_demo_scenes(root, SPLITS, progress=False) == root


def test_digits_keep_their_size_in_larger_scenes(root, tmp_path):
    counts = {'train': 30, 'val': 1, 'test': 1}
    large = generate_demo_scenes(tmp_path / 'large', counts, progress=False, size=100)
    sides, far = set(), 0
    for name in ids_of(large, 'train'):
        assert Image.open(large / f'JPEGImages/{name}.jpg').size == (100, 100)
        for box in ET.parse(large / f'Annotations/{name}.xml').iter('bndbox'):
            left, top, right, bottom = (int(edge.text) for edge in box)
            assert right - left == bottom - top
            assert min(left, top) >= 1
            assert max(right, bottom) <= 100
            sides.add(right - left + 1)
            far += right > 50
    assert sides == {13, 14, 18, 19, 20}
    assert far > 20
    with pytest.raises(UsageError, match='remove it, or choose another folder'):
        generate_demo_scenes(large, counts, progress=False)


def test_other_content_is_refused_and_kept(root, tmp_path):
    with pytest.raises(UsageError, match='remove it, or choose another folder') as error:
        generate_demo_scenes(root, SPLITS, seed=9, progress=False)
    assert str(root) in str(error.value) and '\n' not in str(error.value)
    assert json.loads((root / 'demo_scenes.json').read_text())['seed'] == 0

    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(UsageError, match='no demo scenes'):
        generate_demo_scenes(tmp_path, SPLITS, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ['notes.txt']


def test_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, 'draw_scene', interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate_demo_scenes(tmp_path / 'scenes', SPLITS, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'arguments',
    [
        {'splits': {'train': 5, 'test': 5}},
        {'splits': {'train': 5, 'val': 0, 'test': 5}},
        {'splits': {**SPLITS, 'extra': 5}},
        {'splits': SPLITS, 'seed': -1},
        {'splits': SPLITS, 'size': 49},
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments):
    with pytest.raises(UsageError, match='give'):
        generate_demo_scenes(tmp_path / 'scenes', progress=False, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_missing_digits_are_named(tmp_path, monkeypatch):
    render._digits.cache_clear()
    render.source_digits.cache_clear()
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(UsageError, match='scikit-learn.*pip install'):
        generate_demo_scenes(tmp_path / 'scenes', SPLITS, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_documented_figures_are_the_computed_ones():
    document = (Path(__file__).parents[2] / 'docs' / 'demo_scenes.md').read_text()
    for figures in best_figures().values():
        values = (figures.exact_match, figures.o_f1, figures.c_f1, figures.law_broken)
        assert ' | '.join(f'{value:.2f}' for value in values) in document
    assert f'{mean_average_precision():.2f}' in document
