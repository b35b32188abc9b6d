# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.evaluation import LabelSetMetric
from cnnrnn_mm.models import CNNRNNHead, UnmaskedGreedyPostprocessor
from cnnrnn_mm.search import NonFiniteScoresError

C = 3
#: What follows each place in the path, image by image: the best token.
SCRIPT = [[0, 0, 1, 3], [3, 3, 3, 3], [2, 1, 2, 1]]


def decode(max_length=None, script=SCRIPT):
    def step(tokens, state):
        images, place = state
        best = torch.tensor([script[i][min(p, 3)] for i, p in zip(*map(list, state), strict=True)])
        probabilities = torch.full((len(tokens), C + 1), 0.1).scatter(1, best.unsqueeze(1), 0.7)
        return probabilities.log(), (images, place + 1)

    state = (torch.arange(len(script)), torch.zeros(len(script), dtype=torch.long))
    return UnmaskedGreedyPostprocessor(C, max_length)(step, state)


def test_labels_come_as_the_model_says_them_until_end_or_the_limit():
    samples = decode(max_length=4)
    assert [one.pred_label.tolist() for one in samples] == [[0, 0, 1], [], [2, 1, 2, 1]]
    torch.testing.assert_close(samples[0].pred_score, torch.tensor([0.7, 0.7, 0.1]))
    torch.testing.assert_close(samples[1].pred_score, torch.tensor([0.1, 0.1, 0.1]))


def test_what_one_image_gets_does_not_depend_on_the_others():
    for row, one in enumerate(decode(max_length=4)):
        (alone,) = decode(4, [SCRIPT[row]])
        assert alone.pred_label.tolist() == one.pred_label.tolist()
        torch.testing.assert_close(alone.pred_score, one.pred_score)


def test_the_metric_counts_its_repeats():
    metric = LabelSetMetric(items=['repeated', 'repeated-labels'])
    samples = [one.set_gt_label(torch.tensor([0])) for one in decode(max_length=4)]
    metric.process({}, [one.to_dict() for one in samples])
    found = metric.evaluate(len(samples))
    assert found['label-set/repeated'] == pytest.approx(200 / 3)
    assert found['label-set/repeated-labels'] == pytest.approx(300 / 7)


def test_in_a_head_it_repeats_what_a_search_never_would():
    torch.manual_seed(0)
    head = CNNRNNHead(
        C, 4, recurrent='none', postprocessor=dict(type='UnmaskedGreedyPostprocessor')
    )
    with torch.no_grad():
        head.decoder.embedding.weight.zero_()
        head.decoder.embedding.weight[0, 0] = 5.0  # label 0 wins at every step
        head.decoder.image_projection.bias.fill_(1.0)
    head.eval()
    assert head.predict((torch.zeros(2, 4),))[1].pred_label.tolist() == [0, 0, 0]


def test_bad_input():
    with pytest.raises(UsageError, match='max_length is 0'):
        UnmaskedGreedyPostprocessor(C, 0)
    with pytest.raises(NonFiniteScoresError):
        UnmaskedGreedyPostprocessor(C)(
            lambda tokens, state: (torch.full((1, C + 1), torch.nan), state),
            (torch.zeros(1, dtype=torch.long),),
        )
