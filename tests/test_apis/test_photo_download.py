# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""Against a server in this process."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cnnrnn_mm.apis.photo_download import download_photo
from cnnrnn_mm.errors import UsageError

CONTENT = bytes(range(256)) * 1000


class Handler(BaseHTTPRequestHandler):
    """Each path answers in another way."""

    def do_GET(self):
        if self.path == '/missing':
            self.send_error(404, 'Not there')
            return
        if self.path == '/moved':
            self.send_response(302)
            self.send_header('Location', '/good')
            self.end_headers()
            return
        if self.path == '/to_file':
            self.send_response(302)
            self.send_header('Location', 'file:///etc/passwd')
            self.end_headers()
            return
        self.send_response(200)
        if self.path == '/short':
            self.send_header('Content-Length', str(len(CONTENT) + 1))
        self.end_headers()
        if self.path == '/slow':
            for place in range(50):
                self.wfile.write(CONTENT[place : place + 1])
                self.wfile.flush()
                time.sleep(0.05)
        self.wfile.write(CONTENT)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope='module')
def server():
    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as found:
        found.daemon_threads = True
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f'http://127.0.0.1:{found.server_port}'
        found.shutdown()


def test_content(server):
    assert download_photo(f'{server}/good') == CONTENT
    assert download_photo(f'{server}/moved') == CONTENT
    assert download_photo(f'{server}/good', max_bytes=len(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ('path', 'options', 'words'),
    [
        ('/missing', {}, r'can not be fetched \(HTTP 404 Not there\): check the address'),
        ('/good', {'max_bytes': 2**17}, r'is larger than 0\.125 MiB: fetch it yourself'),
        ('/slow', {'timeout': 0.3}, r'no answer within 0\.3 s'),
        ('/short', {}, r'256000 of 256001 bytes came'),
        ('/to_file', {}, r'HTTP 302'),
    ],
)
def test_failures(server, path, options, words):
    with pytest.raises(UsageError, match=words) as no:
        download_photo(server + path, **options)
    assert '\n' not in str(no.value)
    assert server + path in str(no.value)


def test_nobody_listens():
    with pytest.raises(UsageError, match=r'can not be fetched \(Connection refused\)'):
        download_photo('http://127.0.0.1:9/a.jpg')


def test_nobody_answers():
    with socket.create_server(('127.0.0.1', 0)) as silent:
        address = f'http://127.0.0.1:{silent.getsockname()[1]}/a.jpg'
        with pytest.raises(UsageError, match=r'no answer within 0\.2 s'):
            download_photo(address, timeout=0.2)


def test_no_address():
    with pytest.raises(UsageError, match='can not be fetched'):
        download_photo('http://')
