# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""What may be uploaded to the page, and asked of its server."""

import asyncio
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from web_model import blank_png, jpeg_bytes, write_photo

from cnnrnn_mm.apis.web.guard import HEADERS, Guard
from cnnrnn_mm.apis.web.listening import is_loopback, listen
from cnnrnn_mm.apis.web.temporary_home import temporary_home
from cnnrnn_mm.apis.web.upload_checks import UploadLimits
from cnnrnn_mm.apis.web.uploaded_photo import UploadedPhoto, fit_picture
from cnnrnn_mm.errors import UsageError

LIMITS = UploadLimits(max_bytes=300_000, max_pixels=10_000)


def put(folder: Path, content: bytes, name: str = 'x.jpg') -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    ('content', 'says'),
    [
        (b'', 'is empty'),
        (b'Dear diary, this is no photo.', 'not an image'),
        (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'not an image'),
        (b'\x89PNG\r\n\x1a\n' + bytes(40), 'is damaged|not an image'),
        (blank_png(20_000, 20_000), r'20,000 x 20,000 pixels.*400\.0 megapixels.*limit is 0\.01'),
        (blank_png(10, 400), '25 times as long'),
        (bytes(301_000), r'0\.301 MB, and the limit is 0\.3 MB'),
    ],
)
def test_what_is_refused_before_it_is_decoded(tmp_path, content, says):
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(UsageError, match=says) as caught:
        LIMITS.check(put(tmp_path, content), 'my holiday.jpg')
    assert '"my holiday.jpg"' in str(caught.value) and '\n' not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_limits_are_kept_exactly(tmp_path):
    path = put(tmp_path, blank_png(100, 100))
    assert LIMITS.check(path, 'a') == (100, 100)
    assert UploadLimits(path.stat().st_size, 10_000).check(path, 'a') == (100, 100)
    for tight in (UploadLimits(path.stat().st_size - 1, 10_000), UploadLimits(300_000, 9_999)):
        with pytest.raises(UsageError, match='limit'):
            tight.check(path, 'a')
    with pytest.raises(UsageError, match='above 0'):
        UploadLimits(0, 5)


def test_a_taken_photo_is_a_copy_that_can_be_discarded(tmp_path):
    upload = write_photo(tmp_path / 'in.png', 3, (90, 60))
    kept = tmp_path / 'kept'
    kept.mkdir()
    photo = UploadedPhoto.take(upload, '../../etc/in.png', LIMITS, kept)
    assert photo.path.parent == kept and photo.path.read_bytes() == upload.read_bytes()
    assert photo.size == (90, 60)
    with Image.open(upload) as image:
        assert np.array_equal(photo.pixels(), np.asarray(image.convert('RGB')))
    photo.discard()
    assert upload.exists() and not photo.path.exists()


def test_a_truncated_photo_is_refused_and_nothing_is_kept(tmp_path):
    whole = jpeg_bytes()
    upload = put(tmp_path, whole[: len(whole) // 2])
    kept = tmp_path / 'kept'
    kept.mkdir()
    with pytest.raises(UsageError, match='"half.jpg"'):
        UploadedPhoto.take(upload, 'half.jpg', LIMITS, kept)
    assert not list(kept.iterdir())


def test_turned_photos_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (80, 40)).save(tmp_path / 'x.jpg', exif=exif)
    photo = UploadedPhoto.take(tmp_path / 'x.jpg', 'x.jpg', LIMITS, tmp_path)
    assert photo.size == (40, 80) and photo.pixels().shape == (80, 40, 3)


def test_fitting_enlarges_by_whole_numbers_alone():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    large = fit_picture(pixels, 7)
    assert large.shape == (4, 6, 3) and np.array_equal(large[::2, ::2], pixels)
    assert np.array_equal(fit_picture(pixels, 7, enlarge=False), pixels)
    assert fit_picture(np.zeros((300, 200, 3), np.uint8), 60).shape == (60, 40, 3)


def request(guard: Guard, path: str, method: str = 'GET', **headers: str) -> int:
    """The status of the answer to a request."""
    headers = {'host': '127.0.0.1:7860', **{k.replace('_', '-'): v for k, v in headers.items()}}
    scope = dict(
        type='http',
        path=path,
        method=method,
        headers=[(key.encode(), value.encode()) for key, value in headers.items()],
    )
    said: list[dict] = []

    async def send(message: dict) -> None:
        said.append(message)

    asyncio.run(guard(scope, None, send))
    if said[0]['status'] == 200:
        names = {key.decode() for key, _ in said[0]['headers']}
        assert names >= set(HEADERS) | {'own'}
    return said[0]['status']


async def behind(scope, receive, send) -> None:
    await send(dict(type='http.response.start', status=200, headers=[(b'own', b'1')]))


def test_the_guard_lets_through_what_the_page_needs():
    guard = Guard(behind, 1000)
    for path in ('/', '/config', '/theme.css', '/assets/index-x.js', '/gradio_api/queue/data'):
        assert request(guard, path) == 200
    assert request(guard, '/', host='localhost') == request(guard, '/', host='[::1]:7860') == 200
    small = dict(content_length='300')
    assert request(guard, '/gradio_api/queue/join', 'POST', **small) == 200
    assert request(guard, '/gradio_api/upload', 'POST', content_length=str(1000 + 2**18)) == 200


@pytest.mark.parametrize(
    'path',
    [
        '/gradio_api/file=/etc/passwd',
        '/gradio_api/file/etc/passwd',
        '/file=/etc/passwd',
        '/gradio_api/proxy=http://127.0.0.1/',
        '/gradio_api/custom_component/file/client/component/x.js',
        '/gradio_api/openapi.json',
        '/gradio_api/run-history/records',
        '/monitoring/summary',
        '/gradio_api/stream/a/b/1/playlist.m3u8',
        '/svelte/x',
        '/docs',
        '/gradio_api/heartbeat/../file=/etc/passwd',
    ],
)
def test_the_guard_refuses_the_rest(path):
    assert request(Guard(behind, 1000), path) == 404
    assert request(Guard(behind, 1000), path, 'POST', content_length='2') == 404


def test_the_guard_limits_what_is_sent():
    guard = Guard(behind, 1000)
    join, upload = '/gradio_api/queue/join', '/gradio_api/upload'
    assert request(guard, join, 'POST', content_length=str(2**18 + 1)) == 413
    assert request(guard, upload, 'POST', content_length=str(1001 + 2**18)) == 413
    assert request(guard, upload, 'POST', transfer_encoding='chunked') == 411
    both = dict(content_length='10', transfer_encoding='chunked')
    assert request(guard, join, 'POST', **both) == 411
    assert request(guard, upload, 'PUT', content_length='2') == 404


def test_the_guard_knows_by_which_name_it_is_called():
    guard, open_guard = Guard(behind, 1000), Guard(behind, 1000, hosts=None)
    assert request(guard, '/', host='evil.example') == 403
    assert request(guard, '/', host='127.0.0.1.evil.example:7860') == 403
    assert request(guard, '/', host='[') == 403
    join = dict(path='/gradio_api/queue/join', method='POST', content_length='2')
    assert request(guard, **join, origin='http://evil.example') == 403
    assert request(guard, **join, origin='null') == 403
    assert request(guard, **join, origin='http://localhost:7860') == 200
    assert request(open_guard, '/', host='photos.example') == 200


def test_the_temporary_home_is_where_things_are_written_and_leaves_nothing():
    before, where = dict(os.environ), tempfile.tempdir
    with temporary_home() as folder:
        for key in ('GRADIO_TEMP_DIR', 'MPLCONFIGDIR', 'HF_HOME', 'TORCH_HOME', 'TMPDIR'):
            assert Path(os.environ[key]).is_relative_to(folder)
        assert Path(tempfile.mkdtemp()).is_relative_to(folder)
        assert os.environ['GRADIO_ANALYTICS_ENABLED'] == 'False'
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists() and dict(os.environ) == before and tempfile.tempdir == where


@pytest.mark.parametrize('number', ['SIGTERM', 'SIGINT', 'SIGHUP'])
def test_the_temporary_home_is_removed_when_a_signal_ends_the_process(tmp_path, number):
    told, teller = os.pipe()
    child = os.fork()
    if child == 0:  # exceptions are lost here, as in a __del__
        os.environ['TMPDIR'] = str(tmp_path)
        with temporary_home() as folder:
            (folder / 'x').write_text('x')
            os.write(teller, str(folder).encode())
            while True:
                with suppress(BaseException):
                    time.sleep(60)
    folder = Path(os.read(told, 1000).decode())
    assert (folder / 'x').exists() and folder.parent == tmp_path
    os.kill(child, getattr(signal, number))
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == getattr(signal, number)
    assert not folder.exists()


def test_a_server_listens_at_one_address():
    with listen('127.0.0.1', 0) as listener:
        host, port = listener.getsockname()
        assert host == '127.0.0.1' and port > 0
        listener.listen()
        with pytest.raises(UsageError, match=f'port {port} .*--port') as caught:
            listen('127.0.0.1', port)
    assert '\n' not in str(caught.value)
    for host in ('no.such.host.invalid', '192.0.2.1'):
        with pytest.raises(UsageError, match=host):
            listen(host, 0)
    for port in (-1, 65_536):
        with pytest.raises(UsageError, match=f'port {port} '):
            listen('127.0.0.1', port)
    assert is_loopback('127.0.0.1') and is_loopback('localhost') and is_loopback('127.9.9.9')
    assert not is_loopback('0.0.0.0') and not is_loopback('192.0.2.1')
