# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import contextlib
import io
import tracemalloc

import pytest
from coco_files import CATEGORIES, SPLIT, annotation, instances, photo, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnrnn_mm.datasets.readers import read_coco

PERSON, STOP_SIGN, DOG, TOOTHBRUSH = range(4)  # ascending category ids 1, 13, 18, 90


def read(tmp_path, content=SPLIT, **options):
    return read_coco(write(tmp_path / 'instances.json', content), **options)


def test_category_ids_with_holes_become_class_ids(tmp_path):
    table = read(tmp_path)
    assert table.classes == ('person', 'stop sign', 'dog', 'toothbrush')
    assert table.img_paths == [f'COCO_train2014_{key:012d}.jpg' for key in (9, 25, 30, 34)]
    assert table.labels == [(PERSON, DOG), (PERSON,), (), (STOP_SIGN,)]
    assert table.difficult is None


def test_areas_are_those_of_the_largest_object_inside_the_image(tmp_path):
    areas = read(tmp_path).areas
    assert areas[0] == pytest.approx({PERSON: 0.2 * 0.2, DOG: 40 * 10 / (640 * 480)})
    assert areas[1:] == [{PERSON: pytest.approx(0.01)}, {}, {STOP_SIGN: 1.0}]


def test_labels_without_an_area(tmp_path):
    """Boxes of no size are in the official files; outside the image nothing is left."""
    photos = [photo(1), photo(2), photo(3), photo(4)]
    objects = [
        annotation(1, 1, 1, box=(296.65, 388.33, 1.03, 0.0)),
        annotation(2, 2, 1, box=(700, 0, 10, 10)),
        annotation(3, 3, 1),
        annotation(4, 4, 1),
    ]
    del photos[2]['width'], objects[3]['bbox']
    table = read(tmp_path, instances(photos, objects))
    assert table.labels == [(PERSON,)] * 4 and table.areas == [{}] * 4


@pytest.mark.parametrize(
    ('options', 'labels'),
    [
        (dict(crowd='drop'), [(PERSON, DOG), (), (), (STOP_SIGN,)]),
        (dict(empty='drop'), [(PERSON, DOG), (PERSON,), (STOP_SIGN,)]),
        (dict(crowd='drop', empty='drop'), [(PERSON, DOG), (STOP_SIGN,)]),
        (dict(classes=['dog', 'person']), [(0, 1), (1,), (), ()]),
        (dict(classes=['dog', 'person'], crowd='drop', empty='drop'), [(0, 1)]),
    ],
)
def test_choices(tmp_path, options, labels):
    assert read(tmp_path, **options).labels == labels


def test_classes_from_a_file(tmp_path):
    (tmp_path / 'classes.txt').write_text('stop sign\ndog\n')
    table = read(tmp_path, classes=tmp_path / 'classes.txt')
    assert table.classes == ('stop sign', 'dog') and table.labels == [(1,), (), (), (0,)]


OBJECTS = st.lists(
    st.tuples(st.sampled_from([9, 25, 30, 34]), st.sampled_from(list(CATEGORIES)), st.booleans()),
    max_size=8,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=OBJECTS, crowd=st.sampled_from(['keep', 'drop']))
def test_labels_equal_those_of_pycocotools(objects, crowd, tmp_path):
    coco = pytest.importorskip('pycocotools.coco')
    entries = [
        annotation(number, image, key, crowd=int(group))
        for number, (image, key, group) in enumerate(objects)
    ]
    content = SPLIT | {'annotations': entries}
    table = read(tmp_path, content, crowd=crowd)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = coco.COCO(str(tmp_path / 'instances.json'))
    keys = sorted(reference.getCatIds())
    assert list(table.classes) == [one['name'] for one in reference.loadCats(keys)]
    for row, image in enumerate(reference.getImgIds()):
        chosen = reference.getAnnIds(imgIds=image, iscrowd=None if crowd == 'keep' else False)
        shown = {keys.index(one['category_id']) for one in reference.loadAnns(chosen)}
        assert set(table.labels[row]) == shown
        assert table.img_paths[row] == reference.loadImgs(image)[0]['file_name']


def test_outlines_are_not_kept(tmp_path):
    """A parsed outline takes several times its text; the text itself is held, twice at most."""
    outline = [[number + 0.25 for number in range(1000)]]
    objects = [annotation(number, 9, 1, segmentation=outline) for number in range(500)]
    path = write(tmp_path / 'instances.json', instances([photo(9)], objects))
    size = path.stat().st_size
    tracemalloc.start()
    read_coco(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 2**21 and peak < 2.5 * size
