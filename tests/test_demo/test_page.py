"""The page in headless Chromium, asking nobody but its own server."""

import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from mmood.demo import page as demo
from mmood.demo.headers import POLICY
from mmood.demo.uploads import Limits

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None
)
ARGUMENTS = (
    *('--no-sandbox', '--disable-gpu', '--disable-background-networking'),
    *('--disable-component-update', '--disable-sync'),
)
PATIENCE = 180_000  # milliseconds, for a machine that does much else
LIMITS = Limits(megabytes=0.5, megapixels=0.1, side=400)


def test_without_gradio_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(ImportError, match=r'pip install "mmood\[demo\]"'):
        demo.import_gradio()


@pytest.fixture(scope='module')
def browser():
    pytest.importorskip('gradio', reason='needs gradio: the extra "demo"')
    api = pytest.importorskip(
        'playwright.sync_api',
        reason='needs playwright (pip install playwright)',
    )
    if CHROMIUM is None:
        pytest.skip('needs the browser chromium on the path')
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Function: the page of a model; what it asks of others fails the test."""
    context = browser.new_context(viewport=dict(width=1280, height=900))
    context.set_default_timeout(PATIENCE)
    own, hosts, errors, servers = {''}, set(), [], []

    def failed(answer):
        # gradio looks for the progress of an upload that is over.
        if answer.status >= 400 and 'upload_progress' not in answer.url:
            errors.append(f'{answer.status} {answer.url}')

    def blocked(said):
        if 'Content Security Policy' in said.text:
            errors.append(said.text)

    def show(model):
        served = demo.served(demo.Page(model, 'a & b.py', LIMITS))
        address = served.__enter__()
        servers.append(served)
        page = context.new_page()
        page.on('request', lambda asked: hosts.add(urlsplit(asked.url).netloc))
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.on('response', failed)
        page.on('console', blocked)
        answer = page.goto(address)
        assert answer.headers['content-security-policy'] == POLICY
        assert urlsplit(address).hostname == '127.0.0.1'
        own.add(urlsplit(address).netloc)
        page.wait_for_selector('#upload input[type=file]', state='attached')
        return page, address

    yield show
    context.close()
    for served in servers:
        served.__exit__(None, None, None)
    assert errors == []
    assert hosts <= own


def upload(page, content, name='picture.bin'):
    file = dict(name=name, mimeType='application/octet-stream', buffer=content)
    page.set_input_files('#upload input[type=file]', file)


def counts(page, wanted=None):
    """Known and unknown, once they are there or are what is wanted."""
    found = None
    for _ in range(PATIENCE // 100):
        numbers = page.locator('#counts .counts b').all_inner_texts()
        found = tuple(int(n) for n in numbers if n.isdecimal())
        if len(found) == 2 and wanted in (None, found):
            break
        page.wait_for_timeout(100)
    return found


def move(page, name, value):
    """Drag the slider of a name to a place."""
    slider = page.locator(f'#{name} input[type=range]')
    slider.evaluate(
        '(it, at) => { it.value = at;'
        ' it.dispatchEvent(new Event("input", {bubbles: true})); }',
        value,
    )


def ends(page):
    slider = page.locator('#limit input[type=range]')
    return [float(slider.get_attribute(name)) for name in ('min', 'max')]


def png(picture):
    return cv2.imencode('.png', picture)[1].tobytes()


def test_a_picture_and_a_limit_that_moves(
    detector, picture, opened, monkeypatch
):
    answer = detector(picture)
    boxes = answer.sample.pred_instances
    kept = boxes[boxes.scores >= detector.confidence]
    energies, probable = kept.ood_scores_energy, kept.ood_scores_msp
    unknown = int((energies > -2.1).sum())
    assert 0 < unknown < len(energies)
    asked, ask = [], detector._ask.forward

    def watched(*args, **kwargs):
        asked.append(1)
        return ask(*args, **kwargs)

    monkeypatch.setattr(detector._ask, 'forward', watched)
    page, _ = opened(detector)
    heading = page.locator('h1 ~ p').all_inner_texts()
    assert 'circle, bar, <b>star</b>' in heading[0]
    assert heading[1] == 'a & b.py'
    assert not page.locator('#limit').is_visible()

    upload(page, png(picture), 'no-picture.txt')
    assert counts(page) == (len(energies) - unknown, unknown)
    rows = page.locator('#table tbody tr')
    assert rows.count() == len(energies)
    first = rows.first.locator('td').all_inner_texts()
    assert re.fullmatch(r'unknown, .* above the limit', first[3])
    assert float(first[2]) == pytest.approx(float(energies.max()), rel=0.01)
    shown = page.locator('#picture0 img')
    assert (
        shown.evaluate('it => it.decode().then(() => it.naturalWidth)')
        == 4 * picture.shape[1]
    )

    before = shown.get_attribute('src')
    low, high = ends(page)
    assert low < float(energies.min()) and float(energies.max()) < high
    move(page, 'limit', low)
    assert counts(page, (0, len(energies))) == (0, len(energies))
    page.wait_for_function(
        'it => document.querySelector("#picture0 img").src != it', arg=before
    )
    move(page, 'limit', high)
    assert counts(page, (len(energies), 0)) == (len(energies), 0)
    values = np.unique(energies.numpy())
    largest = int(np.diff(values).argmax())
    middle = float(values[largest : largest + 2].mean())
    more = int((energies > middle).sum())
    move(page, 'limit', middle)
    wanted = (len(energies) - more, more)
    assert counts(page, wanted) == wanted
    page.locator('#reset').click()
    wanted = (len(energies) - unknown, unknown)
    assert counts(page, wanted) == wanted

    # The other score has no limit: all are known until it is moved.
    page.locator('#score input').click()
    page.get_by_role('option', name='msp').click()
    assert counts(page, (len(probable), 0)) == (len(probable), 0)
    move(page, 'limit', ends(page)[0])
    assert counts(page, (0, len(probable))) == (0, len(probable))
    assert 'msp' in page.locator('#table th').all_inner_texts()
    assert asked == [1]


def test_what_is_refused_is_said_on_the_page(detector, picture, opened):
    page, address = opened(detector)
    said = page.locator('.refusal')
    upload(page, b'<svg onload="alert(1)"></svg>', 'holiday.png')
    page.wait_for_selector('.refusal')
    assert 'no picture that can be read' in said.inner_text()
    assert not page.locator('#limit').is_visible()

    upload(page, png(np.zeros((400, 300, 3), np.uint8)))
    said.filter(has_text='300 x 400 pixels').wait_for()
    # gradio itself says it of a file, before it is sent.
    upload(page, bytes(600_000), 'big.png')
    page.get_by_text('exceed the maximum allowed size of').wait_for()

    upload(page, png(picture))
    assert len(counts(page)) == 2
    assert said.count() == 0
    upload(page, b'')
    said.filter(has_text='no picture').wait_for()
    assert not page.locator('#picture0').is_visible()


def test_no_upload_stays(detector, picture, opened):
    page, _ = opened(detector)
    upload(page, png(picture))
    counts(page)
    folder = Path(os.environ['GRADIO_TEMP_DIR'])
    files = [path for path in folder.rglob('*') if path.is_file()]
    assert {path.suffix for path in files if path.stat().st_size} == {'.jpeg'}


def test_the_folder_goes_with_the_page(detector):
    pytest.importorskip('gradio', reason='needs gradio: the extra "demo"')
    with demo.served(demo.Page(detector, 'a', LIMITS)):
        folder = Path(os.environ['GRADIO_TEMP_DIR'])
        assert folder.is_dir()
    assert not folder.exists()


def test_pixels(segmentor, picture, opened):
    name = segmentor.names[0]
    scores = segmentor(picture).scores(name)
    page, _ = opened(segmentor)
    upload(page, png(picture))
    page.wait_for_selector('#counts .counts')
    share = (scores > segmentor.limits[name]).mean()
    assert 0 < share < 1
    said = page.locator('#counts .unknown')
    assert said.inner_text().split() == [f'{100 * share:.1f}', '%', 'unknown']
    for i in (0, 1):
        image = page.locator(f'#picture{i} img')
        width = 'it => it.decode().then(() => it.naturalWidth)'
        assert image.evaluate(width) == 4 * 128
    move(page, 'limit', ends(page)[0])
    said.filter(has_text='100.0 %').wait_for()
    assert not page.locator('#least').is_visible()
