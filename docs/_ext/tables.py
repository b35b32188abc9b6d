# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Tables that can be read: figures stay on one line, and long code breaks between its words."""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

#: Characters of code in a cell up to which it stays on one line.
SHORT = 20
#: Columns from which a table is set smaller.
MANY = 8
FIGURE = re.compile(r'[^A-Za-z]{1,20}')
WORDS = re.compile(r'[^/._:=,-]*[/._:=,-]*')


class FitTables(SphinxPostTransform):
    """Mark what site.css sets, and say where code may break."""

    default_priority = 500  # after the links
    formats = ('html',)

    def run(self, **kwargs) -> None:
        """Go through the tables of a page."""
        for table in self.document.findall(nodes.table):
            if len(list(table.findall(nodes.colspec))) >= MANY:
                table['classes'].append('many-columns')
            for cell in table.findall(nodes.entry):
                if FIGURE.fullmatch(cell.astext()):
                    cell['classes'].append('short')
            for literal in table.findall(nodes.literal):
                if len(literal.astext()) <= SHORT:
                    literal['classes'].append('short')
                else:
                    self.split(literal)

    @staticmethod
    def split(literal: nodes.literal) -> None:
        """Put a place to break between the words of a literal."""
        first, *others = (word for word in WORDS.findall(literal.astext()) if word)
        literal.clear()
        literal += nodes.Text(first)
        for word in others:
            literal += [nodes.raw('', '<wbr>', format='html'), nodes.Text(word)]


def setup(app) -> dict:
    """Add the transform."""
    app.add_post_transform(FitTables)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
