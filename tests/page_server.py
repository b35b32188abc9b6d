# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""``tools/web_demo.py`` in a process of its own, and a client without a browser."""

import json
import os
import re
import time
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

from forked_tool import ForkedTool
from tiny_run import ROOT

TOOL = ROOT / 'tools' / 'web_demo.py'


class PageServer:
    """The page of a checkpoint, on a free port, in empty folders.

    Args:
        checkpoint: The checkpoint.
        folder: Where the process has its working directory, its home and its temporary files.
        *args: More arguments of the tool.
    """

    def __init__(self, checkpoint: Path, folder: Path, *args: object) -> None:
        self.places = {name: folder / name for name in ('cwd', 'home', 'tmp')}
        for place in self.places.values():
            place.mkdir()
        self.tool = ForkedTool(
            TOOL,
            checkpoint,
            '--port',
            0,
            '--device',
            'cpu',
            *args,
            cwd=self.places['cwd'],
            HOME=str(self.places['home']),
            TMPDIR=str(self.places['tmp']),
        )
        self.end: tuple[int, str] | None = None
        self.address = self._wait_for_address()
        self.port = int(self.address.rpartition(':')[2])

    def _wait_for_address(self) -> str:
        end = time.monotonic() + 600
        log = Path(self.tool.folder.name) / 'stdout'
        while time.monotonic() < end and self.tool.process.is_alive():
            found = re.search(r'http://\S+(?=\s)', log.read_text() if log.exists() else '')
            if found:
                return found[0]
            time.sleep(0.05)
        raise AssertionError(f'no page: {self.tool.finish(1)}')

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM; the exit code, and what was said."""
        if self.end is None:
            self.tool.process.terminate()
            done = self.tool.finish(300)
            self.end = done.returncode, done.stdout + done.stderr
        return self.end

    def leftovers(self) -> list[str]:
        """What the process has written, apart from its temporary folder."""
        found = [one for place in self.places.values() for one in place.rglob('*')]
        return [str(one) for one in found if 'cnnrnn_web_' not in str(one)]

    def homes(self) -> list[Path]:
        """Its temporary folders."""
        return list(self.places['tmp'].glob('cnnrnn_web_*'))

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> bytes:
        """The body of an answer; an HTTPError for others than 200."""
        headers = {key.replace('_', '-'): value for key, value in headers.items()}
        request = urllib.request.Request(self.address + path, data, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=300) as answer:
            return answer.read()

    def send(self, content: bytes, name: str) -> str:
        """Upload a file; where the server put it."""
        edge = uuid4().hex
        head = (
            f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        )
        body = head.encode() + content + f'\r\n--{edge}--\r\n'.encode()
        kind = f'multipart/form-data; boundary={edge}'
        return json.loads(self.ask('/gradio_api/upload', body, content_type=kind))[0]

    def label(self, path: str, name: str = 'x.png') -> dict[str, Any]:
        """What the page is told about an uploaded file: the output of the event, whole."""
        config = json.loads(self.ask('/config'))
        (event,) = [
            one for one in config['dependencies'] if [t[1] for t in one['targets']] == ['upload']
        ]
        session = uuid4().hex[:11]
        file = dict(path=path, orig_name=name, meta={'_type': 'gradio.FileData'})
        body = dict(fn_index=event['id'], session_hash=session, data=[file, None])
        body.update(event_data=None, trigger_id=event['targets'][0][0])
        self.ask(
            '/gradio_api/queue/join', json.dumps(body).encode(), content_type='application/json'
        )
        stream = self.ask(f'/gradio_api/queue/data?session_hash={session}').decode()
        said = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith('data: ')]
        return next(one for one in said if one['msg'] == 'process_completed')


def browser_path() -> str | None:
    """A Chromium that is installed; None for Playwright's own, if any."""
    names = ('chromium', 'chromium-browser', 'google-chrome')
    folders = os.environ.get('PATH', '').split(os.pathsep)
    found = (Path(folder) / name for name in names for folder in folders)
    return next((str(one) for one in found if one.is_file()), None)
