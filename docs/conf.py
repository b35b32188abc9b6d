# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The documentation's site: ``make docs``. Needs no network, neither to build nor to read."""

import re
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs' / '_ext')]

# mmcv-lite, about an operator that no model here needs.
warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')

from cnnrnn_mm.version import __version__  # noqa: E402

project = 'cnnrnn_mm'
author = 'cnnrnn_mm contributors'
project_copyright = 'cnnrnn_mm contributors. Licensed under Apache-2.0.'
version = release = __version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'mathml',
    'own_names',
    'tables',
]
exclude_patterns = ['_build']

# Pages
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 4  # the anchors that code hosts give

highlight_language = 'text'

html_theme = 'furo'
html_title = f'cnnrnn_mm {release}'
html_static_path = ['_static']
html_css_files = ['site.css']
html_math_renderer = 'mathml'
html_copy_source = False
html_show_sphinx = False
html_theme_options = {'navigation_with_keys': True}
pygments_style = 'friendly'
pygments_dark_style = 'monokai'

# Reference
add_module_names = False
autodoc_default_options = {
    'members': True,
    'member-order': 'bysource',
    'show-inheritance': True,
    'special-members': '__call__',
}
autodoc_inherit_docstrings = False  # what a host's method does is in the host's documentation
autodoc_preserve_defaults = True
autodoc_typehints_format = 'short'
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True
toc_object_entries_show_parents = 'hide'

# Names of other packages, whose documentation is elsewhere. Those of this one have to resolve.
nitpick_ignore_regex = [
    (r'py:.*', r'(torch|numpy|scipy|PIL|matplotlib|mmcv|mmengine|mmpretrain|onnxruntime)(\..*)?'),
    (r'py:.*', r'(abc|argparse|collections|os|pathlib|types)\..*'),
]


def link_to_root(app, relative_path, parent, content) -> None:
    """Make the relative links of a file that lies one folder up those of the page that shows it."""
    if relative_path.parent == Path('..'):
        content[0] = re.sub(r'\]\((?!\w+:|#)', '](../', content[0])


def setup(app) -> None:
    """Connect what is above."""
    app.connect('include-read', link_to_root)
