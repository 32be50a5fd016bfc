"""The page in headless Chromium, offline, from its file."""

import shutil

import numpy as np
import pytest

sync_api = pytest.importorskip(
    'playwright.sync_api', reason='needs playwright (pip install playwright)'
)
CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason='needs the browser chromium on the path'
)
ARGUMENTS = (
    *('--no-sandbox', '--disable-gpu', '--disable-background-networking'),
    *('--disable-component-update', '--disable-sync'),
)
PATIENCE = 180_000  # milliseconds, for a machine that does much else
EVIL = "<script>window.hacked=1</script><img src=x onerror='hacked=1'>"


@pytest.fixture(scope='module')
def browser():
    with sync_api.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Function: the page in a folder; its errors fail the test."""
    errors, context = [], browser.new_context(offline=True)
    context.set_default_timeout(PATIENCE)

    def show(folder):
        page = context.new_page()
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.on(
            'console',
            lambda said: said.type == 'error' and errors.append(said.text),
        )
        page.goto((folder / 'index.html').as_uri())
        page.wait_for_selector('#heads th')
        return page

    yield show
    context.close()
    assert errors == []


def column(page, name):
    heads = page.locator('#heads th').all_inner_texts()
    place = [head.rstrip(' ↓↑') for head in heads].index(name)
    return page.locator(f'#groups td:nth-child({place + 1})').all_inner_texts()


def test_rows_are_groups_and_crops_are_seen(results, opened):
    folder, _, rows, groups = results()
    page = opened(folder)
    assert column(page, 'Group') == ['0', '1']
    assert column(page, 'Boxes') == ['30', '20']
    means = [rows['ood_score'][groups.labels == g].mean() for g in (0, 1)]
    shown = [float(text) for text in column(page, 'OOD score')]
    np.testing.assert_allclose(shown, means, rtol=0.01)
    crops = page.locator('#groups tr').first.locator('img')
    assert crops.count() == 12
    for i in (0, 11):
        crops.nth(i).scroll_into_view_if_needed()
        assert (
            crops.nth(i).evaluate(
                'async it => { await it.decode(); return it.naturalWidth; }'
            )
            == 16
        )
    first = int(np.flatnonzero((groups.labels == 0) & (groups.places == 0))[0])
    assert crops.first.get_attribute('alt') == f'box {first + 1}'
    page.locator('#groups button', has_text='More').first.click()
    assert page.locator('#groups tr').first.locator('img').count() == 30
    assert page.inner_text('#summary') == (
        '50 boxes in 2 groups, of 6 images; score energy, above -1.50'
    )


def test_rows_are_sorted_by_any_column(results, opened):
    page = opened(results(looks=(30, 20, 25))[0])
    for name in ('Boxes', 'Images', 'OOD score', 'Confidence'):
        head = page.locator('#heads button', has_text=name)
        head.click()
        falling = [float(value) for value in column(page, name)]
        assert falling == sorted(falling, reverse=True)
        assert page.locator('th[aria-sort=descending]').count() == 1
        head.click()
        assert [float(value) for value in column(page, name)] == falling[::-1]
    page.locator('#heads button', has_text='Group').click()
    assert column(page, 'Group') == ['0', '1', '2']


def test_what_is_in_no_group_stands_last(results, opened):
    folder, _, _, groups = results(looks=(30, 20, 1, 1, 1))
    page = opened(folder)
    assert (groups.labels < 0).any()
    assert column(page, 'Group') == ['0', '1', 'not grouped']
    assert page.locator('#groups input').count() == 2


def test_names_become_arguments_of_the_next_tool(results, opened):
    page = opened(results()[0])
    assert page.locator('#naming').is_hidden()
    page.get_by_label('Name of group 1').fill('rocking horse')
    page.get_by_label('Name of group 0').fill('cross')
    page.locator('#heads button', has_text='Boxes').click()
    page.locator('#heads button', has_text='Boxes').click()
    assert page.get_by_label('Name of group 0').input_value() == 'cross'
    assert page.inner_text('#command') == (
        "--groups 0=cross '1=rocking horse'"
    )


def test_a_crop_opens_and_names_are_text(results, opened):
    folder, *_ = results(classes=[EVIL] * 3, name=EVIL.replace('/', '_'))
    page = opened(folder)
    page.locator('.crop').first.click()
    viewer = page.locator('dialog[open]')
    assert EVIL in viewer.inner_text()
    assert (
        viewer.locator('img').evaluate(
            'it => it.decode().then(() => it.naturalWidth)'
        )
        == 16
    )
    page.keyboard.press('Escape')
    assert page.locator('dialog[open]').count() == 0
    assert page.evaluate('window.hacked') is None
    assert page.locator('img[src=x]').count() == 0


def test_a_page_without_any_box(results, opened):
    page = opened(results(looks=())[0])
    assert 'No unknown box in 6 images' in page.inner_text('#summary')
    assert page.locator('#groups tr').count() == 0


@pytest.mark.parametrize('width', [1280, 390])
def test_nothing_sticks_out(results, opened, width):
    page = opened(results(classes=['name_without_any_space_' * 4] * 3)[0])
    page.set_viewport_size(dict(width=width, height=800))
    assert page.evaluate('document.documentElement.scrollWidth') <= width
