"""What the documentation names is there, and what is there is documented.

Nothing is imported or built: ``make docs`` does that.
"""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / 'docs'
PACKAGE = 'cnnrnn_mm'
PAGES = sorted(
    page
    for page in (*DOCS.rglob('*.md'), *DOCS.rglob('*.rst'))
    if not page.relative_to(DOCS).parts[0].startswith('_')
)
MARKDOWN = [ROOT / 'README.md', ROOT / 'CHANGELOG.md', *(p for p in PAGES if p.suffix == '.md')]
#: Names that are wrong on purpose.
WRONG_NAMES = {'bad_input.md'}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def docname(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix('').as_posix()


def toctree_entries(page: Path) -> list[str]:
    """The documents in the toctrees of a page, as names below docs/."""
    text = page.read_text(encoding='utf-8')
    if page.suffix == '.md':
        blocks = re.findall(r'^```\{toctree\}\n(.*?)^```', text, re.M | re.S)
    else:
        blocks = re.findall(r'^\.\. toctree::\n((?:[ ]+.*\n|\n)*)', text, re.M)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    entries = [re.sub(r'.*<(.*)>', r'\1', line) for line in lines if line and line[0] != ':']
    folder = page.parent.relative_to(DOCS)
    return [(folder / entry).as_posix() for entry in entries]


def without_code(text: str) -> str:
    text = re.sub(r'^( *)(```+|~~~+).*?^\1\2', '', text, flags=re.M | re.S)
    return re.sub(r'(`+)(?!`).*?(?<!`)\1(?!`)', '', text)


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts and the site name them."""
    text = re.sub(r'^( *)(```+).*?^\1\2', '', page.read_text(encoding='utf-8'), flags=re.M | re.S)
    seen, found = Counter(), set()
    for heading in re.findall(r'^#+ +(.+?) *$', text, re.M):
        heading = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)
        slug = re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
        found.add(f'{slug}-{seen[slug]}' if seen[slug] else slug)
        seen[slug] += 1
    return found


@cache
def definitions() -> dict[str, dict[str, tuple[str, str] | None]]:
    """For each module its names: where they are imported from, or None where they are defined."""
    modules = {}
    for path in sorted((ROOT / PACKAGE).rglob('*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        is_package = parts[-1] == '__init__'
        parts = parts[:-1] if is_package else parts
        names = modules.setdefault('.'.join(parts), {})
        for node in ast.parse(path.read_text(encoding='utf-8')).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                base = parts[: len(parts) - node.level + is_package]
                source = '.'.join([*base, *([node.module] if node.module else [])])
                names.update({one.asname or one.name: (source, one.name) for one in node.names})
            elif isinstance(node, ast.ClassDef | ast.FunctionDef):
                names[node.name] = None
                if isinstance(node, ast.ClassDef):
                    names.update({f'{node.name}.{name}': None for name in members(node)})
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update({one.id: None for one in targets if isinstance(one, ast.Name)})
    return modules


@cache
def defined_names() -> set[str]:
    return {name for names in definitions().values() for name, at in names.items() if at is None}


def members(node: ast.ClassDef) -> set[str]:
    """Methods, attributes and fields of a class."""
    found = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute) and getattr(one.value, 'id', '') == 'self':
            found.add(one.attr)
        elif isinstance(one, ast.AnnAssign | ast.Assign):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def origin(module: str, name: str) -> tuple[str, str] | None:
    """Where a name of a module is defined; None where there is no such name."""
    while name in definitions().get(module, {}):
        source = definitions()[module][name]
        if source is None:
            return module, name
        module, name = source
    return None


def find(full: str) -> tuple[str, str] | None:
    """Where a dotted name is defined, a member of a class included."""
    parts = full.split('.')
    for cut in range(len(parts) - 1, 0, -1):
        module, name = '.'.join(parts[:cut]), parts[cut]
        if module in definitions():
            found = origin(module, name)
            if found and len(parts) > cut + 1:
                return origin(found[0], '.'.join([found[1], *parts[cut + 1 :]]))
            return found
    return None


@cache
def documented() -> set[tuple[str, str]]:
    """What the pages of the reference document, by where it is defined."""
    found = set()
    for page in (DOCS / 'api').rglob('*.rst'):
        module = ''
        text = page.read_text(encoding='utf-8')
        for kind, names in re.findall(r'^\.\. ([\w:]+):: +(\S.*(?:\n {4,}\S.*)*)', text, re.M):
            if kind in ('currentmodule', 'py:module'):
                module = names
            elif kind.startswith('auto') or kind == 'py:data':
                for name in names.split():
                    place = find(name if name.startswith(f'{PACKAGE}.') else f'{module}.{name}')
                    assert place, f'{relative(page)} documents {name}, which is not there'
                    found.add(place)
    return found


def public_modules() -> list[str]:
    packages = [path.parent for path in (ROOT / PACKAGE).rglob('__init__.py')]
    names = ['.'.join(folder.relative_to(ROOT).parts) for folder in packages]
    return sorted([*names, f'{PACKAGE}.registry', f'{PACKAGE}.errors'])


def all_of(module: str) -> list[str]:
    path = ROOT / Path(*module.split('.'))
    path = path / '__init__.py' if path.is_dir() else path.with_suffix('.py')
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__':
            return ast.literal_eval(node.value)
    return []


def test_every_page_can_be_reached_from_the_index():
    pages = {docname(page): page for page in PAGES}
    reached, todo = set(), ['index']
    while todo:
        name = todo.pop()
        assert name in pages, f'a toctree names {name}, which is not there'
        if name not in reached:
            reached.add(name)
            todo += toctree_entries(pages[name])
    assert reached == set(pages)
    assert len(pages) > 40


@pytest.mark.parametrize('page', MARKDOWN, ids=relative)
def test_links_lead_somewhere(page):
    text = without_code(page.read_text(encoding='utf-8'))
    for target in re.findall(r'\[[^\]]*\]\(<?([^)>\s]+)>?[^)]*\)', text):
        if re.match(r'\w+:', target):
            continue
        path, _, anchor = unquote(target).partition('#')
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT), f'{target} leads out of the project'
        assert file.exists(), f'{target} is not there'
        assert not anchor or anchor in anchors(file), f'{target}: no heading has this anchor'


def test_references_between_pages_lead_somewhere():
    names = {docname(page) for page in PAGES}
    targets = []
    for page in (DOCS / 'api').rglob('*.rst'):
        for target in re.findall(r':doc:`(?:[^`<]*<)?([^`>]+)>?`', page.read_text('utf-8')):
            folder = '' if target.startswith('/') else page.parent.relative_to(DOCS).as_posix()
            targets.append((relative(page), (Path(folder) / target.lstrip('/')).as_posix()))
    assert len(targets) > 20
    assert [(page, target) for page, target in targets if target not in names] == []


def test_every_public_name_is_in_the_reference():
    missing = [
        f'{module}.{name}'
        for module in public_modules()
        for name in all_of(module)
        if origin(module, name) not in documented()
    ]
    assert missing == [], 'add them to a page of docs/api'
    assert len(documented()) > 150


@pytest.mark.parametrize('page', MARKDOWN, ids=relative)
def test_names_of_the_package_are_there(page):
    if page.name in WRONG_NAMES:
        return
    text = page.read_text(encoding='utf-8')
    for full in re.findall(rf'(?<![\w./-]){PACKAGE}(?:\.[A-Za-z_]\w*)+(?![\w/]|\.py)', text):
        parts = full.split('.')
        in_a_config = len(parts) == 2 and parts[1] in defined_names()
        assert in_a_config or full in definitions() or find(full), f'there is no {full}'
