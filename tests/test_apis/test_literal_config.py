# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
import keyword
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from tiny_run import ROOT

from cnnrnn_mm.apis.literal_config import read_literal_config
from cnnrnn_mm.errors import UsageError

NAMES = st.from_regex(r'[a-z][a-z0-9_]{0,8}', fullmatch=True).filter(
    lambda name: name not in ('dict', 'set') and not keyword.iskeyword(name)
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)


def nested(children):
    mappings = st.dictionaries(st.one_of(NAMES, st.just('a.b')), children, max_size=3)
    return st.one_of(st.lists(children, max_size=3), mappings)


@settings(max_examples=40)
@given(st.dictionaries(NAMES, st.recursive(LEAVES, nested, max_leaves=8), max_size=4))
def test_what_the_host_writes_comes_back(values):
    text = Config(values).pretty_text
    assert read_literal_config(text, 'a.pth').to_dict() == Config(values).to_dict()


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs').glob('*corel5k.py')), ids=lambda p: p.stem
)
def test_our_configs_come_back(path):
    cfg = Config.fromfile(path)
    assert read_literal_config(cfg.pretty_text, 'a.pth').to_dict() == cfg.to_dict()


def test_values_that_are_written_as_names_and_calls():
    cfg = read_literal_config(
        "a = inf\nb = -inf\nc = nan\nd = (1, [2, {3}])\ne = set()\nf = dict({'x.y': 1}, z=-2)", 'a'
    )
    assert (cfg.a, cfg.b, math.isnan(cfg.c)) == (math.inf, -math.inf, True)
    assert cfg.d == (1, [2, {3}])
    assert cfg.e == set()
    assert cfg.f == {'x.y': 1, 'z': -2}


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        "a = __import__('os')",
        "a = open('exploded', 'w')",
        "a = dict(b=open('exploded', 'w'))",
        "a = [one for one in open('exploded', 'w')]",
        "open('exploded', 'w')",
        "dict(a=1)['b'] = 2",
        'a.b = 1',
        'a = b = 1',
        'a = 1 + 1',
        'a = other',
        'a = dict(*b)',
        'a = dict(**b)',
        "a = f'{1}'",
        'a: int = 1',
        'def f(): pass',
        'a = (',
        'a = {**b}',
        'a = ' + '[' * 5000 + ']' * 5000,
        'a = 1\0',
    ],
    ids=lambda text: text[:24],
)
def test_anything_else_is_refused_and_not_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r'config inside a\.pth is not made of plain values') as no:
        read_literal_config(text, 'a.pth')
    assert '\n' not in str(no.value)
    assert not Path('exploded').exists()
