# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""How a backbone's features become one vector: each form by hand, and what is refused."""

import pytest
import torch

from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.models import CNNRNNHead
from cnnrnn_mm.models.image_feature import image_feature

N, F, L = 2, 4, 6
VECTOR, OTHER = torch.randn(2, N, F, generator=torch.Generator().manual_seed(0))
WIDE = torch.arange(N * 3.0).view(N, 3)
MAP = torch.arange(N * F * L * 1.0).view(N, F, 2, 3)


def same(given, expected):
    torch.testing.assert_close(given, expected, atol=0, rtol=0)


def test_vector_and_map_with_or_without_stages():
    means = torch.stack([row.mean() for image in MAP for row in image]).view(N, F)
    for stages in (MAP, (MAP,), [MAP], (torch.zeros(N, 9, 8, 8), MAP), (None, MAP)):
        torch.testing.assert_close(image_feature(stages, F), means)
    same(image_feature((VECTOR,), F), VECTOR)


def test_tokens_in_both_layouts_are_averaged_over_all_tokens():
    tokens = MAP.flatten(2)  # (N, F, L)
    means = tokens.mean(2)
    torch.testing.assert_close(image_feature((tokens,), F), means)
    torch.testing.assert_close(image_feature((tokens.transpose(1, 2),), F), means)
    shuffled = tokens[..., torch.tensor([3, 0, 5, 1, 4, 2])]
    torch.testing.assert_close(image_feature((shuffled,), F), means)


def test_class_token_counts_alone_beside_a_map_or_tokens():
    for beside in (MAP, MAP.flatten(2), MAP.flatten(2).transpose(1, 2)):
        same(image_feature(([beside, VECTOR],), F), VECTOR)
        torch.testing.assert_close(
            image_feature(((beside, VECTOR, OTHER),), F), (VECTOR + OTHER) / 2
        )


def test_several_vectors_side_by_side_or_averaged():
    same(image_feature(([WIDE, VECTOR],), 3 + F), torch.cat([WIDE, VECTOR], 1))
    same(image_feature(([VECTOR, OTHER],), 2 * F), torch.cat([VECTOR, OTHER], 1))
    torch.testing.assert_close(image_feature(([VECTOR, OTHER],), F), (VECTOR + OTHER) / 2)
    pooled = MAP.mean((2, 3))
    same(image_feature(([MAP, 2 * MAP],), 2 * F), torch.cat([pooled, 2 * pooled], 1))


@pytest.mark.parametrize(
    ('feats', 'channels', 'message'),
    [
        ((VECTOR,), 5, 'in_channels=5, but backbone and neck give 4 channels: set in_channels=4'),
        ((MAP,), 3, 'give 4 channels: set in_channels=4'),
        (([MAP, VECTOR],), 8, 'give 4 channels: set in_channels=4'),
        (([WIDE, VECTOR],), 4, r'2 features of 3, 4 channels: set in_channels=7 .* side by side$'),
        (
            ([VECTOR, OTHER],),
            5,
            'in_channels=8 .* side by side, or in_channels=4 for their av',
        ),
        ((torch.zeros(N, L, F),), 5, r'\(2, 6, 4\): set in_channels=4 .* \(N, L, F\), or 6'),
        ((torch.zeros(N, F, F),), F, r'either axis may be the 4 channels: .*avg_featmap'),
        ((torch.zeros(N, F, 2, 2, 2),), F, r'shape \(2, 4, 2, 2, 2\): the head takes vectors'),
        (([MAP, torch.zeros(N, L, F)],), F, r'shape \(2, 6, 4\): the head takes vectors'),
        ((dict(map=MAP),), F, 'shape dict: the head takes vectors'),
    ],
)
def test_what_is_not_plain_is_one_line_with_the_remedy(feats, channels, message):
    with pytest.raises(UsageError, match=message) as raised:
        image_feature(feats, channels)
    assert '\n' not in str(raised.value)


def test_head_learns_from_both_branches():
    head = CNNRNNHead(num_classes=3, in_channels=3 + F, embed_dims=4, hidden_dims=4)
    branches = [WIDE.clone().requires_grad_(), VECTOR.clone().requires_grad_()]
    head((branches,)).square().sum().backward()
    assert all(branch.grad.any(1).all() for branch in branches)
