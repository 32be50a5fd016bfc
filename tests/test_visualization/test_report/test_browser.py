"""The page in headless Chromium, offline."""

import shutil

import numpy as np
import pytest

from mmood.visualization.report import build_report
from report_helpers import CLASSES, write_run_facts

pytest.importorskip('plotly', reason='needs plotly')
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


@pytest.fixture(scope='module')
def browser():
    with sync_api.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=PATIENCE
        )
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Function: a report on folders, opened; its errors fail the test."""
    errors, context = [], browser.new_context(offline=True)
    context.set_default_timeout(PATIENCE)

    def show(*folders):
        path = tmp_path / 'report.html'
        path.write_text(build_report(folders), 'utf-8')
        page = context.new_page()
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.on(
            'console',
            lambda said: said.type == 'error' and errors.append(said.text),
        )
        page.goto(path.as_uri())
        page.wait_for_selector('#scores tbody tr')
        return page

    yield show
    context.close()
    assert errors == []


def move(page, place, run=0):
    """Put the slider of a run somewhere."""
    slider = page.locator('.card.run input[type=range]').nth(run)
    slider.evaluate(
        '(it, at) => { it.value = at; it.dispatchEvent(new Event("input")); }',
        place,
    )


def notes(page, run=0):
    """The lines under the big numbers: "6 of 120"."""
    card = page.locator('.card.run').nth(run)
    return card.locator('.counts small').all_inner_texts()


def test_counts_follow_the_threshold(box_test, opened):
    folder, sets = box_test()
    page = opened(folder)
    known, far = (
        sets[o]['scores']['energy'].astype(float) for o in ('id', 'far')
    )
    objects = 6 * 4  # an image has three with a box, and one without
    for place in (0, 20, 60):
        move(page, place)
        threshold = page.evaluate('threshold(0)')
        lost, found, hit = notes(page)
        assert lost == f'{(known > threshold).sum()} of {len(known)}'
        assert found == f'{(far > threshold).sum()} of {len(far)}'
        assert hit.split(';')[0].endswith(f' of {objects}')
        share = f'{100 * (known > threshold).mean():.1f} %'
        row = page.locator('#scores tr.chosen td').all_inner_texts()
        assert row[:3] == ['far', 'energy', share]
        (line,) = page.evaluate(
            'document.querySelector(".histogram").layout.shapes'
            '.filter((shape) => shape.type === "line")'
        )
        assert line['x0'] == pytest.approx(threshold, abs=0.2)
    # Typed: the nearest one there is.
    page.locator('.card.run input[type=number]').fill('0.4')
    page.keyboard.press('Enter')
    grid = np.array(page.evaluate('counted(0).thresholds'))
    nearest = grid[abs(grid - 0.4).argmin()]
    assert page.evaluate('threshold(0)') == nearest
    assert notes(page)[0].startswith(f'{(known > nearest).sum()} of')


def test_another_set_and_score(box_test, opened):
    folder, sets = box_test()
    page = opened(folder)
    page.select_option('#set', 'near')
    page.locator('.card.run select').select_option('msp')
    known, near = (sets[o]['scores']['msp'] for o in ('id', 'near'))
    threshold = page.evaluate('threshold(0)')
    assert threshold == np.sort(known)[int(np.ceil(0.95 * len(known))) - 1]
    assert notes(page)[1] == f'{(near > threshold).sum()} of {len(near)}'
    rows = page.locator('.unknown-classes tbody tr')
    assert rows.first.locator('td').first.inner_text() in ('zebra', 'elk')


def test_the_table_is_sorted(box_test, opened):
    page = opened(box_test()[0])

    def column(name):
        heads = page.locator('#scores th').all_inner_texts()
        place = [head.rstrip(' ↓↑') for head in heads].index(name)
        cells = page.locator(f'#scores td:nth-child({place + 1})')
        return cells.all_inner_texts()

    head = page.locator('#scores th button', has_text='AUROC')
    head.click()
    falling = [float(cell) for cell in column('AUROC')]
    assert falling == sorted(falling, reverse=True) and len(falling) == 4
    head.click()
    assert [float(cell) for cell in column('AUROC')] == falling[::-1]
    assert page.locator('th[aria-sort=ascending]').count() == 1
    page.locator('#scores th button', has_text='Score').click()
    assert column('Score') == ['energy', 'energy', 'msp', 'msp']


def test_a_picture_is_opened_and_its_boxes_follow(box_test, opened):
    folder, sets = box_test()
    page = opened(folder)
    move(page, 0)  # all are unknown
    page.locator('#kinds button', has_text='False alarms').click()
    card = page.locator('.case').first
    highest = sets['id']['scores']['energy'].max()
    assert f'energy {highest:.3g}' in card.inner_text()
    assert card.locator('rect.unknown.main').count() == 1
    assert card.locator('rect.object').count() == 0
    card.click()
    viewer = page.locator('dialog[open]')
    image = viewer.locator('img')
    assert image.evaluate('it => it.complete && it.naturalWidth') == 64
    assert viewer.locator('tbody tr').count() == 2
    page.keyboard.press('Escape')
    assert page.locator('dialog[open]').count() == 0
    move(page, page.evaluate('counted(0).thresholds.length - 1'))
    assert page.locator('.case').first.locator('rect.known.main').count() == 1


def test_pictures_are_filtered(box_test, opened):
    page = opened(box_test()[0])
    cards = page.locator('.case')
    assert cards.count() == 12  # six images of two sets
    page.select_option('#filter-set', 'near')
    assert cards.count() == 6
    assert all('near' in text for text in cards.all_inner_texts())
    page.select_option('#filter-class', 'dog')
    of_dogs = cards.count()
    assert all('taken for dog' in text for text in cards.all_inner_texts())
    page.select_option('#filter-class', '')
    page.locator('#kinds button', has_text='Best finds').click()
    values = page.evaluate('chosenCases().map(({item}) => item.value)')
    page.locator('#filter-from').fill(str(sorted(values)[-2]))
    page.keyboard.press('Tab')
    assert of_dogs < 6 and cards.count() == 2


def test_runs_side_by_side_move_together(box_test, opened):
    one, sets = box_test('one/ood', images=10)
    other, more = box_test('other/ood', images=10, shift=1.0, seed=1)
    page = opened(one, other)
    assert page.locator('.card.run h3').all_inner_texts() == ['one', 'other']
    move(page, 30)
    lost = [int(notes(page, run)[0].split()[0]) for run in (0, 1)]
    assert abs(lost[0] - lost[1]) <= 1 and lost[0] > 5
    page.locator('#linked').uncheck()
    move(page, 0, run=1)
    assert notes(page, 1)[0].startswith('50 of')
    assert int(notes(page, 0)[0].split()[0]) == lost[0]
    facts = page.locator('.facts').all_inner_texts()
    assert all('ab' * 32 in text for text in facts) and len(facts) == 2


def test_pixels_above_the_threshold_are_tinted(pixel_test, opened):
    folder, samples = pixel_test()
    page = opened(folder)
    page.locator('.card.run select').select_option('energy')
    far = [one for one in samples if one['origin'] == 'far']
    labels = [one['gt_sem_seg']['data'][0].numpy() for one in far]
    values = [one['pred_ood']['energy'][0].numpy() for one in far]
    for place in (0, 50):
        move(page, place)
        threshold = page.evaluate('threshold(0)')
        for side, note in zip((0, 1), notes(page)):
            own = np.concatenate(
                [v[x == side] for v, x in zip(values, labels)]
            )
            found = (own.astype(float) > threshold).sum()
            assert note == f'{found:,} of {len(own):,}'
        path = page.evaluate(
            'runs[0].scenes[chosenCases()[0].item.scene].path'
        )
        first = [one['img_path'] for one in far].index(path)
        is_ood, above = labels[first] == 1, values[first] > threshold
        edge = np.zeros(is_ood.shape, bool)
        edge[:, :-1] |= is_ood[:, 1:] != is_ood[:, :-1]
        edge[:-1] |= is_ood[1:] != is_ood[:-1]
        page.wait_for_function(GREEN + f'=== {(above & ~edge).sum()}')


# How many pixels of the first picture are tinted as unknown.
GREEN = """(() => {
    const canvas = document.querySelector('.case canvas');
    const {data} = canvas.getContext('2d').getImageData(
        0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4)
        count += data[i + 3] > 0 && data[i] < 100;
    return count;
})()"""


def test_names_are_text(box_test, opened):
    evil = '<script>window.hacked=1</script><img src=x onerror=hacked=1>'
    folder, _ = box_test(
        f'{evil.replace("/", "_")}/ood',
        classes=(evil, *CLASSES[1:]),
        ood=(f'{evil}far', 'near'),
    )
    write_run_facts(folder, config=evil)
    page = opened(folder)
    page.locator('.case').first.click()
    assert page.evaluate('window.hacked') is None
    assert page.locator('img[src=x]').count() == 0
    assert page.locator('#scores tr.chosen td').first.inner_text() == (
        f'{evil}far'
    )
    classes = page.locator('.known-classes td:first-child')
    assert evil in classes.all_inner_texts()
    legends = page.locator('.histogram .legendtext').all_text_contents()
    assert legends[1] == f'{evil}far'


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1280, 390])
def test_nothing_sticks_out(box_test, opened, scheme, width):
    page = opened(box_test('a_name_without_any_space_in_it_' * 3 + '/ood')[0])
    page.set_viewport_size(dict(width=width, height=800))
    page.emulate_media(color_scheme=scheme)
    for _ in range(100):  # charts follow the width when they get to it
        if page.evaluate('document.documentElement.scrollWidth') <= width:
            break
        page.wait_for_timeout(100)
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    back = page.evaluate('getComputedStyle(document.body).backgroundColor')
    bright = sum(map(int, back[4:-1].split(','))) > 3 * 128
    assert bright == (scheme == 'light')
