# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnrnn_mm.datasets.readers import indicator_file
from cnnrnn_mm.datasets.readers.indicator_file import read_indicators
from cnnrnn_mm.errors import UsageError


def read(folder, content, num_columns, chunk=None):
    path = Path(folder) / 'labels.txt'
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        if chunk is not None:
            patch.setattr(indicator_file, 'CHUNK', chunk)
        return read_indicators(path, num_columns)


@given(
    st.integers(1, 5).flatmap(
        lambda width: st.tuples(
            st.just(width),
            st.lists(st.lists(st.integers(0, 1), min_size=width, max_size=width), max_size=8),
        )
    ),
    st.sampled_from([' ', '\t']),
    st.sampled_from(['\n', '\r\n', '\t\n', ' \r\n']),
    st.sampled_from(['', '\n', '\r\n\n \n']),
    st.booleans(),
    st.integers(1, 40),
)
def test_equals_the_matrix_that_was_written(matrix, space, end, after, last, chunk):
    """Whatever the separators, and wherever the file is cut into parts."""
    width, rows = matrix
    text = end.join(space.join(map(str, row)) for row in rows)
    text += end + after if rows and last else ''
    with tempfile.TemporaryDirectory() as folder:
        found = read(folder, text.encode(), width, chunk)
    expected = np.array(rows, int).reshape(-1, width)
    assert found.num_rows == len(rows)
    wanted_rows, wanted_columns = expected.nonzero()
    assert found.rows.tolist() == wanted_rows.tolist()
    assert found.columns.tolist() == wanted_columns.tolist()


@pytest.mark.parametrize('chunk', [None, 4])
@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'0 1\n1 2\n0 0\n', r"labels\.txt, line 2 has '2' where only 0 and 1 may be"),
        (b'0 1\n1 1\n0 -1\n', "line 3 has '-1'"),
        (b'0 1\n1 0.5\n', r"line 2 has '0\.5'"),
        (b'0 1\n10 1\n', "line 2 has '10'"),
        (b'0 1\n11\n', "line 2 has '11'"),
        (b'\xef\xbb\xbf0 1\n', 'line 1 has '),
        (b'0 1\n\x00 1\n', 'line 2 has '),
        (b'0 1\n1\n', 'line 2 has 1 entries instead of 2'),
        (b'0 1\n1 0\n0 1 0\n', 'line 3 has 3 entries instead of 2'),
        (b'0 1\n\n1 0\n', 'line 2 is blank'),
        (b'\n1 0\n', 'line 1 is blank'),
        (b'0 1\n1 0\n \r\n\n1 0\n\n', 'line 3 is blank'),
    ],
)
def test_wrong_lines_are_named(content, message, chunk, tmp_path):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, content, 2, chunk)


def test_a_file_that_has_no_lines_at_all_is_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(indicator_file, 'LONGEST_LINE', 1000)
    with pytest.raises(UsageError, match='line 1 has 500 entries instead of 2'):
        read(tmp_path, b'0 ' * 5000, 2, chunk=500)


def test_missing_file(tmp_path):
    with pytest.raises(UsageError, match=r'nowhere\.txt cannot be read \(No such file'):
        read_indicators(tmp_path / 'nowhere.txt', 1)
