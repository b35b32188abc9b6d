# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import io

from rich.console import Console

from cnnrnn_mm.apis.prediction_table import PredictionTable


def record(photo, labels=('dog', 'bus'), **more):
    return {
        'photo': photo,
        'size': [40, 30],
        'labels': list(labels),
        'label_ids': list(range(len(labels))),
        'path': list(labels),
        'step_probs': [0.5, 0.25, 0.875],
        'path_prob': 0.109375,
        'set_prob': [0.125, 0.25],
        'proven': False,
        'gap': 0.6931,
        'alternatives': [{'labels': ['cat'], 'label_ids': [2], 'prob': 0.0001}],
        'marginals': [
            {'label': 'dog', 'id': 0, 'score': 0.75, 'lower': 0.5, 'upper': 0.9},
            {'label': 'bus', 'id': 1, 'score': 0.625, 'lower': 0.5, 'upper': 0.9},
        ],
        **more,
    }


def shown(records, width=100, **options):
    table = PredictionTable(**options)
    for one in records:
        table.add(one)
    consoles = [Console(file=io.StringIO(), width=width) for _ in range(2)]
    table.show(consoles[0])
    table.show_errors(consoles[1])
    return [one.file.getvalue() for one in consoles]


def test_one_photo_in_full():
    text, errors = shown([record('folder/a.jpg')])
    for words in (
        'a.jpg  40 x 30 pixels',
        'dog 0.500, bus 0.250',
        'P(path) 0.109, P(set) 0.125 to 0.250; a better path is at most 2 times as probable',
        'dog 0.500, bus 0.250, END 0.875',
        '1.0e-04',
        '0.500 to 0.900',
    ):
        assert words in text
    assert errors == ''


def test_certificates():
    assert '; proven: no allowed path' in shown([record('a', proven=True)])[0]
    assert '; not proven: another' in shown([record('a', gap=None)])[0]
    assert 'inf' not in shown([record('a', gap=2000.0)])[0]


def test_many_photos_are_a_line_each_and_the_rest_is_counted():
    text, _ = shown([record(f'{number}.jpg') for number in range(500)], rows=20)
    lines = text.splitlines()
    assert sum('.jpg' in line for line in lines) == 20
    assert lines[-1] == '... and 480 more photos'
    assert len(lines) < 30
    assert 'dog 0.500, bus 0.250' in text
    assert '0.125 to 0.250' in text


def test_errors_are_counted_too():
    broken = [{'photo': str(n), 'error': f'photo {n} is empty'} for n in range(30)]
    text, errors = shown([*broken, record('a.jpg')], rows=5)
    assert 'a.jpg' in text
    assert errors.splitlines()[0] == 'passed over: photo 0 is empty'
    assert errors.splitlines()[-1] == '... and 25 more passed over'
    assert len(errors.splitlines()) == 6


def test_a_head_without_paths():
    fields = ('path', 'step_probs', 'path_prob', 'set_prob', 'proven', 'gap', 'alternatives')
    for count in (1, 5):
        text, _ = shown([record(str(n), **dict.fromkeys(fields)) for n in range(count)])
        assert 'dog 0.750, bus 0.625' in text
        assert 'P(path)' not in text


def test_an_answer_that_is_not_the_path():
    text, _ = shown([record('a.jpg', ['bus'], label_ids=[1], path=['dog', 'bus'])])
    assert 'bus 0.625' in text
    assert 'dog 0.500, bus 0.250, END 0.875' in text


def test_no_label():
    assert 'no label' in shown([record('a.jpg', ())])[0]


def test_names_are_shown_as_they_are_and_not_obeyed():
    text, _ = shown([record('[red]a[/red]\x1b[31m\n.jpg', ['[bold]dog', '猫'])])
    assert '[red]a' not in text  # the part before the last slash is left out
    assert '\x1b' not in text
    assert '[bold]dog' in text
    assert '猫' in text
    text, _ = shown([record('a\udce9\x1b.jpg')])
    assert 'a??.jpg' in text


def test_a_narrow_terminal():
    for line in shown([record('a' * 90 + '.jpg')] * 5, width=40)[0].splitlines():
        assert len(line) <= 40
