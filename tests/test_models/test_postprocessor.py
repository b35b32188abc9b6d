# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmpretrain.evaluation import AveragePrecision
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import BeamSearchPostprocessor

C = 3
#: Rows: labels 0, 1, 2, END, START. Columns: labels 0, 1, 2, END.
PATHS = [
    [0.0, 0.0, 0.2, 0.8],
    [0.5, 0.0, 0.0, 0.5],
    [0.0, 0.0, 0.0, 1.0],
    [0.0, 0.0, 0.0, 1.0],
    [0.1, 0.6, 0.1, 0.2],
]
EMPTY = [[0.0, 0.0, 0.0, 1.0]] * 4 + [[0.05, 0.0, 0.05, 0.9]]


def decode(*tables, samples=None, **options):
    log_probs = torch.tensor(tables).log()

    def step(tokens, state):
        return log_probs[state[0], tokens], state

    return BeamSearchPostprocessor(C, **options)(step, (torch.arange(len(tables)),), samples)


def test_fields_of_the_best_path():
    (sample,) = decode(PATHS, beam_size=2)
    assert sample.pred_label.tolist() == [1]
    assert sample.pred_label.dtype == torch.int64
    assert sample.pred_paths[0] == [1] and sample.pred_paths[1] == [1, 0]
    assert sample.pred_path_log_probs.exp().tolist() == pytest.approx([0.3, 0.6 * 0.5 * 0.8])
    assert sample.pred_step_log_probs.exp().tolist() == pytest.approx([0.6, 0.5])
    # By hand: prefixes (), (1,), (0,) or (2,), and (1, 0) were expanded, at least.
    assert sample.pred_score.tolist()[1] == pytest.approx(0.6)
    assert sample.pred_score.tolist()[0] >= 0.1 + 0.6 * 0.5 - 1e-6
    assert all(isinstance(label, int) for path in sample.pred_paths for label in path)


def test_path_order_is_kept():
    table = [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    (sample,) = decode(table, beam_size=1)
    assert sample.pred_label.tolist() == [2, 1, 0]
    assert sample.pred_paths == [[2, 1, 0]]
    assert sample.pred_score.tolist() == [1, 1, 1]
    assert sample.pred_step_log_probs.tolist() == [0, 0, 0, 0]


def test_scores_are_c_probabilities_without_end():
    for sample in decode(PATHS, EMPTY):
        assert sample.pred_score.shape == (C,)
        assert bool((sample.pred_score >= 0).all() and (sample.pred_score <= 1).all())
        assert sample.num_classes == C


def test_score_is_not_the_share_of_paths():
    """A label of no finished path is still ranked above one that is less probable."""
    table = [[0, 0, 0, 1]] * 4 + [[0.04, 0.0, 0.01, 0.95]]
    (sample,) = decode(table, beam_size=1)
    assert sample.pred_paths == [[]]
    assert sample.pred_score.tolist() == pytest.approx([0.04, 0.0, 0.01])


def test_empty_path():
    empty, full = decode(EMPTY, PATHS, beam_size=2)
    assert empty.pred_label.shape == (0,) and empty.pred_label.dtype == torch.int64
    assert empty.pred_paths[0] == []
    assert empty.pred_step_log_probs.exp().tolist() == pytest.approx([0.9])
    assert empty.pred_score.tolist() == pytest.approx([0.05, 0.0, 0.05])
    assert full.pred_label.tolist() == [1]


def test_only_paths_that_exist():
    for sample in decode(PATHS, EMPTY, beam_size=20):
        assert len(sample.pred_paths) == len(sample.pred_path_log_probs) <= 16
        assert bool(sample.pred_path_log_probs.isfinite().all())
        assert len({tuple(path) for path in sample.pred_paths}) == len(sample.pred_paths)
        assert all(0 <= label < C for path in sample.pred_paths for label in path)


def test_number_of_paths():
    (sample,) = decode(PATHS, beam_size=5, num_paths=2)
    assert len(sample.pred_paths) == 2
    assert sample.pred_label.tolist() == sample.pred_paths[0]


def test_length_limits_arrive():
    (sample,) = decode(PATHS, beam_size=3, constraints=dict(min_length=2))
    assert len(sample.pred_label) == 2 and sample.pred_label.tolist() == [1, 0]
    (sample,) = decode(PATHS, beam_size=3, constraints=dict(max_length=0))
    assert sample.pred_label.tolist() == [] and sample.pred_score.tolist() == [0, 0, 0]


def test_truth_in_the_samples_stays():
    given = DataSample(metainfo=dict(img_path='a.jpg')).set_gt_label([0, 2])
    first, second = decode(PATHS, EMPTY, samples=[given, None])
    assert first is given and first.gt_label.tolist() == [0, 2] and first.img_path == 'a.jpg'
    assert 'gt_label' not in second and second.pred_label.tolist() == []


def test_results_do_not_share_memory():
    first, second = decode(EMPTY, EMPTY)
    first.pred_score += 1
    assert second.pred_score.tolist() == pytest.approx([0.05, 0.0, 0.05])


def test_host_s_average_precision():
    """One image holds 1 and 0, the other nothing: only class 0 has both a hit and a rival."""
    samples = decode(
        PATHS, EMPTY, samples=[DataSample().set_gt_label(one) for one in ([1, 0], [2])]
    )
    metric = AveragePrecision(average=None)
    metric.process(None, [sample.to_dict() for sample in samples])
    (values,) = metric.evaluate(len(samples)).values()
    # Label 2: the first image gives it at least 0.1, the second 0.05, and the second has it.
    assert list(values) == pytest.approx([100, 100, 50])


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        (dict(beam_size=0), 'beam_size is 0'),
        (dict(constraints=dict(min_length=4)), 'min_length is 4'),
        (dict(num_paths=-1), 'num_paths is -1'),
    ],
)
def test_options_are_checked_when_built(options, named):
    with pytest.raises(UsageError, match=named):
        BeamSearchPostprocessor(C, **options)
