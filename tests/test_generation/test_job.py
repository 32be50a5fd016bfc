"""Runs: which images, once each, the same after a stop or on more ranks."""

import json
import os

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from job_helpers import (
    JobTestPainter,
    content,
    generate,
    settings,
    write_data,
)
from mmood.generation import job as jobs
from mmood.generation.canvas import object_seed
from mmood.ops import NotWrittenError


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / 'data')


def read_rgb(path):
    return cv2.imread(str(path))[..., ::-1]


def test_pictures_annotations_and_report(data, tmp_path):
    out = tmp_path / 'out'
    report = generate(data, out, feather=0, seed=3)
    assert report == json.loads((out / 'report.json').read_text())
    assert report['images'] == dict(
        wanted=None, selected=4, painted=4, unchanged=0, failed=0
    )
    assert report['objects']['painted'] == 5
    assert report['objects']['skipped'] == dict(small=1)
    coco = COCO(str(out / 'annotations.json'))
    assert coco.getImgIds() == [1, 2, 4, 6]
    assert coco.dataset['categories'] == [dict(id=1, name='cat')]
    flags = {a['id']: a['ood'] for a in coco.dataset['annotations']}
    assert flags == {1: 1, 2: 1, 3: 0, 4: 1, 5: 1, 8: 1}
    for image in coco.dataset['images']:
        before = read_rgb(data / image['source'])
        after = read_rgb(out / image['file_name'])
        assert after.shape == (image['height'], image['width'], 3)
        changed = (before != after).any(2)
        boxes = np.zeros_like(changed)
        for found in coco.loadAnns(coco.getAnnIds(imgIds=[image['id']])):
            x, y, w, h = found['bbox']
            boxes[y : y + h, x : x + w] |= bool(found['ood'])
            if found['ood']:
                expected = object_seed(3, image['id'], found['id'], 0)
                assert found['provenance']['seed'] == expected
        assert not changed[~boxes].any()
        assert changed[boxes].mean() > 0.99


def test_stopped_and_started_again(data, tmp_path):
    generate(data, tmp_path / 'whole')
    seeds = sorted(JobTestPainter.calls)
    out = tmp_path / 'out'
    made = []
    for stop in (2, 1):
        generate(data, out, stop=stop)
        made += JobTestPainter.calls
        assert not (out / 'annotations.json').exists()
    # A picture without its record is made anew, a record of half too.
    records = sorted((out / 'records').glob('*.json'))
    records[0].write_text('{"id": 1, "im')
    generate(data, out)
    assert content(out) == content(tmp_path / 'whole')
    assert set(made + JobTestPainter.calls) == set(seeds)
    assert len(JobTestPainter.calls) < len(seeds)
    generate(data, out)
    assert JobTestPainter.calls == []
    assert content(out) == content(tmp_path / 'whole')


def test_a_picture_that_was_removed_is_made_again(data, tmp_path):
    generate(data, tmp_path)
    before = content(tmp_path)
    (tmp_path / 'images' / '4_4.png').unlink()
    generate(data, tmp_path)
    assert len(JobTestPainter.calls) == 2
    assert content(tmp_path) == before


@pytest.mark.parametrize('world_size', [2, 3, 7])
def test_ranks_share_the_images(data, tmp_path, monkeypatch, world_size):
    monkeypatch.setattr(jobs, '_barrier', lambda world_size: None)
    generate(data, tmp_path / 'whole')
    out, calls = tmp_path / 'out', 0
    for rank in range(world_size):
        job = jobs.prepare(settings(data), out)
        jobs.run(job, rank, world_size)
        calls += len(JobTestPainter.calls)
    jobs.finish(job)
    assert calls == 5
    assert content(out) == content(tmp_path / 'whole')


def test_images_that_fail_are_listed_and_tried_again(data, tmp_path, capsys):
    out = tmp_path / 'out'
    good = {i: (data / f'{i}.png').read_bytes() for i in (1, 2, 4)}
    (data / '1.png').unlink()
    (data / '2.png').write_bytes(good[2][:500])
    cv2.imwrite(str(data / '4.png'), np.zeros((48, 40, 3), np.uint8))
    report = generate(data, out)
    assert report['images']['failed'] == 3
    assert report['failures'] == [
        dict(id=1, error=f'{data}/1.png does not exist'),
        dict(id=2, error=f'{data}/2.png is no readable image'),
        dict(
            id=4,
            error=f'{data}/4.png has 40 x 48 pixels, but its annotation says '
            '48 x 48',
        ),
    ]
    assert 'skipped: ' in capsys.readouterr().out
    assert COCO(str(out / 'annotations.json')).getImgIds() == [6]
    assert [p.name for p in (out / 'images').iterdir()] == ['6_6.png']
    for i, image in good.items():
        (data / f'{i}.png').write_bytes(image)
    assert generate(data, out)['images']['failed'] == 0
    assert len(JobTestPainter.calls) == 4
    generate(data, tmp_path / 'whole')
    assert content(out) == content(tmp_path / 'whole')


def test_the_first_images_of_a_larger_run(data, tmp_path):
    generate(data, tmp_path / 'few', num_images=2)
    report = generate(data, tmp_path / 'all', num_images=99)
    assert report['images']['wanted'] == 99
    assert report['images']['selected'] == 4
    few, many = content(tmp_path / 'few'), content(tmp_path / 'all')
    pictures = [path for path in few if path.parts[0] == 'images']
    assert len(pictures) == 2
    assert all(few[path] == many[path] for path in pictures)
    everything = len(JobTestPainter.calls)
    generate(data, tmp_path / 'few', num_images=99)
    assert 0 < len(JobTestPainter.calls) < everything
    assert content(tmp_path / 'few') == many


def test_filters_and_attempts(data, tmp_path):
    never = [dict(type='mmood.JobTestFilter', least=256)]
    out = tmp_path / 'out'
    report = generate(data, out, filters=never, attempts=3)
    assert report['discarded'] == dict(dark=15)
    assert report['objects']['given_up'] == 5
    assert report['images']['unchanged'] == 4
    assert not (out / 'images').exists()
    coco = COCO(str(out / 'annotations.json'))
    assert coco.getImgIds() == coco.getAnnIds() == []
    # Nothing painted is a result: it is not tried again.
    generate(data, out, filters=never, attempts=3)
    assert JobTestPainter.calls == []


def test_a_full_disk_keeps_what_is_finished(data, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    job = jobs.prepare(settings(data), out)
    replace, done = os.replace, []

    def fills(source, target):
        if len(done) == 4:  # settings, a picture, its record, a picture
            raise OSError(28, 'No space left on device')
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, 'replace', fills)
    with pytest.raises(NotWrittenError, match='records.*No space left'):
        jobs.run(job)
    monkeypatch.undo()
    assert sorted(p for p in out.rglob('*') if p.is_file()) == sorted(done)
    generate(data, out)
    generate(data, tmp_path / 'whole')
    assert content(out) == content(tmp_path / 'whole')
