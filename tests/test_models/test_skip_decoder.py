# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch
from mmpretrain.structures import DataSample

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead, SkipDecoder

C, F, N = 4, 6, 3
FEATURES = torch.randn(N, F, generator=torch.Generator().manual_seed(2))
LABELS = [[2, 3], [], [0, 3, 1]]


def build(decoder, **options):
    torch.manual_seed(0)
    return CNNRNNHead(
        C, F, embed_dims=5, hidden_dims=7, dropout=0.0, decoder=decoder, marginal=dict(), **options
    )


def samples():
    return [DataSample().set_gt_label(torch.tensor(one, dtype=torch.long)) for one in LABELS]


@torch.no_grad()
def test_labels_get_the_scaled_logits_of_the_branch_and_end_does_not():
    plain, skip = build(dict(type='LabelDecoder')), build(dict(type='SkipDecoder'))
    skip.load_state_dict(plain.state_dict(), strict=False)
    skip.decoder.skip_scale.fill_(0.3)
    tokens = torch.tensor([[skip.vocabulary.start, 2, 0]]).expand(N, -1)
    difference = skip((FEATURES,), tokens) - plain((FEATURES,), tokens)
    expected = 0.3 * plain.marginal_branch(FEATURES).unsqueeze(1).expand(-1, 3, -1)
    torch.testing.assert_close(difference[..., :C], expected)
    torch.testing.assert_close(difference[..., C], torch.zeros(N, 3))


def test_scale_learns_and_the_branch_only_where_it_is_not_detached():
    for detach in (True, False):
        head = build(dict(type='SkipDecoder', detach=detach))
        head.loss((FEATURES,), samples())['loss'].backward()
        grad = head.marginal_branch.classifier.weight.grad
        assert (grad is None or not bool(grad.any())) == detach
        assert float(head.decoder.skip_scale.grad.abs()) > 0


def test_search_with_and_without_the_trie_is_the_same():
    found = [
        build(dict(type='SkipDecoder'), use_trie=use).eval().predict((FEATURES,))
        for use in (True, False)
    ]
    for one, other in zip(*found, strict=True):
        assert one.pred_paths == other.pred_paths
        torch.testing.assert_close(one.pred_score, other.pred_score)
    assert isinstance(build(dict(type='SkipDecoder')).decoder, SkipDecoder)


def test_missing_logits_are_named():
    decoder = build(dict(type='SkipDecoder')).decoder
    with pytest.raises(UsageError, match='SkipDecoder reads the marginal branch'):
        decoder.project_image(FEATURES)
