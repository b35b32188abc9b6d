# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The page behind an address."""

from collections.abc import Callable
from pathlib import Path

from ...errors import UsageError
from ..trained_model import TrainedModel
from .guard import LOOPBACK, Guard
from .listening import is_loopback, listen
from .page import build_page
from .page_events import PageEvents
from .photo_questions import PhotoQuestions
from .style import FONTS, MONO_FONTS, STYLE
from .upload_checks import UploadLimits

__all__ = ['serve_page']


def serve_page(
    trained: TrainedModel,
    name: str,
    folder: Path,
    host: str = '127.0.0.1',
    port: int = 7860,
    limits: UploadLimits = UploadLimits(),  # noqa: B008 - frozen
    announce: Callable[[str], None] = print,
) -> None:
    """Serve the page until the process is asked to stop.

    Nothing is written outside ``folder``, nothing loaded from elsewhere, and nothing sent anywhere.

    Args:
        trained: The model.
        name: What it is called on the page.
        folder: Of :func:`temporary_home`, inside which this has to run.
        host: Name or address to listen at. At anything but this machine's own, everybody who can
            reach the port can use the page.
        port: 0 for any that is free.
        limits: Limits of an upload.
        announce: Called with the page's address.

    Raises:
        UsageError: If Gradio is missing, or nobody can listen at that address.
    """
    try:
        import gradio as gr
        import uvicorn
        from fastapi import FastAPI
    except ImportError as error:
        raise UsageError(
            f"the page needs {error.name}, which is not installed: pip install '.[web]'"
        ) from None
    listener = listen(host, port)
    with listener:
        uploads, photos = folder / 'uploads', folder / 'photos'
        for place in (uploads, photos):
            place.mkdir(exist_ok=True)
        events = PageEvents(PhotoQuestions(trained), limits, uploads, photos)
        page = build_page(events, name).queue(max_size=200, default_concurrency_limit=1)
        app = gr.mount_gradio_app(
            FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
            page,
            path='/',
            footer_links=[],
            run_history=False,
            max_file_size=limits.max_bytes,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            show_error=False,
            theme=gr.themes.Default(font=FONTS, font_mono=MONO_FONTS),
            css=STYLE,
        )
        # Gradio checks which files a client may name only on pages that it launched itself.
        page.has_launched = True
        guard = Guard(app, limits.max_bytes, (*LOOPBACK, host) if is_loopback(host) else None)
        config = uvicorn.Config(
            guard, log_level='warning', timeout_graceful_shutdown=2, server_header=False
        )
        shown = f'[{host}]' if ':' in host else host
        announce(f'http://{shown}:{listener.getsockname()[1]}')
        uvicorn.Server(config).run(sockets=[listener])
