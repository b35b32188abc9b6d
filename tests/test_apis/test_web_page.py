# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What the page shows, and how it answers, without a browser."""

import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tiny_run import CLASSES
from web_model import LINEAR, ORDERED, save_checkpoint, write_photo

from cnnrnn_mm.apis.trained_model import load_trained_model
from cnnrnn_mm.apis.web.answer_html import (
    alternatives_html,
    labels_html,
    marginals_html,
    message_html,
    photo_html,
)
from cnnrnn_mm.apis.web.page_events import PageEvents
from cnnrnn_mm.apis.web.photo_questions import PhotoQuestions
from cnnrnn_mm.apis.web.pictures import Look, Near, attention_html, near_html, tree_html
from cnnrnn_mm.apis.web.upload_checks import UploadLimits
from cnnrnn_mm.apis.web.uploaded_photo import UploadedPhoto
from cnnrnn_mm.apis.web.wishes import Wishes
from cnnrnn_mm.apis.web.wording import escape, interval, percent, times
from cnnrnn_mm.errors import UsageError

EVIL = '<script>alert("x")</script>\n& <b>'
ENTRY = dict(
    labels=['dog', EVIL],
    path=['dog', EVIL],
    step_probs=[0.5, 0.25, 0.8],
    path_prob=0.1,
    set_prob=[0.12, 0.14],
    proven=False,
    gap=math.log(2),
    alternatives=[dict(labels=[], prob=0.04), dict(labels=['cat', 'dog'], prob=0.0002)],
    marginals=[
        dict(label='dog', score=0.9, lower=0.7, upper=0.95),
        dict(label=EVIL, score=0.4, lower=0.4, upper=0.4),
        dict(label='cat', score=0.0, lower=0.1, upper=0.2),
    ],
    regions=[[0.25, -0.1, 0.75, 0.5], None],
)


class Shown(HTMLParser):
    """The words and the tags of a piece of HTML, which has to be balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.tags, self.open = '', [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        if tag not in ('img', 'source'):
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words += data + ' '


@pytest.mark.parametrize(
    ('share', 'text'),
    [
        (0, '0 %'),
        (1, '100 %'),
        (1e-9, 'below 0.1 %'),
        (0.0005, '0.1 %'),
        (0.0994, '9.9 %'),
        (0.0996, '10 %'),
        (0.5, '50 %'),
        (0.9949, '99 %'),
        (0.9951, '99.5 %'),
        (0.99949, '99.9 %'),
        (1 - 1e-9, 'above 99.9 %'),
    ],
)
def test_percentages_never_claim_certainty(share, text):
    assert percent(share) == text


def test_other_words():
    assert interval(0.2, 0.2001) == '20 %'
    assert interval(0.2, 0.31) == '20 to 31 %'
    assert times(math.log(2)) == '2.00 times'
    assert times(math.inf) == 'more than 1,000 times'
    assert times(-1e-9) == '1.00 times'
    assert escape(EVIL) == '&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &lt;b&gt;'


def test_names_stay_text_everywhere():
    photo = UploadedPhoto(Path('x'), EVIL, (40, 30), 'data:image/jpeg;base64,')
    pixels = np.zeros((4, 4, 3), np.uint8)
    for text in (
        labels_html(ENTRY),
        marginals_html(ENTRY, {}),
        alternatives_html({'alternatives': [dict(labels=[EVIL], prob=0.1)]}),
        photo_html(photo, ENTRY),
        message_html(EVIL),
        tree_html(ENTRY),
        near_html([Near(EVIL, 1.0, [EVIL])]),
        attention_html([Look(EVIL, 0.5, pixels)]),
    ):
        assert 'script' not in Shown(text).tags and '&lt;script' in text


def test_the_labels_say_how_sure_they_are():
    words = Shown(labels_html(ENTRY)).words
    assert re.search(r'1 dog 50 %\s+2 .*25 %\s+end 80 %', words)
    assert '10 %' in words and '12 to 14 %' in words and 'not proven' in words
    assert '2.00 times' in words
    assert 'proven:' in Shown(labels_html({**ENTRY, 'proven': True})).words
    known = Shown(labels_html(ENTRY, ['dog'])).words
    assert re.search(r'1 dog known', known) and '50 %' not in known
    other = Shown(labels_html({**ENTRY, 'labels': ['cat']})).words
    assert 'answers with' in other and re.search(r'1 cat 0 %', other) and '1 dog 50 %' in other


def test_every_label_has_its_bounds_or_what_was_settled():
    text = marginals_html(ENTRY, {'cat': 'forbidden'})
    words = ' '.join(Shown(text).words.split())
    assert 'dog 90 % 70 to 95 %' in words and '40 % 40 %' in words
    assert 'cat 0 % forbidden' in words
    assert 'left:70.00%;width:25.00%' in text


def test_regions_are_boxes_on_the_photo():
    photo = UploadedPhoto(Path('x'), 'x', (400, 300), 'data:,')
    text = photo_html(photo, ENTRY)
    assert text.count('class="region"') == 1
    assert 'left:25.00%;top:0.00%;width:50.00%;height:50.00%' in text
    assert 'region' not in photo_html(photo, {**ENTRY, 'regions': [None, None]})


def test_other_answers_and_the_tree():
    words = Shown(alternatives_html(ENTRY)).words
    assert 'nothing' in words and 'cat → dog' in words and 'below 0.1 %' in words
    assert tree_html(ENTRY).count('data:image/png') == 2
    assert tree_html({**ENTRY, 'path_prob': None}) == ''


def test_wishes_contradict_each_other_by_name():
    with pytest.raises(UsageError, match='"dog" is both wanted and forbidden'):
        Wishes(known=['dog'], forbidden=['cat', 'dog'])
    wishes = Wishes(['a', 'b', 'a'], None, ['c'])
    assert wishes.known == ('a', 'b') and bool(wishes) and not Wishes()
    assert wishes.settled == {'a': 'known', 'b': 'known', 'c': 'forbidden'}


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp('page')
    return save_checkpoint(folder), save_checkpoint(folder, 'linear.pth', LINEAR)


@pytest.fixture(scope='module')
def paths(checkpoints):
    return PhotoQuestions(load_trained_model(checkpoints[0], device='cpu'))


@pytest.fixture
def events(paths, tmp_path):
    (tmp_path / 'uploads').mkdir()
    (tmp_path / 'photos').mkdir()
    limits = UploadLimits(100_000, 10_000)
    return PageEvents(paths, limits, tmp_path / 'uploads', tmp_path / 'photos')


def upload(events: PageEvents, seed: int = 1, visit=None):
    path = write_photo(events.uploads / f'{seed}.png', seed)
    return events.upload(dict(path=str(path), orig_name=f'{seed}.png'), visit)


def chips(changes) -> list[str]:
    return re.findall(r'<b>\d+</b><span>(\w+)</span>', changes['labels'])


def test_an_upload_is_answered_as_the_inferencer_does(events, paths):
    changes = upload(events)
    (record,) = paths.inferencer(str(events.uploads / '1.png'), num_workers=0)
    assert chips(changes) == record['path'] == ['person', 'bus']
    assert changes['message'] == '' and changes['more'] is None and changes['drop'] is None
    assert [one['prob'] for one in changes['visit'].entry['alternatives']] == pytest.approx(
        [one['prob'] for one in record['alternatives']]
    )
    assert len(re.findall('<tr>', changes['near'])) == 1 + len(CLASSES)


def test_wishes_change_the_answer_as_the_inferencers_constraints_do(events, paths):
    visit = upload(events)['visit']
    for wishes in (Wishes(forbidden=['person']), Wishes(required=['cat']), Wishes(['dog', 'bus'])):
        changes = events.change(visit, wishes.known, wishes.required, wishes.forbidden)
        (record,) = paths.inferencer(
            str(events.uploads / '1.png'), num_workers=0, constraints=wishes.constraints()
        )
        assert chips(changes) == record['path'] != ['person', 'bus']
        assert changes['visit'].wishes == wishes
    back = events.settle_nothing(changes['visit'])
    assert chips(back) == ['person', 'bus'] and back['forbidden'] == []


def test_find_more_asks_what_else_there_is(events, paths):
    changes = events.find_more(upload(events)['visit'], [], ['cat'])
    assert changes['known'] == ['person', 'bus']
    assert [label for _, label in changes['more']['choices']] == ['dog']
    (record,) = paths.inferencer(
        str(events.uploads / '1.png'),
        num_workers=0,
        constraints=dict(prefix=['person', 'bus'], forbidden=['cat']),
    )
    score = next(one['score'] for one in record['marginals'] if one['label'] == 'dog')
    assert changes['more']['choices'][0][0] == f'dog · {percent(score)}'
    assert f'{percent(record["step_probs"][-1])}.' in changes['more']['info']
    accepted = events.change(changes['visit'], changes['known'], [], ['cat'], ['dog'])
    assert accepted['known'] == ['person', 'bus', 'dog'] == chips(accepted)


def test_where_labels_have_one_order_known_ones_may_stand_anywhere(tmp_path):
    trained = load_trained_model(save_checkpoint(tmp_path, 'o.pth', ORDERED), device='cpu')
    for name in ('uploads', 'photos'):
        (tmp_path / name).mkdir()
    questions = PhotoQuestions(trained)
    events = PageEvents(questions, UploadLimits(), tmp_path / 'uploads', tmp_path / 'photos')
    assert questions.in_order
    visit = upload(events)['visit']
    changes = events.change(visit, ['dog'], [], [])
    paths = {}
    for least in (0, 2):
        limits = dict(required=['dog'], min_length=least)
        (record,) = questions.inferencer(
            str(events.uploads / '1.png'), num_workers=0, constraints=limits
        )
        paths[tuple(record['path'])] = record['path_prob']
        paths.update((tuple(one['labels']), one['prob']) for one in record['alternatives'])
    whole = sum(paths.values())
    shares = {
        label: percent(sum(prob for path, prob in paths.items() if label in path) / whole)
        for label in CLASSES
        if label != 'dog' and any(label in path for path in paths)
    }
    assert shares and {b: a for a, b in changes['more']['choices']} == {
        label: f'{label} · {share}' for label, share in shares.items()
    }
    # 'person' comes before 'dog' in this order, and can still be accepted.
    accepted = events.change(changes['visit'], ['dog'], [], [], ['person'])
    assert accepted['message'] == '' and {'dog', 'person'} <= set(chips(accepted))
    assert chips(accepted).index('person') < chips(accepted).index('dog')


def test_what_goes_wrong_is_said_and_the_rest_stays(events, tmp_path):
    visit = upload(events)['visit']
    changes = events.change(visit, ['dog'], [], ['dog'])
    assert set(changes) == {'message'} and 'both wanted and forbidden' in changes['message']
    assert 'Drop a photo first' in events.change(None, [], [], [])['message']
    assert 'Drop a photo first' in events.find_more(None, [], [])['message']
    (events.uploads / 'x.jpg').write_text('no photo')
    bad = dict(path=str(events.uploads / 'x.jpg'), orig_name='x.jpg')
    changes = events.upload(bad, visit)
    assert 'not an image' in changes['message'] and changes['visit'] is None
    assert changes['labels'] == '' and not list(events.photos.iterdir())
    assert 'no longer here' in events.change(visit, ['dog'], [], [])['message']
    assert 'no longer here' in events.attend(visit, 'grad_cam')['maps']


def test_files_outside_the_uploads_are_not_read(events, tmp_path):
    outside = write_photo(tmp_path / 'secret.png', 1)
    (events.uploads / 'link.png').symlink_to(outside)
    for path in (outside, events.uploads / '..' / 'secret.png', events.uploads / 'link.png', ''):
        changes = events.upload(dict(path=str(path), orig_name='x.png'), None)
        assert 'no photo arrived' in changes['message'] and changes['visit'] is None
    assert 'no photo arrived' in events.upload(None, None)['message']


def test_a_new_photo_deletes_the_one_before(events):
    first = upload(events)['visit']
    second = upload(events, 2, first)['visit']
    assert list(events.photos.iterdir()) == [second.photo.path]


def test_an_error_of_ours_is_no_traceback_on_the_page(events, monkeypatch, capsys):
    monkeypatch.setattr(events.questions, 'near', lambda photo: 1 / 0)
    changes = upload(events)
    assert 'Something went wrong' in changes['message'] and not list(events.photos.iterdir())
    assert 'ZeroDivisionError' in capsys.readouterr().err


def test_heat_maps_of_each_label(events):
    pytest.importorskip('captum', reason='heat maps need captum')
    visit = upload(events)['visit']
    maps = events.attend(visit, 'grad_cam')['maps']
    assert Shown(maps).tags.count('figure') == 2 and 'data:image/jpeg' in maps
    assert events.attend(None, 'grad_cam') == dict(maps='')


def test_heads_without_paths_show_their_scores(checkpoints, tmp_path):
    questions = PhotoQuestions(load_trained_model(checkpoints[1], device='cpu'))
    assert not questions.has_paths
    for name in ('uploads', 'photos'):
        (tmp_path / name).mkdir()
    events = PageEvents(questions, UploadLimits(), tmp_path / 'uploads', tmp_path / 'photos')
    changes = upload(events)
    (record,) = questions.inferencer(str(events.uploads / '1.png'), num_workers=0)
    assert chips(changes) == record['labels'] == ['cat', 'person', 'dog']
    assert changes['tree'] == '' and 'by itself' in changes['labels']
    assert 'certified' not in changes['every'] and changes['message'] == ''
    shutil.rmtree(events.photos)
