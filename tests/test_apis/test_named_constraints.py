# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import pytest

from cnnrnn_mm.apis.named_constraints import name_constraints, spread_constraints
from cnnrnn_mm.errors import UsageError
from cnnrnn_mm.search import Constraints

CLASSES = ('bus', 'cat', 'dog', 'person')
ANY = Constraints()


def test_names_and_ids():
    given = dict(
        required=['dog', 0], forbidden=('cat',), exclusive=[['bus', 1]], prefix=[3], max_length=3
    )
    assert name_constraints(given, CLASSES, ANY) == dict(
        required=[2, 0], forbidden=[1], exclusive=[[0, 1]], prefix=[3], max_length=3
    )


def test_none_is_left_out():
    assert name_constraints(dict(required=None, prefix=[]), CLASSES, ANY) == dict(prefix=[])


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        (dict(required=['dgo']), r"required holds 'dgo', which is no class: did you mean 'dog'\?"),
        (dict(forbidden=['dog', 'tram']), r"forbidden holds 'tram', which is no class"),
        (dict(exclusive=[['Bus']]), r"exclusive holds 'Bus'.*did you mean 'bus'"),
        (dict(requird=['dog']), r"constraint 'requird' is not known: did you mean 'required'"),
        (dict(required='dog'), r"required is 'dog': give a list"),
        (dict(required=3), r'required is 3: give a list'),
        (dict(required=[4]), r'label 4, which is outside 0\.\.3'),
        (dict(required=[-1]), r'label -1, which is outside 0\.\.3'),
        (dict(required=[1.5]), r'required holds 1\.5: give whole numbers'),
        (dict(required=['dog'], forbidden=['dog']), r'label 2 is forbidden and required.*2 is dog'),
        (dict(prefix=['dog', 'dog']), r'prefix label 2 comes twice.*\(2 is dog\)'),
        (dict(max_length=-1), 'max_length'),
        ('dog', r"constraints are 'dog': give a mapping"),
    ],
)
def test_what_does_not_fit(given, words):
    with pytest.raises(UsageError, match=words) as no:
        name_constraints(given, CLASSES, ANY)
    assert '\n' not in str(no.value)


def test_they_are_checked_with_those_of_the_model():
    with pytest.raises(UsageError, match=r'label 1 is forbidden and required.*1 is cat'):
        name_constraints(dict(required=['cat']), CLASSES, Constraints(forbidden=[1]))
    with pytest.raises(UsageError, match='not in the canonical order'):
        name_constraints(dict(prefix=['cat', 'bus']), CLASSES, Constraints(order=[0, 1, 2, 3]))


def test_one_for_all_or_one_for_each():
    one = dict(required=['dog'])
    assert spread_constraints(None, CLASSES, ANY, 2) is None
    assert spread_constraints(one, CLASSES, ANY, 2) == [dict(required=[2])] * 2
    assert spread_constraints([one, None], CLASSES, ANY, 2) == [dict(required=[2]), {}]
    with pytest.raises(UsageError, match='there are 2 constraints for 3 photos'):
        spread_constraints([one, None], CLASSES, ANY, 3)
