# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Formulas as MathML, which browsers show by themselves: no script, no network, no LaTeX."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml


def visit_inline(translator, node) -> None:
    """Write one formula within a line."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(translator, node) -> None:
    """Write one formula on lines of its own."""
    formula = tex2mathml(node.astext(), as_block=True)
    translator.body.append(f'<div class="formula">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app) -> dict:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer('mathml', (visit_inline, None), (visit_block, None))
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
