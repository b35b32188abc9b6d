# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest

from cnnrnn_mm.datasets.class_list import class_list
from cnnrnn_mm.errors import UsageError


def test_names_keep_their_order(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_text('\ufeffzebra\n\n traffic light \ncafé\n', encoding='utf-8')
    expected = ('zebra', 'traffic light', 'café')
    assert class_list(path) == class_list(str(path)) == class_list(list(expected)) == expected
    assert class_list(None) is None


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'cat\ndog\ncat\n', r"c\.txt: class name 'cat' comes twice, as 0 and 2"),
        (b'\n\n', r'c\.txt names no class'),
        (b'cat\ncaf\xe9\n', r'c\.txt, line 2 is no UTF-8: save it'),
    ],
)
def test_unusable_files(content, message, tmp_path):
    (tmp_path / 'c.txt').write_bytes(content)
    with pytest.raises(UsageError, match=message):
        class_list(tmp_path / 'c.txt')


def test_missing_file_and_wrong_names(tmp_path):
    with pytest.raises(UsageError, match=r'none\.txt cannot be read \(No such file'):
        class_list(str(tmp_path / 'none.txt'))
    with pytest.raises(UsageError, match='class 1 has no name: 3'):
        class_list(['cat', 3])
