# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Beam search against hand-made transition tables and brute-force enumeration; no network."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import SearchResult, beam_search, check_options

LOG_ZERO = -1e9


class RecurrentModels:
    """N models in one batch: log-probabilities depend on the whole path, and on the image.

    Each image has weights of its own, and they travel in the state, so a search that loses track
    of a state, or of an image, gives wrong probabilities.
    """

    def __init__(self, num_models: int, num_labels: int, seed: int, sharpness: float = 2.0):
        generator = torch.Generator().manual_seed(seed)
        size = 4

        def draw(*shape):
            return torch.randn(num_models, *shape, generator=generator, dtype=torch.float64)

        self.num_models, self.num_labels, self.size = num_models, num_labels, size
        self.start = num_labels + 1
        self.weights = (
            draw(num_labels + 2, size),
            draw(size, size),
            sharpness * draw(num_labels + 1, size),
        )

    def state(self, images=None):
        images = range(self.num_models) if images is None else images
        memory = torch.zeros(len(images), self.size, dtype=torch.float64)
        return (memory, *(weight[list(images)] for weight in self.weights))

    def starts(self, count=None):
        return torch.full((self.num_models if count is None else count,), self.start)

    def step(self, tokens, state):
        memory, embedding, recurrent, output = state
        one = embedding[torch.arange(len(tokens)), tokens]
        memory = torch.tanh(one + torch.einsum('mij,mj->mi', recurrent, memory))
        logits = torch.einsum('mvi,mi->mv', output, memory)
        return logits.log_softmax(-1), (memory, embedding, recurrent, output)


class NeverRepeats(RecurrentModels):
    """The same, but labels that the path holds get probability zero and the rest sums to one."""

    def state(self, images=None):
        state = super().state(images)
        return (torch.zeros(len(state[0]), self.num_labels + 2, dtype=torch.bool), *state)

    def step(self, tokens, state):
        held, *rest = state
        held = held.scatter(1, tokens.unsqueeze(1), True)
        log_probs, rest = super().step(tokens, tuple(rest))
        log_probs = log_probs.masked_fill(held[:, :-1], -math.inf).log_softmax(-1)
        return log_probs, (held, *rest)


class Tables:
    """N models in which what follows depends on the last token alone.

    Each table has one row a token (labels, END, START) of V probabilities.
    """

    def __init__(self, *tables):
        self.log_probs = torch.tensor(tables).log()  # (N, V + 1, V)
        self.num_labels = self.log_probs.shape[-1] - 1
        self.calls = []

    def state(self):
        return (torch.arange(len(self.log_probs)),)

    def starts(self):
        return torch.full((len(self.log_probs),), self.num_labels + 1)

    def step(self, tokens, state):
        self.calls.append(tokens.tolist())
        return self.log_probs[state[0], tokens], state

    def search(self, **options):
        return beam_search(self.step, self.state(), self.starts(), self.num_labels, **options)


def search(model, **options) -> SearchResult:
    return beam_search(model.step, model.state(), model.starts(), model.num_labels, **options)


def all_paths(num_labels, max_length=None):
    most = num_labels if max_length is None else max_length
    return [path for n in range(most + 1) for path in permutations(range(num_labels), n)]


def enumerate_paths(model, labels_only=False):
    """Log P of every path without repetition: ``{path: (N,)}``; with END, or before it."""
    log_probs = {}
    level = {
        (): (torch.zeros(model.num_models, dtype=torch.float64), model.starts(), model.state())
    }
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


def prefix_marginals(model):
    """(N, C): the probability that a label comes, at any time, after labels without repetition.

    For a model that never repeats this is P(label in path).
    """
    total = torch.zeros(model.num_models, model.num_labels, dtype=torch.float64)
    for path, log_prob in enumerate_paths(model, labels_only=True).items():
        if path:
            total[:, path[-1]] += log_prob.exp()
    return total


def steps_of(model, image, path):
    """Log-probabilities of the steps of one path of one image, END included, one at a time."""
    state, tokens, steps = model.state([image]), model.starts(1), []
    for label in (*path, model.num_labels):
        log_probs, state = model.step(tokens, state)
        steps.append(float(log_probs[0, label]))
        tokens = torch.tensor([label])
    return steps


def found_paths(result, image):
    """The paths of one image as tuples, by lengths, the most probable first."""
    count = int(result.log_probs[image].isfinite().sum())
    return [
        tuple(result.paths[image, k, : result.lengths[image, k]].tolist()) for k in range(count)
    ]


def pick_images(result, images):
    """The part of a result that belongs to some images, as comparable values."""
    return [
        (found_paths(result, i), result.log_probs[i], result.marginals[i], steps_list(result, i))
        for i in images
    ]


def steps_list(result, image):
    return [
        result.step_log_probs[image, k, : result.lengths[image, k] + 1]
        for k in range(int(result.log_probs[image].isfinite().sum()))
    ]


def assert_same(one, other, tolerance=1e-6):
    for (paths, log_probs, marginals, steps), (paths2, log_probs2, marginals2, steps2) in zip(
        one, other, strict=True
    ):
        assert paths == paths2
        torch.testing.assert_close(log_probs, log_probs2, atol=tolerance, rtol=0)
        torch.testing.assert_close(marginals, marginals2, atol=tolerance, rtol=0)
        torch.testing.assert_close(steps, steps2, atol=tolerance, rtol=0)


# Against enumeration: 230 models.
MODELS = [(RecurrentModels, 4, 90), (NeverRepeats, 4, 40), (RecurrentModels, 5, 60)]
MODELS += [(NeverRepeats, 5, 20), (RecurrentModels, 6, 20)]


@pytest.fixture(scope='module', params=MODELS, ids=lambda p: f'{p[0].__name__}-{p[1]}')
def enumerated(request):
    """Models, the log P of each of their paths, and a beam that holds every prefix."""
    kind, num_labels, count = request.param
    model = kind(count, num_labels, seed=num_labels)
    return model, enumerate_paths(model), math.factorial(num_labels)


def ranking(truth, image):
    return sorted(((float(value[image]), path) for path, value in truth.items()), reverse=True)


def test_enumeration_is_right(enumerated):
    """Guards the reference itself: P(path, END) by single steps, and a total of at most 1."""
    model, truth, _ = enumerated
    assert len(truth) == len(all_paths(model.num_labels))
    for image, path in ((0, (2,)), (3, (1, 3, 0)), (model.num_models - 1, (3, 2, 1, 0))):
        assert sum(steps_of(model, image, path)) == pytest.approx(float(truth[path][image]))
    total = torch.stack(list(truth.values())).exp().sum(0)
    if isinstance(model, NeverRepeats):
        torch.testing.assert_close(total, torch.ones_like(total))
    else:
        assert bool((total < 1).all())


@pytest.mark.parametrize('num_paths', [1, 6])
def test_wide_beam_finds_the_best_path(enumerated, num_paths):
    model, truth, width = enumerated
    result = search(model, beam_size=width, num_paths=num_paths)
    assert result.paths.shape[:2] == (model.num_models, num_paths)
    for image in range(model.num_models):
        best, path = ranking(truth, image)[0]
        assert found_paths(result, image)[0] == path
        assert float(result.log_probs[image, 0]) == pytest.approx(best, abs=1e-5)


def test_wide_beam_leaves_out_no_better_path(enumerated):
    """What a wide beam returns is the head of the true ranking, without a gap."""
    model, truth, width = enumerated
    result = search(model, beam_size=width, num_paths=6)
    for image in range(model.num_models):
        found = found_paths(result, image)
        expected = ranking(truth, image)[: len(found)]
        assert found == [path for _, path in expected]
        log_probs = result.log_probs[image, : len(found)].tolist()
        assert log_probs == pytest.approx([value for value, _ in expected], abs=1e-5)


@pytest.mark.parametrize(('least', 'most'), [(2, None), (0, 2), (1, 3), (2, 2), (0, 0)])
def test_length_limits(enumerated, least, most):
    """The best path among those of allowed length; probabilities are not renormalised."""
    model, truth, width = enumerated
    result = search(model, beam_size=width, num_paths=1, min_length=least, max_length=most)
    last = model.num_labels if most is None else most
    allowed = {path: value for path, value in truth.items() if least <= len(path) <= last}
    for image in range(model.num_models):
        best, path = ranking(allowed, image)[0]
        assert found_paths(result, image) == [path]
        assert float(result.log_probs[image, 0]) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize('least', [0, 3])
def test_beam_of_one_is_greedy(enumerated, least):
    model, _, _ = enumerated
    result = search(model, beam_size=1, min_length=least)
    for image in range(model.num_models):
        path, total, state, tokens = [], 0.0, model.state([image]), model.starts(1)
        while True:
            log_probs, state = model.step(tokens, state)
            row = log_probs[0].tolist()
            allowed = [x for x in range(model.num_labels) if x not in path]
            if len(path) >= least:
                allowed.append(model.num_labels)
            token = max(allowed, key=row.__getitem__)
            total += row[token]
            if token == model.num_labels:
                break
            path.append(token)
            tokens = torch.tensor([token])
        assert found_paths(result, image) == [tuple(path)]
        assert float(result.log_probs[image, 0]) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize('beam_size', [2, 3, 5])
def test_narrow_beam_by_a_plain_implementation(enumerated, beam_size):
    """The rules of section 3.3, image by image, with tuples and dicts instead of tensors."""
    model, _, _ = enumerated
    result = search(model, beam_size=beam_size)
    end = model.num_labels
    for image in range(0, model.num_models, 4):
        live = [((), 0.0, model.state([image]), model.starts(1))]
        finished, marginals = [], [0.0] * end
        while live:
            grown = []
            for path, score, state, tokens in live:
                log_probs, after = model.step(tokens, state)
                row = [-math.inf if x in path else v for x, v in enumerate(log_probs[0].tolist())]
                for label in range(end):
                    marginals[label] += math.exp(score + row[label])
                    token = torch.tensor([label])
                    grown.append(((*path, label), score + row[label], after, token))
                if end in sorted(range(end + 1), key=row.__getitem__)[-beam_size:]:
                    finished.append((score + row[end], path))
            finished = sorted(finished, reverse=True)[:beam_size]
            live = sorted(grown, key=lambda one: -one[1])[:beam_size]
            live = [one for one in live if one[1] > -math.inf]
            if live and finished and live[0][1] <= finished[-1][0]:
                break
        best = found_paths(result, image)
        assert best == [path for _, path in finished][: len(best)]
        assert best[0] == finished[0][1]
        assert float(result.log_probs[image, 0]) == pytest.approx(finished[0][0], abs=1e-5)
        assert result.marginals[image].tolist() == pytest.approx(marginals, abs=1e-5)


# Batches.
@pytest.mark.parametrize('options', [{}, {'beam_size': 2}, {'beam_size': 3, 'min_length': 2}])
def test_batch_equals_single_searches(options):
    model = RecurrentModels(32, 5, seed=11)
    whole = search(model, **options)
    lengths = {len(found_paths(whole, image)[0]) for image in range(32)}
    assert len(lengths) > 1  # else the images would all stop together
    for image in range(32):
        alone = beam_search(model.step, model.state([image]), model.starts(1), 5, **options)
        assert_same(pick_images(alone, [0]), pick_images(whole, [image]))


def test_order_of_the_batch_does_not_matter():
    model = RecurrentModels(32, 5, seed=12)
    order = torch.randperm(32).tolist()
    shuffled = beam_search(model.step, model.state(order), model.starts(), 5, beam_size=4)
    assert_same(pick_images(shuffled, range(32)), pick_images(search(model, beam_size=4), order))


#: Ends at once with 0.6; would another image keep it alive, label 0 would gain 0.3 * 0.9.
SHORT = [[0, 0.1, 0.9], [0.9, 0, 0.1], [0, 0, 1], [0.1, 0.3, 0.6]]
#: Nothing ends before both labels are there.
LONG = [[0, 1, 0], [0, 0, 1], [0, 0, 1], [0.9, 0.1, 0]]


def test_each_image_stops_alone():
    """Stop when the first is done, or not before the last is: both would change a result here."""
    result = Tables(SHORT, LONG).search(beam_size=2)
    assert found_paths(result, 0)[0] == ()
    assert float(result.log_probs[0, 0].exp()) == pytest.approx(0.6)
    assert found_paths(result, 1)[0] == (0, 1)
    assert float(result.log_probs[1, 0].exp()) == pytest.approx(0.9)
    assert_same(pick_images(result, [0]), pick_images(Tables(SHORT).search(beam_size=2), [0]))
    assert_same(pick_images(result, [1]), pick_images(Tables(LONG).search(beam_size=2), [0]))


def test_single_best_path_leaves_nothing_to_a_neighbour():
    """With K = 1 the first image is certainly done after one step, whatever its neighbour does."""
    for tables in ((SHORT,), (SHORT, LONG), (LONG, SHORT)):
        result = Tables(*tables).search(beam_size=2, num_paths=1)
        assert result.marginals[tables.index(SHORT)].tolist() == pytest.approx([0.1, 0.3])


# Hand-made tables: rows are labels, END, START; columns are labels, END.
GREEDY_TRAP = [[0, 0.55, 0.45], [0, 0, 1], [0, 0, 1], [0.6, 0.4, 0]]


def test_greedy_misses_what_a_beam_finds():
    greedy = Tables(GREEDY_TRAP).search(beam_size=1)
    assert found_paths(greedy, 0) == [(0, 1)]
    assert float(greedy.log_probs[0, 0].exp()) == pytest.approx(0.6 * 0.55)
    beam = Tables(GREEDY_TRAP).search(beam_size=2)
    assert found_paths(beam, 0) == [(1,), (0, 1)]
    assert beam.log_probs[0].exp().tolist() == pytest.approx([0.4, 0.33])
    assert beam.marginals[0].tolist() == pytest.approx([0.6, 0.4 + 0.33])


def test_first_end_does_not_stop_the_search():
    """END is a candidate after one step (0.3), yet the path over label 0 is better (0.5)."""
    table = [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0.5, 0.2, 0.3]]
    result = Tables(table).search(beam_size=2)
    assert found_paths(result, 0)[0] == (0,)
    assert result.log_probs[0, :2].exp().tolist() == pytest.approx([0.5, 0.3])


def test_paths_that_end_do_not_shrink_the_beam():
    """END (0.32) is the second best token, yet labels 0 (0.4) and 1 (0.28) both stay live."""
    table = [[0.45, 0.3, 0.25], [0, 0, 1], [0, 0, 1], [0.4, 0.28, 0.32]]
    result = Tables(table).search(beam_size=2)
    assert found_paths(result, 0) == [(), (1,)]
    assert result.log_probs[0].exp().tolist() == pytest.approx([0.32, 0.28])


def test_end_outside_the_best_b_tokens_is_no_candidate():
    """END is the third best token of the first step: two beams drop it, three keep it."""
    table = [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0.5, 0.3, 0.2]]
    two, three = (Tables(table).search(beam_size=b, num_paths=3) for b in (2, 3))
    assert () not in found_paths(two, 0)
    assert found_paths(three, 0) == [(0,), (1,), ()]


def test_stop_rule_counts_steps():
    """K = 1: no step is taken once no live path is more probable than the candidate."""
    chain = [[0, 0.5, 0, 0.5], [0, 0, 0.5, 0.5], [0.0, 0, 0, 1], [0, 0, 0, 1], [0.6, 0, 0, 0.4]]
    model = Tables(chain)
    # Step 1: END 0.4, live (0,) 0.6. Step 2: (0,) ends with 0.3, live (0, 1) 0.3 < 0.4: stop.
    result = model.search(beam_size=2, num_paths=1)
    assert len(model.calls) == 2
    assert found_paths(result, 0) == [()]
    # A worse END lets it go on. Step 1: END 0.1, live 0.9. Step 2: (0,) ends with 0.45 and the
    # live (0, 1) has 0.45, not more: stop.
    chain[-1] = [0.9, 0, 0, 0.1]
    model = Tables(chain)
    result = model.search(beam_size=2, num_paths=1)
    assert len(model.calls) == 2
    assert float(result.log_probs[0, 0].exp()) == pytest.approx(0.45)
    # Once more with nothing at the second step: three steps.
    chain[0] = [0, 0.9, 0, 0.1]
    model = Tables(chain)
    result = model.search(beam_size=2, num_paths=1)
    assert len(model.calls) == 3
    assert found_paths(result, 0) == [(0, 1)]
    assert float(result.log_probs[0, 0].exp()) == pytest.approx(0.9 * 0.9 * 0.5)


def test_worst_kept_candidate_rules_the_stop():
    """K = 2: two candidates of 0.3 and 0.1 keep a live path of 0.2 going, one of 0.3 does not."""
    # START: END 0.3, label 0 0.7. (0,): END 1/7 (0.1), label 1 2/7 (0.2), rest to itself.
    table = [[4 / 7, 2 / 7, 1 / 7], [0, 0, 1], [0, 0, 1], [0.7, 0, 0.3]]
    one, two = Tables(table), Tables(table)
    assert found_paths(one.search(beam_size=2, num_paths=1), 0) == [()]
    assert len(one.calls) == 2
    result = two.search(beam_size=2, num_paths=2)
    assert len(two.calls) == 3
    assert found_paths(result, 0) == [(), (0, 1)]
    assert result.log_probs[0].exp().tolist() == pytest.approx([0.3, 0.2])


def test_what_the_model_is_fed():
    """START first; then labels only, as many rows as live paths, and a label never twice."""
    model = Tables(LONG, GREEDY_TRAP)
    model.search(beam_size=2)
    assert model.calls[0] == [3, 3]
    assert sorted(model.calls[1][:2]) == sorted(model.calls[1][2:]) == [0, 1]
    assert all(0 <= token < 2 for call in model.calls[1:] for token in call)


def test_no_state_is_needed():
    table = torch.tensor(GREEDY_TRAP).log()
    starts = torch.full((3,), 3)
    result = beam_search(lambda tokens, state: (table[tokens], state), (), starts, 2, beam_size=2)
    assert [found_paths(result, image) for image in range(3)] == [[(1,), (0, 1)]] * 3


def test_repeats_are_masked_not_merged():
    """A model that would say label 0 for ever: it comes once, and its probability stays 0.9."""
    table = [[0.9, 0.04, 0.06], [0.9, 0.04, 0.06], [0, 0, 1], [0.9, 0.04, 0.06]]
    result = Tables(table).search(beam_size=3)
    for path in found_paths(result, 0):
        assert len(set(path)) == len(path)
    assert float(result.marginals[0, 0]) == pytest.approx(0.9 + 0.04 * 0.9)
    paths = dict(zip(found_paths(result, 0), result.log_probs[0].exp().tolist(), strict=False))
    assert paths[(0,)] == pytest.approx(0.9 * 0.06)  # not 0.9 * 0.06 / 0.1


def test_beam_wider_than_the_search_space():
    """Two labels have five paths; fifty beams return them once each and no filler."""
    table = [[0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0, 0, 1], [0.5, 0.4, 0.1]]
    result = Tables(table).search(beam_size=50)
    found = found_paths(result, 0)
    assert sorted(found) == [(), (0,), (0, 1), (1,), (1, 0)]
    expected = {(): 0.1, (0,): 0.15, (0, 1): 0.05, (1,): 0.08, (1, 0): 0.072}
    for path, value in zip(found, result.log_probs[0].exp().tolist(), strict=False):
        assert value == pytest.approx(expected[path], abs=1e-6)
    assert result.paths.shape == (1, 50, 2)
    assert bool((result.log_probs[0, 5:] == -math.inf).all())
    assert bool((result.paths[0, 5:] == -1).all())
    assert bool((result.lengths[0, 5:] == 0).all())
    assert bool((result.step_log_probs[0, 5:] == 0).all())


def test_empty_path_is_a_result():
    result = Tables([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0.1, 0.1, 0.8]]).search(beam_size=1)
    assert result.paths.shape == (1, 1, 0)
    assert result.lengths.tolist() == [[0]]
    assert result.step_log_probs.exp().flatten().tolist() == pytest.approx([0.8])


def test_every_label_in_a_path():
    """END is forced when no label is left, whatever its rank."""
    table = [[0.5, 0.499, 0.001], [0.5, 0.499, 0.001], [0, 0, 1], [0.9, 0.099, 0.001]]
    result = Tables(table).search(beam_size=1)
    assert found_paths(result, 0) == [(0, 1)]
    assert float(result.log_probs[0, 0].exp()) == pytest.approx(0.9 * 0.499 * 0.001)


def test_one_label():
    result = Tables([[0.5, 0.5], [0, 1], [0.7, 0.3]]).search(beam_size=3)
    assert found_paths(result, 0) == [(0,), ()]
    assert result.log_probs[0, :2].exp().tolist() == pytest.approx([0.35, 0.3])
    assert result.marginals[0].tolist() == pytest.approx([0.7])


# Marginals.
@pytest.mark.parametrize('kind', [RecurrentModels, NeverRepeats])
def test_marginals_are_exact_when_every_prefix_is_expanded(kind):
    """min_length = C keeps the search going to the end, so nothing is left out."""
    model = kind(30, 4, seed=21)
    result = search(model, beam_size=24, min_length=4)
    torch.testing.assert_close(
        result.marginals.double(), prefix_marginals(model), atol=1e-5, rtol=0
    )


def test_prefix_sum_is_the_probability_of_the_label():
    """Guards the claim itself: over prefixes or over whole paths, P(label in path) is the same."""
    model = NeverRepeats(10, 4, seed=22)
    truth = torch.zeros(10, 4, dtype=torch.float64)
    for path, log_prob in enumerate_paths(model).items():
        truth[:, list(path)] += log_prob.exp().unsqueeze(-1)
    torch.testing.assert_close(prefix_marginals(model), truth)


@pytest.mark.parametrize('beam_size', [1, 2, 5, 24])
def test_marginals_are_a_lower_bound(beam_size):
    model = NeverRepeats(40, 4, seed=23)
    result = search(model, beam_size=beam_size)
    assert bool((result.marginals <= prefix_marginals(model) + 1e-6).all())
    for image in range(40):  # and no less than the paths found
        found = torch.zeros(4)
        for path, log_prob in zip(
            found_paths(result, image), result.log_probs[image], strict=False
        ):
            found[list(path)] += log_prob.exp()
        assert bool((result.marginals[image] >= found - 1e-6).all())
        assert bool((result.marginals[image] > 0).all())  # labels of no path rank too


# Options and broken models.
@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(beam_size=0), 'beam_size is 0'),
        (dict(beam_size=-3), 'beam_size is -3'),
        (dict(num_paths=0), 'num_paths is 0'),
        (dict(min_length=-1), 'min_length is -1'),
        (dict(min_length=3), 'min_length is 3'),
        (dict(min_length=2, max_length=1), 'max_length is 1'),
        (dict(max_length=-1), 'max_length is -1'),
    ],
)
def test_options_out_of_range(options, named):
    with pytest.raises(UsageError, match=named):
        Tables(LONG).search(**options)


def test_no_labels():
    with pytest.raises(UsageError, match='num_labels is 0'):
        beam_search(lambda tokens, state: (tokens, state), (), torch.tensor([1]), 0)


def test_effective_options():
    assert check_options(4, 5, 0, None, None) == (4, 5)
    assert check_options(4, 5, 0, 9, None) == (4, 5)
    assert check_options(4, 5, 1, 2, 3) == (2, 3)
    assert check_options(4, 5, 0, 0, 3) == (0, 3)  # 0 is a limit, not a missing one


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('options', [{}, {'min_length': 2}, {'beam_size': 1}])
def test_broken_model_is_an_error(value, options):
    """One broken image of three, from the first step: the error names it."""
    model = Tables(LONG, LONG, LONG)
    model.log_probs[1] = value
    with pytest.raises(FloatingPointError, match='image 1 of the batch'):
        model.search(**options)


def test_model_that_breaks_on_the_way_is_an_error():
    """A state that overflows at the second step, where a candidate already exists."""
    model = Tables([[0, 0.5, 0.5], [0, 0, 1], [0, 0, 1], [0.5, 0.3, 0.2]])
    model.log_probs[0, 0] = math.nan
    with pytest.raises(FloatingPointError):
        model.search(beam_size=3)


def test_dead_end_is_an_error():
    """A zero probability may leave no path of the least length."""
    with pytest.raises(FloatingPointError, match='no path'):
        Tables([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0.5, 0.5, 0]]).search(min_length=2)


def test_no_gradient_is_recorded():
    table = torch.tensor(GREEDY_TRAP).log().clamp(min=LOG_ZERO).requires_grad_()
    result = beam_search(lambda t, s: (table[t], s), (), torch.tensor([3]), 2)
    assert not result.log_probs.requires_grad and not result.marginals.requires_grad


@st.composite
def searches(draw):
    num_labels = draw(st.integers(1, 5))
    least = draw(st.integers(0, num_labels))
    most = draw(st.none() | st.integers(least, num_labels + 2))
    options = dict(
        beam_size=draw(st.integers(1, 9)),
        min_length=least,
        max_length=most,
        num_paths=draw(st.none() | st.integers(1, 12)),
    )
    kind = draw(st.sampled_from([RecurrentModels, NeverRepeats]))
    sharpness = draw(st.sampled_from([0.3, 1.0, 4.0]))
    model = kind(draw(st.integers(1, 3)), num_labels, draw(st.integers(0, 999)), sharpness)
    return model, options


@settings(max_examples=60)
@given(searches())
def test_properties_of_any_result(drawn):
    model, options = drawn
    result = search(model, **options)
    num_labels, most = model.num_labels, options['max_length']
    most = num_labels if most is None else min(most, num_labels)
    num_paths = options['num_paths'] or options['beam_size']
    assert result.log_probs.shape == result.lengths.shape == (model.num_models, num_paths)
    longest = result.paths.shape[-1]
    assert result.paths.shape == (model.num_models, num_paths, longest)
    assert result.step_log_probs.shape == (model.num_models, num_paths, longest + 1)
    assert longest == int(result.lengths.max())
    assert result.paths.dtype == result.lengths.dtype == torch.int64
    assert bool((result.marginals >= 0).all() and (result.marginals <= 1).all())
    bound = prefix_marginals(model)
    assert bool((result.marginals <= bound + 1e-5).all())
    for image in range(model.num_models):
        found = found_paths(result, image)
        assert found and len(set(found)) == len(found)
        assert result.log_probs[image].tolist() == sorted(
            result.log_probs[image].tolist(), reverse=True
        )
        for k, path in enumerate(found):
            assert options['min_length'] <= len(path) <= most
            assert len(set(path)) == len(path) and all(0 <= label < num_labels for label in path)
            assert bool((result.paths[image, k, len(path) :] == -1).all())
            steps = result.step_log_probs[image, k]
            assert bool((steps[len(path) + 1 :] == 0).all())
            assert float(steps.sum()) == pytest.approx(float(result.log_probs[image, k]), abs=1e-4)
            expected = steps_of(model, image, path)
            assert steps[: len(path) + 1].tolist() == pytest.approx(expected, abs=1e-4)
