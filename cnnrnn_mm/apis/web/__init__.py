# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""A page in the browser that labels photos. Gradio is imported where it is used."""

from .serving import serve_page
from .temporary_home import temporary_home
from .upload_checks import UploadLimits

__all__ = ['UploadLimits', 'serve_page', 'temporary_home']
