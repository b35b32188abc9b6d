# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The tools that count, show and draw data, run as scripts in this process to save imports."""

import json
import pickle
import re
import runpy
import sys
from typing import NamedTuple

import pytest
import torch
from forked_tool import run_forked
from PIL import Image
from tiny_run import CLASSES, ROOT, TRAIN, VAL, write_config

STATISTICS = ROOT / 'tools' / 'label_statistics.py'
BROWSE = ROOT / 'tools' / 'browse_dataset.py'
PLOT = ROOT / 'tools' / 'plot_results.py'
FIGURES = {'label_counts.png', 'set_sizes.png', 'co_occurrence.png', 'dependence.png'}


class Done(NamedTuple):
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch, capsys):
    """``run(tool, *args)``: what ``python TOOL ARGS`` prints, and its exit status."""

    def run_script(tool, *args):
        monkeypatch.setattr(sys, 'argv', [str(tool), *map(str, args)])
        status = 0
        try:
            runpy.run_path(str(tool), run_name='__main__')
        except SystemExit as end:
            status = end.code or 0
        return Done(status, *capsys.readouterr())

    return run_script


def only_line(done):
    """The one line that a tool ends with when the user can mend what is wrong."""
    assert done.status == 2, done.stdout[-2000:] + done.stderr[-2000:]
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: ')
    return line


def output(done):
    """What a tool printed that did its work."""
    assert done.status == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def write_annotations(path, label_lists, classes=CLASSES, **further):
    data = [
        dict(
            img_path=f'{number}.jpg', gt_label=labels, **{k: v[number] for k, v in further.items()}
        )
        for number, labels in enumerate(label_lists)
    ]
    path.write_text(json.dumps(dict(metainfo=dict(classes=classes), data_list=data)))
    return path


@pytest.fixture(scope='module')
def config(voc_folder, tmp_path_factory):
    """A config on a small VOC folder."""
    folder = tmp_path_factory.mktemp('data_tools')
    root = voc_folder(folder / 'voc', {'train': TRAIN, 'val': VAL})
    return write_config(root, folder / 'tiny.py')


def test_statistics_of_a_config(run, config, tmp_path):
    said = output(run(STATISTICS, config, '--out', tmp_path / 'out', '--top', 2))
    report = json.loads((tmp_path / 'out' / 'statistics.json').read_text(encoding='utf-8'))
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {*FIGURES, 'statistics.json'}
    assert report['source'] == 'tiny, train'
    found = [(one['class'], one['images']) for one in report['classes']]
    assert found == [('person', 10), ('cat', 6), ('dog', 4), ('bus', 1)]
    assert re.search(r'1\s+3\s+person\s+10\s+83\.3', said)  # rank, id, class, images, percent
    assert 'Classes, frequent first (2 of 4)' in said
    assert 'An image has 1.75 labels on average' in said
    said = output(run(STATISTICS, config, '--split', 'val'))
    assert 'An image has 1.25 labels on average' in said and 'statistics.json' not in said


def test_statistics_of_a_file(run, tmp_path):
    names = ['汽车', '[b]', 'c', 'd']
    ann = write_annotations(tmp_path / 'a.json', 20 * [[0, 1], [2], [1, 0], []], names)
    said = output(run(STATISTICS, '--ann', ann, '--out', tmp_path))
    report = json.loads((tmp_path / 'statistics.json').read_text(encoding='utf-8'))
    assert report['classes'][0] == dict(id=0, images=40, share=0.5, **{'class': '汽车'})
    assert '汽车, [b]' in said  # no markup
    # [b] copies 汽车, which is one bit; c is in half of the images without them: 0.31 bits.
    assert report['held_out_gain']['gain_bits'] == pytest.approx(1.31, abs=0.05)


def test_statistics_mistakes_are_one_line(run, config, tmp_path):
    twice = write_annotations(tmp_path / 'a.json', [[0], [1, 1]])
    line = only_line(run(STATISTICS, '--ann', twice))
    assert 'a.json: entry 1 of data_list' in line and 'twice' in line
    line = only_line(run(STATISTICS, '--ann', tmp_path / 'none.json', '--out', tmp_path / 'o'))
    assert 'none.json does not exist' in line
    assert 'x.py does not exist' in only_line(run(STATISTICS, tmp_path / 'x.py'))
    (tmp_path / 'file').write_text('')
    line = only_line(run(STATISTICS, config, '--out', tmp_path / 'file' / 'out'))
    assert 'cannot make the folder' in line
    done = run(STATISTICS)
    assert done.status == 2 and 'give either a config or --ann' in done.stderr


@pytest.mark.parametrize('mode', ['original', 'transformed', 'concat', 'pipeline'])
def test_browse_writes_a_picture_an_image(run, config, tmp_path, mode):
    options = ('-p', 'val', '-m', mode, '-n', 3, '--not-show', '-o', tmp_path / 'out')
    said = output(run(BROWSE, config, *options))
    pictures = sorted((tmp_path / 'out').iterdir())
    assert [one.name for one in pictures] == [f'00000{i}_val_000{i}.png' for i in range(3)]
    assert '3 pictures' in said
    sizes = []
    for one in pictures:
        with Image.open(one) as picture:
            assert picture.format == 'PNG'
            sizes.append(picture.width)
    # one photo of 32 x 32, magnified, or two beside each other
    assert (sizes[0] > 1000) == (mode == 'concat')


def test_browse_without_a_display_writes_files(run, config, tmp_path, monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    monkeypatch.chdir(tmp_path)
    output(run(BROWSE, config))
    folder = tmp_path / 'work_dirs' / 'tiny' / 'browse_train'
    assert len(list(folder.iterdir())) == len(TRAIN)


def test_browse_shows_photos_in_their_colours(run, tmp_path, voc_folder):
    """The pipeline holds BGR; the picture must not."""
    root = voc_folder(tmp_path / 'voc', {'train': [['cat']], 'val': [['cat']]})
    red = Image.new('RGB', (32, 32), (255, 0, 0))
    red.save(root / 'JPEGImages' / 'train_0000.jpg', quality=100)
    config = write_config(root, tmp_path / 'tiny.py')
    output(run(BROWSE, config, '--not-show', '-o', tmp_path / 'out'))
    with Image.open(tmp_path / 'out' / '000000_train_0000.png') as picture:
        pixel = picture.getpixel((100, 100))
    assert pixel[0] > 240 and max(pixel[1:]) < 15


@pytest.fixture
def boxes(tmp_path):
    """A config whose labels have areas, and two files of predictions."""
    labels = 10 * [[0], [1, 3], [], [2, 3]]
    areas = [{str(label): (label + 1) / 4 for label in one} for one in labels]
    ann = write_annotations(tmp_path / 'test.json', labels, gt_area=areas)
    config = tmp_path / 'boxes.py'
    config.write_text(
        f"dataset = dict(type='MultiLabelDataset', ann_file={str(ann)!r}, pipeline=[])\n"
        "test_dataloader = dict(dataset=dataset)\ndefault_scope = 'mmpretrain'\n"
    )
    for name, predicted in (('a', labels), ('b', 40 * [[3]])):
        content = [
            dict(img_path=f'{number}.jpg', pred_label=torch.tensor(one, dtype=torch.long))
            for number, one in enumerate(predicted)
        ]
        (tmp_path / f'{name}.pkl').write_bytes(pickle.dumps(content, 2))
    return config, ann, labels, (tmp_path / 'a.pkl', tmp_path / 'b.pkl')


def test_plots_of_two_results(run, boxes, tmp_path):
    config, ann, labels, files = boxes
    output(run(PLOT, config, *files, '--labels', 'A', 'B', '--out', tmp_path / 'out'))
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    stems = ('class_scores', 'recall_by_class_area', 'recall_by_box_area')
    assert names == {f'{stem}.{kind}' for stem in stems for kind in ('png', 'csv')}
    header, *rows = (tmp_path / 'out' / 'class_scores.csv').read_text().splitlines()
    assert header.startswith('method,class_id,class,images')
    assert [row.split(',')[:4] for row in rows[:2]] == [
        ['A', '3', 'person', '20'],
        ['A', '0', 'bus', '10'],
    ]

    write_annotations(ann, labels)  # without boxes
    said = output(run(PLOT, config, *files, '--out', tmp_path / 'fewer'))
    assert 'has no box areas (gt_area): no figure of recall against box area' in said
    names = {path.name for path in (tmp_path / 'fewer').iterdir()}
    assert names == {'class_scores.png', 'class_scores.csv'}


def test_plot_mistakes_are_one_line_and_write_nothing(run, boxes, tmp_path):
    config, ann, labels, files = boxes
    write_annotations(ann, labels[1:])
    line = only_line(run(PLOT, config, *files, '--out', tmp_path / 'none'))
    assert 'a.pkl has 40 images' in line and 'has 39' in line
    line = only_line(run(PLOT, config, *files, '--labels', 'A', '--out', tmp_path / 'none'))
    assert '--labels has 1 names for 2 files' in line
    line = only_line(run(PLOT, config, files[0], files[0], '--out', tmp_path / 'none'))
    assert 'files share a name (a, a): give different --labels' in line
    assert not (tmp_path / 'none').exists()


@pytest.mark.slow
def test_the_tools_start_on_their_own(tmp_path):
    """Nothing that the tests import is missing in a process that has only the tools."""
    script = tmp_path / 'start.py'
    script.write_text("""
import runpy, sys
for tool in sys.argv[1:]:
    sys.argv = [tool, '--help']
    try:
        runpy.run_path(tool, run_name='__main__')
    except SystemExit as end:
        assert not end.code
""")
    done = run_forked(script, STATISTICS, BROWSE, PLOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count('docs/data_tools.md') == 3
