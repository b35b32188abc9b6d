# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest
from mmengine.logging import MMLogger
from nus_wide_files import write_photos

from cnnrnn_mm.datasets.label_table import LabelTable
from cnnrnn_mm.datasets.present_images import missing_rows, only_present_images
from cnnrnn_mm.errors import UsageError

PATHS = ['a/1.jpg', 'a/2.jpg', 'b/1.jpg', 'c/d/1.jpg', '5.jpg', 'a/3.jpg']


@pytest.fixture
def table():
    labels = [(row % 2,) for row in range(len(PATHS))]
    return LabelTable('list.txt', ('x', 'y'), PATHS, labels, numbers=range(1, 7), counted='line')


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', found.append)
    return found


def test_rows_of_missing_images(tmp_path):
    write_photos(tmp_path, 'a/2.jpg', 'c/d/1.jpg', 'c/1.jpg', 'a/1.jpeg')
    (tmp_path / 'b').touch()  # no folder
    assert missing_rows(PATHS, tmp_path) == [0, 2, 4, 5]
    write_photos(tmp_path, 'a/1.jpg', 'a/3.jpg', '5.jpg')
    assert missing_rows(PATHS, str(tmp_path)) == [2]


def test_missing_images_are_left_out_with_one_warning(table, tmp_path, warnings):
    write_photos(tmp_path, 'a/2.jpg', 'b/1.jpg')
    found = only_present_images(table, tmp_path)
    assert found.img_paths == ['a/2.jpg', 'b/1.jpg']
    assert found.labels == [(1,), (0,)] and found.where(1) == 'line 3'
    (warning,) = warnings
    assert warning.startswith('4 of the 6 images of list.txt are not in ')
    assert warning.endswith(': a/1.jpg, c/d/1.jpg, 5.jpg, a/3.jpg')


def test_nothing_is_said_where_all_are_there(table, tmp_path, warnings):
    assert only_present_images(table, write_photos(tmp_path, *PATHS)) is table
    assert warnings == []


def test_the_first_missing_image_as_an_error(table, tmp_path):
    write_photos(tmp_path, *PATHS[:2])
    message = r'list\.txt: image b/1\.jpg \(line 3\), one of 4, is not in .*missing=.skip'
    with pytest.raises(UsageError, match=message):
        only_present_images(table, tmp_path, 'error')


def test_a_wrong_folder_is_an_error_and_not_an_empty_dataset(table, tmp_path):
    with pytest.raises(UsageError, match='none of the 6 images .* first a/1.jpg.* data_prefix'):
        only_present_images(table, write_photos(tmp_path, 'Flickr/a/1.jpg'))
    with pytest.raises(UsageError, match='image folder .*nowhere does not exist'):
        only_present_images(table, tmp_path / 'nowhere')


def test_the_disk_can_be_left_alone(table, tmp_path):
    assert only_present_images(table, tmp_path / 'nowhere', 'ignore') is table
    with pytest.raises(UsageError, match="missing='no' is unknown"):
        only_present_images(table, tmp_path, 'no')
