"""The page as a file: nothing gets out of its data, and its size."""

import base64
import hashlib
import re
import sys
import time
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from mmood.visualization.report import NoPlotlyError, build_report
from report_helpers import (
    CLASSES,
    box_records,
    write_box_test,
    write_run_facts,
)

EVIL = '</script><script>window.hacked=1</script>&amp;<img src=x>'


class Parts(HTMLParser):
    """What a browser would see."""

    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.policy = [], [], ''

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        if attrs.get('http-equiv') == 'Content-Security-Policy':
            self.policy = attrs['content']
        if tag == 'script':
            self.scripts.append([attrs, ''])
        assert not {'src', 'href'} & set(attrs)

    def handle_endtag(self, tag):
        self.tags.append(f'/{tag}')

    def handle_data(self, text):
        if self.tags and self.tags[-1] == 'script':
            self.scripts[-1][1] += text


def parsed(text):
    parts = Parts()
    parts.feed(text)
    return parts


def evil_test(box_test):
    folder, _ = box_test(
        f'{EVIL.replace("/", "_")}/ood',
        classes=(EVIL, *CLASSES[1:]),
        ood=('<script>set', 'near'),
    )
    write_run_facts(folder, config=EVIL, config_file=EVIL)
    return folder


def test_names_and_paths_cannot_end_the_data(box_test, read):
    folder = evil_test(box_test)
    content, text = read(folder)
    parts = parsed(text)
    assert [attrs.get('type') for attrs, _ in parts.scripts] == [
        'application/json',
        None,
        None,
    ]
    assert 'img' not in parts.tags
    block = text.split('id="data">')[1].split('</script>')[0]
    assert not set('<>&') & set(block)
    # And arrive whole.
    run = content['runs'][0]
    assert run['config'] == EVIL and run['sets'] == ['<script>set', 'near']
    assert EVIL in {case['class'] for case in run['cases']}
    assert run['folder'] == str(folder)


def test_a_placeholder_in_a_name_stays_one(box_test, read):
    folder, _ = box_test('{{ plotly }}/ood', images=1)
    content, text = read(folder)
    assert content['runs'][0]['name'] == '{{ plotly }}'


def test_the_policy_lets_these_scripts_run_and_nothing_be_loaded(
    box_test, read
):
    folder, _ = box_test(images=1)
    parts = parsed(read(folder)[1])
    hashes = []
    for attrs, text in parts.scripts:
        if 'type' not in attrs:
            digest = hashlib.sha256(text.encode()).digest()
            hashes.append(f"'sha256-{base64.b64encode(digest).decode()}'")
    rules = dict(
        rule.strip().split(' ', 1) for rule in parts.policy.split(';')
    )
    assert rules['default-src'] == "'none'"
    assert rules['script-src'].split() == hashes
    assert rules['img-src'] == 'data: blob:'


def test_several_runs_share_their_pictures(box_test, read):
    one, _ = box_test('one/ood', images=3)
    other, _ = box_test('other/ood', images=3, seed=1)
    for name in ('0_0', '1_0'):
        path = other.parent / f'pictures/{name}.png'
        path.unlink()
        path.symlink_to(one.parent / f'pictures/{name}.png')
    content, _ = read(one, other)
    assert [run['name'] for run in content['runs']] == ['one', 'other']
    assert all(run['cases'] for run in content['runs'])
    text = (other / 'details.json').read_text()
    (other / 'details.json').write_text(
        text.replace(str(other.parent), str(one.parent))
    )
    shared, _ = read(one, other)
    assert len(shared['pictures']) < len(content['pictures'])


def test_a_picture_that_is_gone_leaves_a_frame(box_test, read):
    folder, _ = box_test(images=1)
    (folder.parent / 'pictures/1_0.png').unlink()
    with pytest.warns(UserWarning, match='1_0.png cannot be read'):
        content, _ = read(folder)
    assert content['pictures'].count(None) == 1


def test_the_limit_is_of_each_kind(box_test, read):
    folder, _ = box_test(images=6)
    cases = read(folder, limit=2)[0]['runs'][0]['cases']
    kinds = [(c['kind'], c['score'], c['set']) for c in cases]
    assert {kinds.count(kind) for kind in kinds} == {2}


@pytest.mark.filterwarnings('ignore')
def test_large_tests_make_a_page_of_bounded_size_in_time(tmp_path):
    """5,000 images, 100,000 boxes; pictures of noise, the largest there are.

    The time is that of the processor, so that a busy machine passes.
    """
    pytest.importorskip('plotly', reason='needs plotly')
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (560, 560, 3), np.uint8)
    paths = [str(tmp_path / f'{i}.bmp') for i in range(200)]
    for number, path in enumerate(paths):
        cv2.imwrite(path, np.roll(noise, number, 0))
    records = []
    for origin in ('id', 'a', 'b', 'c', 'd'):
        files = [paths[i % 200] for i in range(1000)]
        records += box_records(rng, origin, files, 20, 1.0)
    write_box_test(tmp_path / 'ood', records)
    start = time.process_time()
    text = build_report([tmp_path])
    assert time.process_time() - start < 60
    size = len(text.encode())
    assert 10e6 < size <= 20e6
    dropped = re.search(r'"dropped":(\d+)', text)
    assert int(dropped[1]) > 0


def test_without_plotly_it_says_how_to_get_it(box_test, monkeypatch):
    folder, _ = box_test(images=1)
    monkeypatch.setitem(sys.modules, 'plotly.offline', None)
    with pytest.raises(NoPlotlyError, match=r'pip install "mmood\[report\]"'):
        build_report([folder])
