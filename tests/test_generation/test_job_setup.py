"""Runs that must not start."""

import json

import pytest

from helpers import write_coco
from job_helpers import content, generate, write_data
from mmood.generation import job as jobs
from mmood.generation.settings import Settings


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / 'data')


def test_other_settings_are_refused(data, tmp_path):
    out = tmp_path / 'out'
    generate(data, out)
    before = content(out)
    for changes in (dict(seed=1), dict(feather=1), dict(padding=0.5)):
        (key,) = changes
        with pytest.raises(ValueError, match=f'other settings: {key}: '):
            generate(data, out, **changes)
    annotations = json.loads((data / 'ann.json').read_text())
    annotations['annotations'].pop()
    (data / 'ann.json').write_text(json.dumps(annotations))
    with pytest.raises(ValueError, match='settings: data.ann_file_sha256: '):
        generate(data, out)
    assert content(out) == before


def test_settings_may_change_before_the_first_image(data, tmp_path):
    out = tmp_path / 'out'
    generate(data, out, stop=0)
    generate(data, out, seed=1)
    generate(data, tmp_path / 'whole', seed=1)
    assert content(out) == content(tmp_path / 'whole')


@pytest.mark.parametrize('boxes', [[[]], [[[1, 1, 5, 5], [50, 1, 9, 9]]]])
def test_nothing_to_paint(tmp_path, boxes):
    write_coco(tmp_path / 'data', boxes, ['cat'])
    counts = '1 bad_box, 1 small' if boxes[0] else 'none'
    message = rf'no object to paint \(skipped: {counts}\); see min_area, now'
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / 'data', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(painter=dict(type='mmood.Nobody')), 'painter: .*mmood.Nobody'),
        (
            dict(painter=dict(type='mmood.JobTestPainter', size=3)),
            "painter: .*unexpected keyword argument 'size'",
        ),
        (
            dict(painter=dict(type='mmood.JobTestPainter', classes=['dog'])),
            r"cannot paint \['cat'\]",
        ),
        (
            dict(
                filters=[
                    dict(type='mmood.JobTestFilter', least=0, classes=['dog'])
                ]
            ),
            r"cannot paint \['cat'\]",
        ),
        (dict(filters=[dict(type='mmood.JobTestFilter')]), 'filters: .*least'),
    ],
)
def test_painters_and_filters_that_cannot_work(
    data, tmp_path, changes, message
):
    paths = dict(ann_file=str(data / 'ann.json'), img_root=str(data))
    options = dict(data=paths, painter=dict(type='mmood.JobTestPainter'))
    wrong = Settings(**{**options, 'min_area': 9, **changes})
    with pytest.raises(ValueError, match=message):
        jobs.prepare(wrong, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
