# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import json
import os

import numpy as np
import pytest

from cnnrnn_mm.datasets import LoadProposals, WithBoxes
from cnnrnn_mm.datasets.transforms import load_proposals
from cnnrnn_mm.errors import UsageError

SCORED = [[0, 0, 10, 10, 0.1], [5, 5, 20, 15, 0.9], [1, 2, 3, 4, 0.5], [2, 2, 3, 4, 0.5]]
BEST_FIRST = [[5, 5, 20, 15], [1, 2, 3, 4], [2, 2, 3, 4], [0, 0, 10, 10]]
PLAIN = [[1, 1, 2, 2], [0, 0, 20, 15]]


def results_of(path, **other):
    return dict(img=np.zeros((15, 20, 3), np.uint8), img_path=path, **other)


@pytest.fixture(params=['json', 'npz'])
def save(request, tmp_path):
    def save(content):
        path = tmp_path / f'proposals.{request.param}'
        if request.param == 'npz':
            np.savez_compressed(path, **{name: np.array(one) for name, one in content.items()})
        else:
            path.write_text(json.dumps(content))
        return str(path)

    return save


def test_the_best_come_first_and_the_longest_end_counts(save):
    file = save({'a.jpg': SCORED, 'val/a.jpg': PLAIN, '/data/c.jpg': PLAIN, 'd.jpg': []})
    load = LoadProposals(file)
    for path, wanted in (
        ('/somewhere/train/a.jpg', BEST_FIRST),
        ('a.jpg', BEST_FIRST),
        ('data/val/a.jpg', PLAIN),
        ('/data/c.jpg', PLAIN),
        ('x/d.jpg', []),
    ):
        found = load(results_of(path, ori_shape=(15, 20)))['proposals']
        assert found.tolist() == wanted and found.dtype == np.float32
        assert found.shape == (len(wanted), 4)
    assert LoadProposals(file, most=2)(results_of('a.jpg'))['proposals'].tolist() == BEST_FIRST[:2]


def test_an_image_does_not_change_the_next_one(save):
    load = LoadProposals(save({'a.jpg': PLAIN}))
    load(results_of('a.jpg'))['proposals'][:] = 7
    flipped = WithBoxes(dict(type='mmcv.RandomFlip', prob=1.0))(load(results_of('a.jpg')))
    assert flipped['proposals'].tolist() == [[18, 1, 19, 2], [0, 0, 20, 15]]


def test_the_file_is_read_once_until_it_changes(save, monkeypatch):
    file = save({'a.jpg': PLAIN})
    first = LoadProposals(file)
    assert LoadProposals(file).boxes is first.boxes
    save({'a.jpg': PLAIN, 'b.jpg': PLAIN})
    os.utime(file, (1, 1))
    assert LoadProposals(file).boxes.keys() == {'a.jpg', 'b.jpg'}
    assert load_proposals._read.cache_info().maxsize == 2


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'b.jpg': PLAIN}, r'has no proposals for image x/a\.jpg: add an entry of its file name'),
        (
            {'a.jpg': [[0, 0, 20.5, 15]]},
            r'proposal 0, 0, 20\.5, 15 of image x/a.jpg leaves the ima',
        ),
        (
            {'a.jpg': [[-1, 0, 20, 15]]},
            r'leaves the image of 20 x 15: give x1, y1, x2, y2 in pixel',
        ),
        ({'a.jpg': [[3, 3, 3, 9]]}, r'proposal 3, 3, 3, 9 of a\.jpg has no area: give x1 < x2'),
        ({'a.jpg': [[3, 9, 5, 3]]}, 'has no area'),
        ({'a.jpg': [[1, 2, 3]]}, r'proposals of a\.jpg are no rows of 4 or 5 numbers'),
        ({'a.jpg': [[1, 2, 3, float('nan')]]}, 'are no rows of 4 or 5 numbers'),
        ({'a.jpg': 7}, 'are no rows of 4 or 5 numbers'),
        ({}, 'hold no images'),
    ],
)
def test_what_is_refused(content, message, save):
    with pytest.raises(UsageError, match=message):
        LoadProposals(save(content))(results_of('x/a.jpg'))


def test_files_and_places_that_can_not_be_used(tmp_path, save):
    with pytest.raises(UsageError, match=r'none\.npz cannot be read \(No such file.*: set file of'):
        LoadProposals(str(tmp_path / 'none.npz'))
    (tmp_path / 'text').write_text('boxes')
    with pytest.raises(UsageError, match='text are no JSON or NPZ file'):
        LoadProposals(str(tmp_path / 'text'))
    with pytest.raises(UsageError, match='most=0: set it to 1 or more'):
        LoadProposals(save({'a.jpg': PLAIN}), most=0)
    with pytest.raises(
        UsageError, match=r'image a\.jpg has another size .* right behind LoadImage'
    ):
        LoadProposals(save({'a.jpg': PLAIN}))(results_of('a.jpg', ori_shape=(30, 40)))


def test_damaged_archive_is_one_line(tmp_path):
    file = tmp_path / 'proposals.npz'
    np.savez(file, **{'a.jpg': np.ones((50, 4), np.float32) * [0, 0, 5, 5]})
    content = bytearray(file.read_bytes())
    content[300] ^= 0xFF  # inside of the stored array: its checksum is wrong now
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r'are no JSON or NPZ file \(Bad CRC-32') as error:
        LoadProposals(file)
    assert '\n' not in str(error.value)
