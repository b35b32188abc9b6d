# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import csv
import json
from pathlib import Path

import pytest
from forked_tool import run_forked
from tiny_checkpoint import write_checkpoint
from tiny_run import CLASSES, ROOT, VAL

TOOL = ROOT / 'tools' / 'predict.py'


@pytest.fixture(scope='module')
def photos(tmp_path_factory, voc_folder):
    root = voc_folder(tmp_path_factory.mktemp('photos') / 'voc', {'val': VAL * 2})
    return root / 'JPEGImages'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory, photos):
    return write_checkpoint(tmp_path_factory.mktemp('made'), photos.parent)[0]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]


def test_a_folder_with_a_broken_photo(photos, checkpoint, tmp_path):
    """Table, JSON lines and pictures at once; the broken photo is reported and passed over."""
    (tmp_path / 'broken.jpg').write_text('no picture')
    out, pictures = tmp_path / 'deep' / 'a.jsonl', tmp_path / 'pictures'
    done = run_forked(
        TOOL, photos, tmp_path / 'broken.jpg', '--checkpoint', checkpoint, '--device', 'cpu',
        '--workers', 1, '--rows', 3, '--forbid', 'dog', '--out', out, '--out-dir', pictures,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert 'val_0000.jpg' in done.stdout
    assert 'val_0004.jpg' not in done.stdout
    assert '... and 5 more photos' in done.stdout
    assert f'passed over: photo {tmp_path}/broken.jpg is not a picture: replace it' in done.stderr
    assert 'Traceback' not in done.stderr
    records = lines(out)
    assert [Path(one['photo']).name for one in records[:8]] == [
        f'val_{number:04d}.jpg' for number in range(8)
    ]
    assert not any('dog' in one['labels'] for one in records[:8])
    assert list(records[8]) == ['photo', 'error']
    assert all(len(one['marginals']) == 4 for one in records[:8])
    assert sorted(one.stem for one in pictures.iterdir()) == [
        f'val_{number:04d}' for number in range(8)
    ]
    assert [one.name for one in out.parent.iterdir()] == ['a.jsonl']


def test_one_photo_in_full_and_csv(photos, checkpoint, tmp_path):
    (tmp_path / 'classes.txt').write_text('\n'.join(CLASSES).upper())
    done = run_forked(
        TOOL, photos / 'val_0000.jpg', '--checkpoint', checkpoint, '--device', 'cpu',
        '--classes', tmp_path / 'classes.txt', '--require', 'BUS', 'CAT', '--top', 2,
        '--cfg-options', 'model.head.postprocessor.beam_size=2', '--out', tmp_path / 'a.csv',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'val_0000.jpg  32 x 32 pixels' in done.stdout
    assert 'P(path)' in done.stdout
    with open(tmp_path / 'a.csv', encoding='utf-8') as file:
        (row,) = csv.DictReader(file)
    assert {'BUS', 'CAT'} <= set(row['labels'].split(';'))
    assert row['marginals'].count('=') == 2


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['{photo}', '--require', 'dgo'], "required holds 'dgo', which is no class: did you mean"),
        (['{photo}', '--out', '{tmp}/a.txt'], 'ends neither in .jsonl nor in .csv'),
        (['{tmp}'], 'has no photos'),
        (['{photo}', '--device', 'cuda:99'], 'device cuda:99 can not be used'),
        (['{photo}', '--config', '/none.py'], 'config /none.py does not exist'),
    ],
)
def test_mistakes_end_with_one_line(photos, checkpoint, tmp_path, words, message):
    words = [word.format(photo=photos / 'val_0000.jpg', tmp=tmp_path) for word in words]
    done = run_forked(TOOL, *words, '--checkpoint', checkpoint)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith('error: ')
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_stays_where_the_run_breaks_off(photos, checkpoint, tmp_path):
    """The pictures' folder can not be made."""
    (tmp_path / 'a.csv').write_text('old')
    (tmp_path / 'file').write_text('')
    done = run_forked(
        TOOL, photos, '--checkpoint', checkpoint, '--device', 'cpu', '--out', tmp_path / 'a.csv',
        '--out-dir', tmp_path / 'file',
    )  # fmt: skip
    assert done.returncode == 2
    assert 'can not be made' in done.stderr
    assert (tmp_path / 'a.csv').read_text() == 'old'
