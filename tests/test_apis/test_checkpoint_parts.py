# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
import torch

from cnnrnn_mm.apis.checkpoint_parts import check_checkpoint_parts
from cnnrnn_mm.errors import UsageError

GOOD = {
    'state_dict': {'w': torch.ones(2), 'head._extra_state': {'a': 1}},
    'meta': {
        'dataset_meta': {'classes': ['a', 'b']},
        'label_order': {
            '': {'order': 'given', 'sequence': [1, 0]},
            'x': {'order': 'random', 'sequence': [0, 2, 1]},
        },
    },
}


@pytest.mark.parametrize(
    'content',
    [GOOD, {}, {'meta': None}, {'w': torch.ones(1)}, {'meta': {'dataset_meta': None}},
     {'meta': {'dataset_meta': {'CLASSES': 3}, 'label_order': {}}}, {'state_dict': {}}],
)  # fmt: skip
def test_what_training_writes_passes(content):
    check_checkpoint_parts(content, 'a.pth')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'meta': []}, 'a list as meta'),
        ({'state_dict': {'w': 'x'}}, 'a str as the weights w'),
        ({'meta': {'dataset_meta': {'classes': ['a', 'a']}}}, "'a' comes twice"),
        ({'meta': {'dataset_meta': {'classes': 'ab'}}}, "'ab' as its classes"),
        ({'meta': {'label_order': {'': {'order': 'given', 'sequence': [0, 2]}}}}, 'each class id'),
        ({'meta': {'label_order': {'': {'order': 'given', 'sequence': [True, 0]}}}}, 'the labels'),
        ({'meta': {'label_order': {'x': {'sequence': [0]}}}}, "order of task 'x'"),
    ],
)  # fmt: skip
def test_what_is_refused(content, message):
    with pytest.raises(UsageError, match=message) as caught:
        check_checkpoint_parts(content, 'a.pth')
    assert 'a.pth' in str(caught.value)
