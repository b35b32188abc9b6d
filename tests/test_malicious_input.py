# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Files that were made to do harm: no code runs, nothing is written outside, memory stays small."""

import json
import os
import pickle
import tarfile
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from bad_inputs import CASES, Bomb, GoodRun, png_bomb, run_case
from bad_inputs.bounded import run_bounded
from bad_inputs.case import Case
from bad_inputs.config_cases import train
from bad_inputs.image_cases import predict
from feature_cache import write_cache
from PIL import Image

from cnnrnn_mm.apis.voc_download import download_voc
from cnnrnn_mm.datasets.cached_features import load_features
from cnnrnn_mm.datasets.label_checks import leaves_folder, suggestion
from cnnrnn_mm.datasets.readers import read_csv, read_voc
from cnnrnn_mm.datasets.readers.coco_file import load_coco_file
from cnnrnn_mm.errors import UsageError, one_line
from cnnrnn_mm.visualization.image_names import safe_name

HARM = '\x1b]0;owned\x07\x1b[2J'


@pytest.fixture(scope='module')
def good_run(tmp_path_factory):
    return GoodRun(tmp_path_factory.mktemp('good'))


def case_of(tool, make, status=2):
    return Case('', '', tool, make, '', status)


def named(area, name):
    (found,) = (one for one in CASES if (one.area, one.name) == (area, name))
    return found


# Code in files -----------------------------------------------------------------------------------


def test_the_bomb_works(tmp_path):
    """Or else the tests below would show nothing."""
    pickle.loads(pickle.dumps(Bomb(tmp_path)))
    assert (tmp_path / 'exploded').is_dir()
    (tmp_path / 'exploded').rmdir()
    torch.save({'extra': Bomb(tmp_path)}, tmp_path / 'a.pth')
    torch.load(tmp_path / 'a.pth', weights_only=False)
    assert (tmp_path / 'exploded').is_dir()


RUNS = {
    'train.py --resume': lambda run, here: ('train.py', train(run.config, here, '--resume', BOMB)),
    'train.py load_from': lambda run, here: (
        'train.py', train(run.config, here, '--cfg-options', f'load_from={BOMB}')),
    'test.py': lambda run, here: ('test.py', [run.config, BOMB, '--work-dir', here / 'work']),
    'extract_features.py': lambda run, here: (
        'extract_features.py', [run.config, BOMB, '--out', here / 'work']),
    'choose_decision.py': lambda run, here: ('choose_decision.py', [run.config, BOMB]),
}  # fmt: skip
BOMB = 'bomb.pth'


@pytest.mark.parametrize('way', RUNS)
@pytest.mark.parametrize('zipped', [True, False])
def test_a_checkpoint_runs_no_code(way, zipped, good_run, tmp_path):
    tool, _ = RUNS[way](good_run, tmp_path)

    def make(run, here):
        content = {'state_dict': {}, 'meta': {}, 'extra': Bomb(here)}
        torch.save(content, here / BOMB, _use_new_zipfile_serialization=zipped)
        return RUNS[way](run, here)[1]

    outcome = run_case(case_of(tool, make), good_run, tmp_path / 'here')
    assert outcome.status == 2 and 'could run code when loaded' in outcome.message
    assert outcome.left == []


def test_a_cache_of_features_runs_no_code(tmp_path):
    cache = write_cache(tmp_path / 'f', torch.ones(3, 1, 4), [[0]] * 3, ['a', 'b'])
    file = tmp_path / 'f' / 'features.npy'
    assert file.is_file() and len(cache.views) == 3
    np.save(tmp_path / 'objects.npy', np.array([Bomb(tmp_path)], dtype=object))
    for content in (pickle.dumps(Bomb(tmp_path)), (tmp_path / 'objects.npy').read_bytes()):
        file.write_bytes(content)
        with pytest.raises(UsageError, match='damaged') as caught:
            load_features(tmp_path / 'f')
        assert '\n' not in str(caught.value)
        assert not (tmp_path / 'exploded').exists()


def test_the_config_in_a_checkpoint_runs_no_code(good_run, tmp_path):
    for number, code in enumerate(
        (
            "model = __import__('os').mkdir('exploded')",
            "import os; os.mkdir('exploded')\nmodel = dict(type='ImageClassifier')",
            "model = dict(type='ImageClassifier', x=[open('exploded', 'w') for _ in (1,)])",
            "model = dict(**__import__('os').environ)",
            '_base_ = [\'other.py\']\nmodel = f\'{open("exploded", "w")}\'',
            'model = (lambda: 1)()',
        )
    ):

        def make(run, here, code=code):
            content = torch.load(run.checkpoint, weights_only=True)
            content['meta']['cfg'] = code
            torch.save(content, here / 'a.pth')
            return [run.photo, '--checkpoint', here / 'a.pth']

        outcome = run_case(case_of('predict.py', make), good_run, tmp_path / str(number))
        assert outcome.status == 2 and 'is not made of plain values' in outcome.message
        assert outcome.left == []


# Memory and time ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('area', 'name'),
    [
        ('annotation', 'JSON: nested 100,000 times'),
        ('annotation', 'VOC: an entity bomb'),
        ('annotation', 'VOC: an external entity'),
        ('annotation', 'CSV: a field of 2 MB'),
        ('annotation', 'proposals: a zip bomb'),
        ('annotation', 'proposals: nested 100,000 times'),
        ('image', 'a decompression bomb'),
        ('image', 'training on a decompression bomb'),
        ('image', 'training on 20,000 x 20,000 pixels'),
        ('image', 'testing on 20,000 x 20,000 pixels'),
        ('checkpoint', 'a config nested 3,000 times'),
        ('checkpoint', 'a config of 2,000 powers'),
    ],
)
def test_memory_and_time_are_bounded(area, name, good_run, tmp_path):
    """In a process that may take 300 MB more than it has."""
    case = named(area, name)
    outcome = run_bounded(run_case, case, good_run, tmp_path / 'here', megabytes=300, seconds=20)
    assert outcome.status == case.status and not outcome.crashed
    assert case.says in outcome.message
    assert outcome.left == []


def test_the_bound_is_one():
    with pytest.raises(AssertionError, match='MemoryError'):
        run_bounded(bytearray, 2**30, megabytes=300)
    with pytest.raises(AssertionError, match='ended, status -'):
        run_bounded(pow, 7, 10**9, seconds=1)


def test_a_picture_is_measured_before_it_is_decoded(tmp_path):
    """30,000 x 30,000 is below OpenCV's limit: decoded, it takes 2.7 GB."""
    from cnnrnn_mm.apis.photo_inputs import Photo
    from cnnrnn_mm.apis.photo_reading import PhotoReader
    from cnnrnn_mm.datasets.readable_images import why_unreadable

    path = str(png_bomb(tmp_path / 'a.png', 30_000, 30_000))

    def read():
        with pytest.raises(UsageError, match='a.png has .* pixels'):
            PhotoReader()(Photo(path, 'a.png', path))
        return why_unreadable(path)

    assert '900000000 pixels' in run_bounded(read, megabytes=300, seconds=10)


def test_external_entities_are_not_read(tmp_path):
    secret = tmp_path / 'secret.txt'
    secret.write_text('dog')
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a.txt').write_text('1\n')
    for kind in ('SYSTEM "file://', 'PUBLIC "x" "file://'):
        (tmp_path / 'a' / '1.xml').write_text(
            f'<!DOCTYPE a [<!ENTITY x {kind}{secret}">]><annotation><object><name>&x;</name>'
            '</object></annotation>'
        )
        with pytest.raises(UsageError, match='document type'):
            read_voc(str(tmp_path / 'a.txt'), str(tmp_path / 'a'), ['dog'])


def test_a_deep_coco_file_is_one_line(tmp_path):
    (tmp_path / 'a.json').write_text('{"images":' * 60_000)
    with pytest.raises(UsageError, match='is no whole JSON file'):
        load_coco_file(tmp_path / 'a.json')


def test_no_text_takes_long_to_check(tmp_path):
    """Patterns and near matches on texts that are made to be slow."""
    start = time.process_time()
    for text in ('../' * 100_000, '/.' * 200_000, 'a/' * 200_000 + '..', 'a' * 500_000):
        leaves_folder(text)
    assert leaves_folder('a/' * 200_000 + '..') and not leaves_folder('a/..b/' * 100_000)
    suggestion('ab' * 50_000, [f'class{number}' for number in range(1000)])
    suggestion('a' * 120_000, ['a' * 100 for _ in range(100)])
    one_line('\x1b' * 300_000)
    (tmp_path / 'a.csv').write_text('path,labels\na.jpg,' + ';' * 100_000 + '\n')
    with pytest.raises(UsageError, match='line 2 has an empty label'):
        read_csv(tmp_path / 'a.csv')
    assert time.process_time() - start < 10


# Paths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize('path', ['../../x.jpg', '/tmp/x.jpg', 'a/../../x.jpg', '..\\x.jpg', 'a\0'])
def test_no_annotation_names_a_file_outside(path, good_run, tmp_path):
    """Of a dataset with an image folder; without one, absolute paths are what it is for."""

    def make(run, here):
        content = run.json_content()
        content['data_list'][0]['img_path'] = path
        (here / 'a.json').write_text(json.dumps(content))
        dataset = (
            "dict(type='MultiLabelDataset', ann_file={!r}, data_prefix={!r}, "
            'pipeline=train_pipeline)'
        ).format(str(here / 'a.json'), str(run.voc / 'JPEGImages'))
        return train(run.config_with(here, f"train_dataloader['dataset'] = {dataset}"), here)

    outcome = run_case(case_of('train.py', make), good_run, tmp_path / 'here')
    assert outcome.status == 2 and 'leaves the image folder' in outcome.message


def odd_photos(folder):
    """Photos whose names could lead out of a folder, were they taken for paths."""
    (folder / 'deep').mkdir(parents=True)
    names = ['a\nb.jpg', f'{HARM}.jpg', 'a\\..\\b.jpg', 'deep/../c.jpg', '%2e%2e%2fd.jpg']
    return [GoodRun.picture(folder / name, format='JPEG') for name in names]


def check_pictures(outcome, folder, photos, tmp_path):
    """One picture a photo, in the folder, and no other file anywhere."""
    assert outcome.status == 0, outcome.crashed
    inside = [one for one in outcome.left if one != folder and not one.startswith('out.')]
    made = [one.removeprefix(f'{folder}/') for one in inside]
    assert len(made) == len(photos) and all(one.endswith('.png') for one in made)
    assert len(inside) == sum(one.startswith(f'{folder}/') for one in inside)
    assert all('/' not in one for one in made)
    assert sorted(one.name for one in tmp_path.iterdir()) == ['here', 'photos']
    assert len(list((tmp_path / 'photos').iterdir())) == len(photos) + 1


def test_pictures_of_photos_are_written_below_their_folder_alone(good_run, tmp_path):
    photos = odd_photos(tmp_path / 'photos')

    def make(run, here):
        return predict(run, *photos, '--out-dir', here / 'out', '--out', here / 'out.jsonl')

    outcome = run_case(case_of('predict.py', make, 0), good_run, tmp_path / 'here')
    check_pictures(outcome, 'out', photos, tmp_path)


def test_pictures_of_a_test_run_are_written_below_their_folder_alone(good_run, tmp_path):
    """An annotation file without image folder may name any photo, for reading."""
    photos = odd_photos(tmp_path / 'photos')

    def make(run, here):
        content = run.json_content()
        content['data_list'] = [dict(img_path=str(one), gt_label=[1]) for one in photos]
        (here / 'a.json').write_text(json.dumps(content))
        dataset = f"dict(type='MultiLabelDataset', ann_file={str(here / 'a.json')!r}, "
        extra = f"test_dataloader['dataset'] = {dataset}pipeline=test_pipeline)"
        config = run.config_with(here, extra)
        return [config, run.checkpoint, '--work-dir', here / 'work', '--show-dir', here / 'shown']

    outcome = run_case(case_of('test.py', make, 0), good_run, tmp_path / 'here')
    shown = [one for one in outcome.left if one.endswith('.png')]
    check_pictures(replace(outcome, left=shown), os.path.dirname(shown[0]), photos, tmp_path)


def test_a_name_never_becomes_a_path():
    for name in ('../../x', '/etc/passwd', 'a/b', '..', '', 'C:\\x', 'a\0b', '~root', HARM):
        safe = safe_name(name)
        assert os.path.basename(safe) == safe and safe not in ('', '.', '..')
        assert safe.isprintable() and '\\' not in safe


def test_an_archive_that_is_not_voc_is_not_unpacked(tmp_path, monkeypatch):
    """One with names that climb out, where the official archive would lie."""
    root = tmp_path / 'data'
    root.mkdir()
    (tmp_path / 'harm.txt').write_text('harm')
    with tarfile.open(root / 'VOCtrainval_06-Nov-2007.tar', 'w') as archive:
        archive.add(tmp_path / 'harm.txt', '../outside.txt')
        archive.add(tmp_path / 'harm.txt', f'{tmp_path}/absolute.txt')

    def offline(*_, **__):
        raise OSError('no network in tests')

    monkeypatch.setattr('torchvision.datasets.utils._urlretrieve', offline)
    monkeypatch.setattr('torchvision.datasets.utils._get_redirect_url', lambda url, **_: url)
    with pytest.raises(UsageError, match='VOC 2007 cannot be downloaded'):
        download_voc(root, '2007', 'train')
    assert sorted(one.name for one in tmp_path.iterdir()) == ['data', 'harm.txt']
    assert [one.name for one in root.iterdir()] == ['VOCtrainval_06-Nov-2007.tar']


# What is printed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'name', [f'{HARM}.jpg', 'a\nerror: all is lost.jpg', 'a\r\u2028\u202egpj.jpg']
)
def test_a_file_name_can_not_forge_a_message(name, good_run, tmp_path):
    def make(run, here):
        (here / name).write_text('no picture')
        return predict(run, here / name)

    outcome = run_case(case_of('predict.py', make, 1), good_run, tmp_path / 'here')
    assert outcome.status == 1 and len(outcome.errors) == 1
    assert outcome.message.isprintable() and 'is not a picture' in outcome.message
    assert one_line(name).partition('.')[0] in outcome.message


def test_messages_are_one_printable_line(capsys):
    from cnnrnn_mm.apis import report_usage_errors

    for text in (f'a {HARM} b', 'a\nerror: b', 'a\x85b', '\ud800'):
        assert str(UsageError(text)).isprintable()
        with pytest.raises(SystemExit), report_usage_errors():
            raise UsageError(text)
        said = capsys.readouterr().err
        assert said.count('\n') == 1 and said[:-1].isprintable()
    assert one_line('Käse, 猫 "x" \\ 100 %') == 'Käse, 猫 "x" \\ 100 %'


@pytest.mark.parametrize('name', [f'{HARM}cat', 'cat\nerror: dog', 'cat\x00', 'cat\u2028dog'])
def test_class_names_can_not_steer_a_terminal(name, good_run, tmp_path):
    def make(run, here):
        content = run.json_content()
        content['metainfo']['classes'][1] = name
        (here / 'a.json').write_text(json.dumps(content))
        return ['--ann', here / 'a.json']

    outcome = run_case(case_of('label_statistics.py', make), good_run, tmp_path / 'here')
    assert outcome.status == 2 and 'with a control character: remove it' in outcome.message
    assert outcome.message.isprintable()


def test_a_picture_with_much_metadata_is_harmless(good_run, tmp_path):
    """EXIF and comments are no part of what is printed or drawn."""

    def make(run, here):
        photo = Image.new('RGB', (32, 32))
        photo.save(here / 'a.jpg', comment=HARM.encode() * 1000)
        return predict(run, here / 'a.jpg')

    outcome = run_case(case_of('predict.py', make, 0), good_run, tmp_path / 'here')
    assert outcome.status == 0 and outcome.left == []
