# Copyright (c) cnnrnn_mm contributors. Licensed under Apache-2.0.
"""The page in a real browser, and its server asked directly."""

import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
from page_server import PageServer, browser_path
from web_model import blank_png, jpeg_bytes, save_checkpoint, write_photo

from cnnrnn_mm.apis.inferencer import MultiLabelInferencer

pytest.importorskip('gradio', reason='the page needs gradio')

FLAGS = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]
UPLOADS = 20
WAIT = 300_000  # milliseconds; against hanging alone


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('web')


@pytest.fixture(scope='module')
def checkpoint(folder):
    return save_checkpoint(folder)


@pytest.fixture(scope='module')
def inferencer(checkpoint):
    return MultiLabelInferencer.from_checkpoint(checkpoint, device='cpu')


@pytest.fixture(scope='module')
def server(checkpoint, folder):
    server = PageServer(checkpoint, folder, '--max-upload-mb', 0.4)
    yield server
    server.stop()


@pytest.fixture(scope='module')
def chromium(folder):
    sync_api = pytest.importorskip('playwright.sync_api', reason='no Playwright to drive a browser')
    with sync_api.sync_playwright() as playwright:
        try:
            context = playwright.chromium.launch_persistent_context(
                str(folder / 'profile'), executable_path=browser_path(), args=FLAGS
            )
        except sync_api.Error as error:
            pytest.skip(f'no Chromium that Playwright can start: {str(error).splitlines()[0]}')
        context.set_default_timeout(WAIT)
        yield context
        context.close()


@pytest.fixture
def page(chromium, server):
    page, asked = chromium.new_page(), []
    page.on('request', lambda request: asked.append(request.url))
    page.goto(server.address)
    page.wait_for_selector('#drop input[type=file]', state='attached')
    yield page
    own = (server.address, 'data:', 'blob:')
    assert asked and [url for url in asked if not url.startswith(own)] == []
    page.close()


def drop(page, path: Path) -> None:
    page.set_input_files('#drop input[type=file]', str(path))


def shown(page) -> list[str]:
    return page.locator('#labels .chip:not(.end) span').all_inner_texts()


def wait_for(page, labels: list[str]) -> None:
    page.wait_for_function(
        '(labels) => document.querySelector("#labels .chips") && [...document.querySelectorAll('
        '"#labels .chip:not(.end) span")].map(e => e.innerText).join() === labels',
        arg=','.join(labels),
    )


def answer(inferencer, path: Path, **constraints) -> list[str]:
    (record,) = inferencer(str(path), num_workers=0, constraints=constraints or None)
    return record['path']


def test_upload_forbid_find_more_and_back(page, inferencer, folder):
    photo = write_photo(folder / 'one.png', 1)
    free = answer(inferencer, photo)
    drop(page, photo)
    wait_for(page, free)
    for picture in ('#photo img', '#tree img'):
        page.locator(picture).wait_for()  # it is loaded after the labels are there
    assert 'one.png' in page.locator('#photo').inner_text()

    page.locator('#forbidden input').click()
    page.get_by_role('option', name=free[0], exact=True).click()
    other = answer(inferencer, photo, forbidden=[free[0]])
    assert other != free
    wait_for(page, other)
    page.get_by_role('tab', name='All labels').click()
    row = page.locator('#every tr', has_text=free[0])
    row.locator('.bounds', has_text=re.compile('^forbidden$')).wait_for()

    page.locator('#reset').click()
    wait_for(page, free)
    page.locator('#find-more').click()
    page.wait_for_selector('#more label')
    page.locator('#labels .chip').first.filter(has_text='known').wait_for()
    offered = page.locator('#more label').first
    name = offered.inner_text().partition(' ·')[0]
    assert name not in free
    offered.click()
    wait_for(page, answer(inferencer, photo, prefix=[*free, name]))


@pytest.mark.parametrize(
    ('name', 'content', 'says'),
    [
        ('notes.jpg', b'Milk, bread, and a light bulb.', r'"notes.jpg" is not an image'),
        ('none.png', b'', r'"none.png" is empty|empty'),
        ('half.jpg', jpeg_bytes()[:900], r'"half.jpg"'),
        ('huge.png', blank_png(20_000, 20_000), r'20,000 x 20,000 pixels.*400.*limit is 50'),
    ],
)
def test_bad_files_are_refused_with_a_message(page, folder, name, content, says):
    (folder / name).write_bytes(content)
    drop(page, folder / name)
    page.wait_for_selector('#message .message')
    message = page.locator('#message')
    assert message.is_visible() and re.search(says, message.inner_text())
    assert not page.locator('#labels .chips').count() and not page.locator('#photo img').count()


def test_too_large_a_file_is_refused_before_it_is_sent(page, folder):
    (folder / 'long.png').write_bytes(bytes(500_000))
    drop(page, folder / 'long.png')
    page.wait_for_function('/maximum|exceed/i.test(document.body.innerText)')


def test_twenty_uploads_at_once_are_all_answered(page, server, inferencer, folder):
    photos = [write_photo(folder / f'{seed}.png', seed) for seed in range(UPLOADS)]
    gate = threading.Barrier(UPLOADS)

    def visit(photo: Path) -> str:
        gate.wait(300)
        return str(server.label(server.send(photo.read_bytes(), photo.name), photo.name))

    with ThreadPoolExecutor(UPLOADS) as pool:
        answers = [pool.submit(visit, photo) for photo in photos]
        drop(page, photos[1])
        wait_for(page, answer(inferencer, photos[1]))
        for photo, said in zip(photos, answers, strict=True):
            text = said.result(600)
            found = re.findall(r'<b>\d+</b><span>(\w+)</span><em>', text)
            assert found == answer(inferencer, photo)
            assert f'{photo.name} · 40 × 32 pixels' in text


def test_the_server_reads_no_other_files(server, folder):
    secret = folder / 'secret.png'
    write_photo(secret, 1)
    for path in (f'/gradio_api/file={secret}', '/gradio_api/openapi.json', '/monitoring/summary'):
        with pytest.raises(HTTPError, match='404'):
            server.ask(path)
    for path in (str(secret), 'http://127.0.0.1:9/x.png', f'{server.address}/theme.css', '/'):
        assert 'class="chip"' not in str(server.label(path))
    # It does not read what is too long: the answer may come while that is still being sent.
    with pytest.raises(URLError, match='413|Broken pipe|reset by peer'):
        server.send(bytes(800_000), 'long.png')
    with pytest.raises(HTTPError, match='403'):
        server.ask('/', host='elsewhere.example')
    assert '<html' in server.ask('/').decode()


def test_only_this_machine_can_reach_it(server):
    port = f'{server.port:04X}'
    lines = [
        line.split()
        for name in ('tcp', 'tcp6')
        for line in Path(f'/proc/net/{name}').read_text().splitlines()[1:]
    ]
    listening = [one[1] for one in lines if one[1].endswith(f':{port}') and one[3] == '0A']
    assert listening == [f'0100007F:{port}']
    with pytest.raises(ConnectionRefusedError):  # another address of this machine
        socket.create_connection(('127.0.0.2', server.port), 5)


def test_it_leaves_nothing_behind(server):
    """The last one: it stops the server."""
    (home,) = server.homes()
    assert list((home / 'uploads').iterdir()) and server.leftovers() == []
    code, said = server.stop()
    assert code == -15 and 'Exception ignored' not in said
    assert server.homes() == [] and server.leftovers() == []
