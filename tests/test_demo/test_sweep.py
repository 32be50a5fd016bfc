"""Old files go, now and while a page is served."""

import os
import time

from mmood.demo.sweep import sweep, swept


def test_old_files_go(tmp_path):
    for name, age in (('a/old', 90), ('old', 61), ('a/new', 30)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('x')
        then = time.time() - age
        os.utime(path, (then, then))
    sweep(tmp_path, 60)
    left = [p.name for p in tmp_path.rglob('*') if p.is_file()]
    assert left == ['new']


def test_they_go_while_the_page_is_served(tmp_path):
    (tmp_path / 'a').write_text('x')
    with swept(tmp_path, age=-1, every=0.01):
        deadline = time.time() + 60
        while (tmp_path / 'a').exists() and time.time() < deadline:
            time.sleep(0.01)
        assert not (tmp_path / 'a').exists()
    (tmp_path / 'b').write_text('x')
    time.sleep(0.1)
    assert (tmp_path / 'b').exists()
