# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What is wrong in a label table is named; what is right passes."""

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnrnn_mm.datasets.label_checks import check_choice, check_ids, leaves_folder, suggestion
from cnnrnn_mm.errors import UsageError

PATHS = st.text(alphabet='aB.:/\\ \0\n', max_size=8)


def leaves_by_parts(path: str) -> bool:
    """The same question put to pathlib."""
    posix = PurePosixPath(path.replace('\\', '/'))
    drive = PureWindowsPath(path[:2]).drive if path[1:2] == ':' else ''
    return not path or '\0' in path or bool(drive) or posix.is_absolute() or '..' in posix.parts


@given(path=PATHS)
def test_paths_that_leave_the_folder_are_those_of_pathlib(path):
    assert leaves_folder(path) == leaves_by_parts(path)


@pytest.mark.parametrize(
    ('path', 'leaves'),
    [
        ('a.jpg', False),
        ('train2014/a..b.jpg', False),
        ('..a/b.jpg', False),
        ('a/.../b.jpg', False),
        ('', True),
        ('/a.jpg', True),
        ('../a.jpg', True),
        ('a/../../b.jpg', True),
        ('a/..', True),
        ('..\\a.jpg', True),
        ('\\\\host\\share\\a.jpg', True),
        ('C:\\a.jpg', True),
        ('C:a.jpg', True),
        ('a\n/../b.jpg', True),
        ('a\0.jpg', True),
    ],
)
def test_leaves_folder(path, leaves):
    assert leaves_folder(path) is leaves


def wrong_by_loop(column, num_classes):
    """The first image with a label that is no class id, else the first that is out of order."""
    for check in (
        lambda ids: all(type(one) is int and 0 <= one < num_classes for one in ids),
        lambda ids: all(a < b for a, b in zip(ids, ids[1:], strict=False)),
    ):
        wrong = [row for row, ids in enumerate(column) if not check(ids)]
        if wrong:
            return wrong[0]
    return None


LABEL = st.one_of(st.integers(-1, 5), st.sampled_from([True, 1.0, '1', None, 2**70]))


@given(column=st.lists(st.lists(LABEL, max_size=4).map(tuple), max_size=5))
def test_labels_are_checked_as_one_by_one(column):
    wrong = wrong_by_loop(column, num_classes=4)
    if wrong is None:
        check_ids(column, 4, str)
    else:
        with pytest.raises(UsageError, match=f'^{wrong}: '):
            check_ids(column, 4, str)


def test_suggestion_names_what_is_near_or_what_there_is():
    assert suggestion('persons', ['dog', 'person']) == "did you mean 'person'?"
    assert suggestion('xyz', ['dog', 'person']) == 'known are dog, person'
    assert suggestion('xyz', map(str, range(20)), shown=2) == 'known are 0, 1, ...'


def test_choice():
    check_choice('empty', 'drop', ('keep', 'drop'))
    with pytest.raises(UsageError, match="empty='no' is unknown: choose one of keep, drop"):
        check_choice('empty', 'no', ('keep', 'drop'))
