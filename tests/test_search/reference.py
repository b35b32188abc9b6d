# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Brute force for the search tests, and what they compare."""

import math
from functools import cache, cached_property, lru_cache
from itertools import pairwise, permutations, product

import pytest
import torch
from models import NeverRepeats, RecurrentModels

from cnnrnn_mm.search import Constraints, SearchResult, beam_search, best_first_search

FREE = Constraints()

#: 230 random models: kind, labels, how many.
MODELS = [(RecurrentModels, 4, 90), (NeverRepeats, 4, 40), (RecurrentModels, 5, 60)]
MODELS += [(NeverRepeats, 5, 20), (RecurrentModels, 6, 20)]

all_models = pytest.mark.parametrize('models', MODELS, ids=lambda p: f'{p[0].__name__}-{p[1]}')


def run(search, model, images=None, **options) -> SearchResult:
    """Search all images of a model, or some."""
    count = model.num_models if images is None else len(images)
    return search(model.step, model.state(images), model.starts(count), model.num_labels, **options)


def beam(model, images=None, **options) -> SearchResult:
    return run(beam_search, model, images, **options)


def best_first(model, images=None, **options) -> SearchResult:
    return run(best_first_search, model, images, **options)


@lru_cache
def enumerated(kind, num_labels, count):
    """Models and the log P of each of their paths: ``{path: (N,)}``."""
    model = kind(count, num_labels, seed=num_labels)
    return model, enumerate_paths(model)


def all_paths(num_labels):
    return [path for n in range(num_labels + 1) for path in permutations(range(num_labels), n)]


class PathValues(dict):
    """``{path: (N,)}``."""

    @cached_property
    def rankings(self):
        """For each image (value, path), the largest first."""
        values = torch.stack(list(self.values()), 1).tolist()
        return [sorted(zip(row, self, strict=True), reverse=True) for row in values]

    def where(self, condition):
        """Some of the paths."""
        return PathValues({path: value for path, value in self.items() if condition(path)})


def enumerate_paths(model, labels_only=False):
    """Log P of every path without repetition: ``{path: (N,)}``; with END, or before it."""
    log_probs = PathValues()
    zero = torch.zeros(model.num_models, dtype=torch.float64)
    level = {(): (zero, model.starts(), model.state())}
    while level:
        following = {}
        for path, (so_far, tokens, state) in level.items():
            steps, after = model.step(tokens, state)
            log_probs[path] = so_far if labels_only else so_far + steps[:, -1]
            for label in set(range(model.num_labels)) - set(path):
                grown = so_far + steps[:, label]
                following[(*path, label)] = (grown, torch.full_like(tokens, label), after)
        level = following
    return log_probs


def first_mentions(model):
    """(N, C): the probability that a label comes, at any time, after labels without repetition.

    For a model that never repeats this is P(label in path).
    """
    total = torch.zeros(model.num_models, model.num_labels, dtype=torch.float64)
    for path, log_prob in enumerate_paths(model, labels_only=True).items():
        if path:
            total[:, path[-1]] += log_prob.exp()
    return total


def drawn_marginals(model, image, most, prefix=()):
    """P(label in a drawn path), repetitions included, of a model that ends after ``most`` labels.

    Conditional on the prefix; labels in it have probability 1.
    """
    total = torch.zeros(model.num_labels, dtype=torch.float64)
    for length in range(most - len(prefix) + 1):
        for tail in product(range(model.num_labels), repeat=length):
            steps = steps_of(model, image, (*prefix, *tail))
            total[list({*prefix, *tail})] += math.exp(sum(steps[len(prefix) :]))
    return total


@cache
def steps_of(model, image, path):
    """Log-probabilities of the steps of one path of one image, END included, one at a time."""
    state, tokens, steps = model.state([image]), model.starts(1), []
    for label in (*path, model.num_labels):
        log_probs, state = model.step(tokens, state)
        steps.append(float(log_probs[0, label]))
        tokens = torch.tensor([label])
    return steps


def ranking(truth, image):
    """(log P, path) of one image, the most probable first."""
    return truth.rankings[image]


def meets(path, limits, num_labels):
    """Whether a path is allowed, straight from the words of ``Constraints``."""
    most = num_labels if limits.max_length is None else limits.max_length
    places = [limits.order.index(label) for label in path] if limits.order else []
    return (
        len(set(path)) == len(path)
        and path[: len(limits.prefix)] == limits.prefix
        and set(limits.required) <= set(path)
        and not set(limits.forbidden) & set(path)
        and all(len(set(group) & set(path)) <= 1 for group in limits.exclusive)
        and all(one < other for one, other in pairwise(places))
        and limits.min_length <= len(path) <= most
    )


def allowed_ranking(truth, prefixes, image, limits, num_labels):
    """:func:`ranking` of the allowed paths, conditional on the prefix.

    Args:
        truth: Of :func:`enumerate_paths`.
        prefixes: The same with ``labels_only``.
    """
    given = float(prefixes[limits.prefix][image])
    return sorted(
        (
            (float(value[image]) - given, path)
            for path, value in truth.items()
            if meets(path, limits, num_labels) and float(value[image]) > -math.inf
        ),
        reverse=True,
    )


def found_paths(result, image):
    """The paths of one image as tuples, by lengths, the most probable first."""
    count = int(result.log_probs[image].isfinite().sum())
    return [
        tuple(result.paths[image, k, : result.lengths[image, k]].tolist()) for k in range(count)
    ]


def image_parts(result, image):
    """All that a result says of one image, as comparable values without padding."""
    paths = found_paths(result, image)
    return paths, {
        'log_probs': result.log_probs[image],
        'steps': torch.cat(
            [result.step_log_probs[image, k, : len(path) + 1] for k, path in enumerate(paths)]
        ),
        'lower': result.lower[image],
        'upper': result.upper[image],
        'largest': result.largest[image],
        'rest': result.rest[image],
        'gaps': result.gaps[image],
        'expansions': result.expansions[image],
        'proven': result.proven[image],
    }


def assert_same(one, image, other, place, tolerance=1e-6, leave_out=()):
    """One result says of ``image`` what another one says of ``place``."""
    paths, values = image_parts(one, image)
    other_paths, other_values = image_parts(other, place)
    assert paths == other_paths
    for name in values.keys() - set(leave_out):
        torch.testing.assert_close(
            values[name], other_values[name], atol=tolerance, rtol=0, msg=f'{name} of {image}'
        )


def check_shape_and_content(result, model, num_paths, limits=FREE):
    """What holds for any result whatever was searched for, with one constraint for all images."""
    longest = int(result.lengths.max())
    shape = (model.num_models, num_paths)
    assert result.log_probs.shape == result.lengths.shape == shape
    assert result.paths.shape == result.totals.shape == (*shape, longest)
    assert result.step_log_probs.shape == (*shape, longest + 1)
    assert result.paths.dtype == result.lengths.dtype == result.expansions.dtype == torch.int64
    assert result.rest.shape == result.gaps.shape == result.expansions.shape == shape[:1]
    assert result.proven.dtype == torch.bool and result.proven.shape == shape[:1]
    assert bool((result.proven == (result.gaps == 0)).all()) and bool((result.expansions > 0).all())
    shape = (shape[0], model.num_labels)
    assert result.lower.shape == result.upper.shape == result.largest.shape == shape
    assert bool((result.largest >= 0).all() and (result.largest <= 1).all())
    assert bool((result.lower >= 0).all() and (result.upper <= 1).all())
    assert bool((result.lower <= result.upper).all())
    given = len(limits.prefix)
    for image in range(model.num_models):
        found, log_probs = found_paths(result, image), result.log_probs[image].tolist()
        assert found and len(set(found)) == len(found)
        assert log_probs == sorted(log_probs, reverse=True)
        assert all(meets(path, limits, model.num_labels) for path in found)
        for k, path in enumerate(found):
            assert bool((result.paths[image, k, len(path) :] == -1).all())
            assert result.totals[image, k, len(path) :].tolist() == [log_probs[k]] * (
                longest - len(path)
            )
            steps = result.step_log_probs[image, k]
            assert float(steps.sum()) == pytest.approx(log_probs[k], abs=1e-4)
            assert steps[:given].tolist() == [0.0] * given
            expected = steps_of(model, image, path)[given:]
            assert steps[given : len(path) + 1].tolist() == pytest.approx(expected, abs=1e-4)
            assert bool((steps[len(path) + 1 :] == 0).all())
        for k in range(len(found), num_paths):
            assert log_probs[k] == -math.inf and int(result.lengths[image, k]) == 0
            assert bool((result.paths[image, k] == -1).all())
            assert bool((result.step_log_probs[image, k] == 0).all())
