"""Every name on the page that maps equations to code is there to be found."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs' / 'method.md').read_text(encoding='utf-8')
CODE = sorted(set(re.findall(r'`(cnnrnn_mm\.[\w.]+)`', PAGE)))
TESTS = sorted(set(re.findall(r'`(tests/[\w/.]+\.py)(?:::(\w+))?`', PAGE)))


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding='utf-8'))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def find(name: str) -> object:
    """What a dotted name means, whether its end is a module, a class or a method."""
    parts = name.split('.')
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module('.'.join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def test_the_page_has_rows_for_all_equations():
    rows = [line.split('|')[1] for line in PAGE.splitlines() if line.startswith('|')]
    for number in range(1, 7):
        assert any(f'({number})' in first for first in rows), number
    assert len(CODE) > 20 and len(TESTS) > 30


@pytest.mark.parametrize('name', CODE)
def test_code_exists(name):
    find(name)


def test_a_wrong_name_is_noticed():
    with pytest.raises(AttributeError):
        find('cnnrnn_mm.search.bream_search')


@pytest.mark.parametrize(('path', 'name'), TESTS)
def test_tests_exist(path, name):
    functions = functions_of(path)
    assert name in functions if name else any(f.startswith('test_') for f in functions)
