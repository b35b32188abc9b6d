# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Links to the reference for the package's own names, however they are written.

- A role with a bare name (``:class:`OrderLabels```, ``:meth:`SequenceLoss.compute```) or with the
  path of a module that re-exports it finds the one documented object of that name.
- A literal that is the name of a documented class, function or module becomes a link to it.
- A link whose text is a page's file name shows the page's title.
- Signatures show type aliases by name, and the pages of sources lead back.
"""

import re
from collections import _tuplegetter

from docutils import nodes
from sphinx import addnodes
from sphinx.domains.python import PyObject
from sphinx.ext.napoleon import GoogleDocstring
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

from cnnrnn_mm.search import State, StepFunction

#: Type aliases shown by name; with a name, only for arguments that are called so: the same type
#: stands elsewhere for something else.
ALIASES = {'StepFunction': (StepFunction, None), 'State': (State, 'state')}

NAME = re.compile(r"(?:type=')?((?:\w+\.)*[A-Za-z]\w+)'?(?:\(.*\))?")
#: Without a module in front, what looks like a class or a function; other words are arguments.
CLASS = re.compile(r'[A-Z]\w*[a-z]\w*|[A-Z]+[a-z]\w*')
FUNCTION = re.compile(r'[a-z]\w*_\w+')
PAGE = re.compile(r'(?:docs/)?\w+\.md')


def find_object(env, name: str, near: str = ''):
    """The documented object of a name: (full name, entry), or None where it is not one alone.

    Args:
        env: The build's environment.
        name: A full name, or the last parts of one; packages in front may be others.
        near: A module; where several objects fit, one within it is meant.
    """
    objects = env.get_domain('py').objects
    if name in objects:
        return name, objects[name]
    if name.startswith('cnnrnn_mm.'):
        name = re.sub(r'^cnnrnn_mm\.(?:[a-z]\w*\.)*', '', name)
    found = [full for full in objects if full.endswith('.' + name) and not objects[full].aliased]
    if len(found) > 1:
        found = [full for full in found if near and full.startswith(near)]
    return (found[0], objects[found[0]]) if len(found) == 1 else None


def resolve_role(app, env, node, contnode):
    """Resolve a role whose target is not documented under that very name."""
    if node.get('refdomain') != 'py':
        return None
    name, near = node['reftarget'], node.get('py:module') or ''
    found = find_object(env, f'{node["py:class"]}.{name}', near) if node.get('py:class') else None
    found = found or find_object(env, name, near)
    if found is None:
        return None
    full, entry = found
    return make_refnode(app.builder, node['refdoc'], entry.docname, entry.node_id, contnode, full)


class LinkLiterals(SphinxPostTransform):
    """Literals that name a documented object."""

    default_priority = 400

    def run(self, **kwargs) -> None:
        """Link them, but for those that are links or in headings."""
        for literal in list(self.document.findall(nodes.literal)):
            if isinstance(literal.parent, nodes.reference | nodes.title):
                continue
            match = NAME.fullmatch(literal.astext())
            found = match and find_object(self.env, match[1])
            if not found or not self.is_meant(match[1], found[1].objtype):
                continue
            full, entry = found
            link = make_refnode(
                self.app.builder,
                self.env.docname,
                entry.docname,
                entry.node_id,
                literal.deepcopy(),
                full,
            )
            literal.replace_self(link)

    @staticmethod
    def is_meant(name: str, kind: str) -> bool:
        """Whether a literal means the object of its name, and not an argument of that name."""
        if '.' in name:
            return True
        if kind in ('class', 'exception'):
            return bool(CLASS.fullmatch(name))
        return kind == 'function' and bool(FUNCTION.fullmatch(name))


def show_titles(app, document) -> None:
    """Drop the text of links to pages where it is a file name: the page's title takes its place."""
    for link in document.findall(addnodes.pending_xref):
        if link.get('refdomain') == 'doc' and PAGE.fullmatch(link.astext()):
            link['refexplicit'] = False
            link[0].clear()


def name_aliases(app, obj, bound_method) -> None:
    """Put the names of aliases into an object's annotations."""
    annotations = getattr(obj, '__annotations__', {})
    for argument, kind in annotations.items():
        for name, (alias, only) in ALIASES.items():
            if kind == alias and only in (None, argument):
                annotations[argument] = name


def keep_lines(app, what, name, obj, options, lines) -> None:
    """Note the docstring of an attribute as it stands."""
    app.env.temp_data['lines'] = list(lines)


def mend_docstring(app, what, name, obj, options, lines) -> None:
    """Mend what napoleon made of a docstring.

    - That of an attribute or a property is parsed like a method's: napoleon takes the words before
      its first colon as a type, and reads no sections.
    - "C." at the beginning is an axis letter, not the third entry of a list.
    - docs/scores.md and the like become links.
    """
    if what in ('attribute', 'data', 'property'):
        kept = app.env.temp_data['lines']
        lines[:] = GoogleDocstring(kept, app.config, app, 'method', name, obj, options).lines()
    for place, line in enumerate(lines):
        line = re.sub(r'^(\s*(?::\w+ [^:]+:)? *[A-Za-z])\.(?= |$)', r'\1\\.', line)
        lines[place] = re.sub(r'(?<![\w/`])docs/(\w+)\.md', r':doc:`/\1`', line)


def skip_fields(app, what, name, obj, skip, options) -> bool | None:
    """Leave out the fields of named tuples: the class lists them."""
    return True if isinstance(obj, _tuplegetter) else None


def drop_object(app, domain, objtype, content) -> None:
    """Leave out the base that every class has."""
    if content and content[0].astext() == 'Bases: object':
        del content[0]


def mend_sources(app, pagename, template, context, doctree) -> None:
    """Mend the links of viewcode's pages: it takes all names of a module for documented alike."""
    if pagename.startswith('_modules/cnnrnn_mm/'):

        def full(match: re.Match) -> str:
            found = find_object(app.env, match[1])
            return f'#{found[0] if found else match[1]}"'

        context['body'] = re.sub(r'#(cnnrnn_mm[\w.]+)"', full, context['body'])


def drop_builtins(app, env) -> None:
    """Leave out what viewcode lists without a source: where a type alias leads."""
    sources = getattr(env, '_viewcode_modules', {})
    for name in [name for name, source in sources.items() if not source]:
        del sources[name]


def setup(app) -> dict:
    """Connect what is above."""
    app.config.autodoc_type_aliases = {name: name for name in ALIASES}
    for field in PyObject.doc_field_types:
        if field.name == 'variable':
            field.label = 'Attributes'
    app.connect('missing-reference', resolve_role)
    app.connect('doctree-read', show_titles)
    app.connect('autodoc-before-process-signature', name_aliases)
    app.connect('autodoc-process-docstring', keep_lines, priority=400)
    app.connect('autodoc-process-docstring', mend_docstring, priority=600)
    app.connect('autodoc-skip-member', skip_fields)
    app.connect('object-description-transform', drop_object)
    app.connect('env-check-consistency', drop_builtins)
    app.connect('html-page-context', mend_sources)
    app.add_post_transform(LinkLiterals)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
