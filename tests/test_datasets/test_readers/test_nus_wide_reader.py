# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import shutil

import pytest
from nus_wide_files import CONCEPTS, SPLITS, TAGS, write_nus_wide

from cnnrnn_mm.datasets.readers import read_nus_wide
from cnnrnn_mm.errors import UsageError


@pytest.fixture
def root(tmp_path):
    return write_nus_wide(tmp_path / 'nuswide')


def edit(path, old, new):
    """Change one place of a file, bytes as they are."""
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


@pytest.mark.parametrize('split', ['train', 'test', 'all'])
@pytest.mark.parametrize('concepts', [81, 1000])
def test_splits_as_they_were_written(split, concepts, root):
    table = read_nus_wide(root, split, concepts)
    column = 1 if concepts == 81 else 2
    assert table.classes == tuple(CONCEPTS if concepts == 81 else TAGS)
    assert table.img_paths == [photo[0].replace('\\', '/') for photo in SPLITS[split]]
    assert table.labels == [tuple(photo[column]) for photo in SPLITS[split]]
    assert table.difficult is None and table.areas is None
    assert table.where(1) == 'line 2'


@pytest.mark.parametrize('concepts', [81, 1000])
def test_images_without_labels_can_be_dropped(concepts, root):
    kept = read_nus_wide(root, 'all', concepts, empty='drop')
    column = 1 if concepts == 81 else 2
    wanted = [photo for photo in SPLITS['all'] if photo[column]]
    assert 0 < len(wanted) < len(SPLITS['all'])
    assert kept.img_paths == [photo[0].replace('\\', '/') for photo in wanted]
    assert kept.labels == [tuple(photo[column]) for photo in wanted]
    assert kept.where(0) == 'line 2'  # of the list, not of what is left


def test_a_choice_of_classes_has_its_own_ids(root):
    table = read_nus_wide(root, 'train', 81, ['beach', 'airport', 'animal'])
    assert table.classes == ('beach', 'airport', 'animal')
    assert table.labels == [(0, 2), (), (1, 2)]
    table = read_nus_wide(root, 'test', 1000, ['water', 'nature'])
    assert table.labels == [(), (0, 1)]
    (root / 'mine.txt').write_text('beach\nairport\nanimal\n')
    assert read_nus_wide(root, 'train', 81, str(root / 'mine.txt')).labels == [(0, 2), (), (1, 2)]


@pytest.mark.parametrize(
    ('concepts', 'name', 'message'),
    [
        (81, 'Beach', r"Concepts81\.txt has no 'Beach' of the class list: did you mean 'beach'"),
        (1000, 'beach', r"TagList1k\.txt has no 'beach' of the class list: known are nature, sky"),
    ],
)
def test_unknown_class(concepts, name, message, root):
    with pytest.raises(UsageError, match=message):
        read_nus_wide(root, 'train', concepts, [name])


def test_archives_that_were_unpacked_without_their_folders(root):
    wanted = read_nus_wide(root), read_nus_wide(root, concepts=1000)
    for inner in ('ConceptsList', 'ImageList', 'NUS_WID_Tags', 'Groundtruth'):
        for path in (root / inner).iterdir():
            shutil.move(path, root / path.name)
    found = read_nus_wide(root), read_nus_wide(root, concepts=1000)
    assert [table.labels for table in found] == [table.labels for table in wanted]


def test_lists_of_another_length_name_both_files_and_counts(root):
    edit(root / 'ImageList/TrainImagelist.txt', b'zebra\\0001_11.jpg\r\n', b'')
    message = (
        r'TrainImagelist\.txt lists 2 images, but \S*Labels_airport_Train\.txt has labels for 3'
    )
    with pytest.raises(UsageError, match=message):
        read_nus_wide(root)
    with pytest.raises(UsageError, match=r'lists 2 images, but \S*Train_Tags1k\.dat .* for 3'):
        read_nus_wide(root, concepts=1000)
    read_nus_wide(root, 'test')  # has lists of its own


def test_one_label_file_that_is_longer(root):
    path = root / 'Groundtruth/TrainTestLabels/Labels_zebra_Test.txt'
    path.write_text(path.read_text() + '1\n')
    with pytest.raises(UsageError, match=r'lists 2 images, but \S*Labels_zebra_Test.* for 3'):
        read_nus_wide(root, 'test')


@pytest.mark.parametrize(
    ('missing', 'options'),
    [
        ('Groundtruth/TrainTestLabels/Labels_zebra_Train.txt', {}),
        ('ConceptsList/Concepts81.txt', {}),
        ('ImageList/TrainImagelist.txt', {}),
        ('NUS_WID_Tags/Train_Tags1k.dat', dict(concepts=1000)),
        ('NUS_WID_Tags/AllTags1k.txt', dict(concepts=1000, split='all')),
    ],
)
def test_missing_files_are_named(missing, options, root):
    (root / missing).unlink()
    with pytest.raises(UsageError, match=f'{missing} does not exist: unpack'):
        read_nus_wide(root, **options)


def test_missing_folder(tmp_path):
    with pytest.raises(UsageError, match='folder .*nowhere does not exist: unpack the archives'):
        read_nus_wide(tmp_path / 'nowhere')


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        (rb'zebra\0001_11.jpg', rb'..\zebra.jpg', r"'\.\./zebra\.jpg' \(line 3\) leaves the image"),
        (rb'zebra\0001_11.jpg', rb'C:\zebra.jpg', r'line 3\) leaves the image folder'),
        (rb'zebra\0001_11.jpg', rb'\zebra.jpg', r'line 3\) leaves the image folder'),
        (
            rb'zebra\0001_11.jpg',
            rb'actor\0002_174174086.jpg',
            'actor/0002_174174086.jpg is listed twice, as line 2 and line 3',
        ),
        (rb'actor\0002_174174086.jpg', b' ', 'TrainImagelist.txt, line 2 is blank'),
    ],
)
def test_wrong_image_lists(old, new, message, root):
    edit(root / 'ImageList/TrainImagelist.txt', old, new)
    with pytest.raises(UsageError, match=message):
        read_nus_wide(root)


def test_wrong_label_names_file_and_line(root):
    edit(root / 'NUS_WID_Tags/Train_Tags1k.dat', b'\n0\t1\t', b'\n0\t3\t')
    with pytest.raises(UsageError, match=r"Train_Tags1k\.dat, line 2 has '3'"):
        read_nus_wide(root, concepts=1000)
    (root / 'Groundtruth/TrainTestLabels/Labels_animal_Train.txt').write_text('1\n0\nyes\n')
    with pytest.raises(UsageError, match=r"Labels_animal_Train\.txt, line 3 has 'yes'"):
        read_nus_wide(root)


def test_a_tag_list_that_does_not_fit(root):
    edit(root / 'NUS_WID_Tags/TagList1k.txt', b'clouds\r\n', b'')
    with pytest.raises(UsageError, match='Train_Tags1k.dat, line 1 has 5 entries instead of 4'):
        read_nus_wide(root, concepts=1000)


def test_empty_and_doubled_lists(root):
    (root / 'ConceptsList/Concepts81.txt').write_text('beach\nzebra\nbeach\n')
    with pytest.raises(UsageError, match="Concepts81.txt: class name 'beach' comes twice"):
        read_nus_wide(root)
    (root / 'ImageList/TestImagelist.txt').write_text('\n')
    with pytest.raises(UsageError, match=r'TestImagelist\.txt is empty'):
        read_nus_wide(root, 'test')


@pytest.mark.parametrize(
    'options', [dict(split='val'), dict(concepts=80), dict(concepts='81'), dict(empty='no')]
)
def test_unknown_options(options, root):
    ((name, value),) = options.items()
    with pytest.raises(UsageError, match=f'{name}={value!r} is unknown: choose'):
        read_nus_wide(root, **options)


def test_names_that_are_no_utf8(root):
    """The lists are old; a byte of another encoding must not make the set unusable."""
    edit(root / 'ImageList/TrainImagelist.txt', b'zebra\\', b'caf\xe9\\')
    assert read_nus_wide(root).img_paths[2] == 'caf\xe9/0001_11.jpg'
