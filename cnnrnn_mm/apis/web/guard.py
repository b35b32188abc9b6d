# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What may be asked of the server."""

import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

__all__ = ['LOOPBACK', 'Guard']

Scope = MutableMapping[str, Any]
Channel = Callable[..., Awaitable[Any]]

#: Names of this machine, as a browser on it writes them.
LOOPBACK = ('127.0.0.1', 'localhost', '::1')
#: Most bytes of a request that uploads nothing, and of what surrounds an upload.
SMALL_BODY = 256 * 1024
UPLOAD = '/gradio_api/upload'
#: All that the page needs. Gradio serves much more: files by path, a proxy, recordings, monitoring.
READ = re.compile(
    r'/|/(config|theme\.css|manifest\.json|favicon\.ico|robots\.txt|pwa_icon(/\d+)?)/?'
    r'|/(assets|static)/.+'
    r'|/gradio_api/(app_id|heartbeat/\w+|info|queue/data|startup-events|theme\.css|upload_progress)/?'
)
SEND = re.compile(rf'{UPLOAD}/?|/gradio_api/(queue/join|cancel|reset)/?')
#: The page loads nothing from elsewhere, and no other page can frame it. Gradio's own scripts stand
#: in the page and compile templates; pictures are in the page or made in the browser.
HEADERS = {
    'content-security-policy': (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "worker-src 'self' blob:; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
    ),
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
}


class Guard:
    """An ASGI application in front of another one, which lets through what the page needs.

    Args:
        app: The application behind.
        max_bytes: Largest upload, in bytes.
        hosts: Names that the server may be called by, in requests and by pages that send some;
            None for any. With the names of this machine alone, a web page elsewhere can not reach
            the server through a browser here, whatever address its name resolves to.
    """

    def __init__(
        self, app: Callable, max_bytes: int, hosts: Collection[str] | None = LOOPBACK
    ) -> None:
        self.app, self.max_bytes, self.hosts = app, max_bytes, hosts

    async def __call__(self, scope: Scope, receive: Channel, send: Channel) -> None:
        """Answer a request, or hand it on."""
        if scope['type'] == 'lifespan':
            return await self.app(scope, receive, send)
        if scope['type'] != 'http':
            return None
        refusal = self.refusal(scope)
        if refusal is not None:
            return await _refuse(send, *refusal)

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message['type'] == 'http.response.start':
                own = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                message = {**message, 'headers': [*message.get('headers', ()), *own]}
            await send(message)

        return await self.app(scope, receive, send_guarded)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and message where a request is refused, else None."""
        headers = {key.decode('latin-1').lower(): value for key, value in scope['headers']}
        headers = {key: value.decode('latin-1') for key, value in headers.items()}
        if self.hosts is not None:
            origin = headers.get('origin')
            if _name(f'//{headers.get("host", "")}') not in self.hosts:
                return 403, 'this server is called by another name'
            if origin is not None and _name(origin) not in self.hosts:
                return 403, 'another page may not send anything here'
        path, method = scope['path'], scope['method']
        if method in ('GET', 'HEAD') and READ.fullmatch(path):
            return None
        if method != 'POST' or not SEND.fullmatch(path):
            return 404, 'there is nothing here'
        length = headers.get('content-length', '')
        # With both headers the length says nothing of what comes.
        if not length.isdecimal() or 'transfer-encoding' in headers:
            return 411, 'say how long it is (Content-Length)'
        is_upload = path.rstrip('/') == UPLOAD
        limit = SMALL_BODY + (self.max_bytes if is_upload else 0)
        if int(length) > limit:
            return 413, f'this is {int(length):,} bytes, and the limit is {limit:,}'
        return None


def _name(address: str) -> str | None:
    """The host in an address, without port and brackets; None where it has none."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


async def _refuse(send: Channel, status: int, message: str) -> None:
    headers = [(b'content-type', b'text/plain; charset=utf-8'), (b'connection', b'close')]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': message.encode()})
