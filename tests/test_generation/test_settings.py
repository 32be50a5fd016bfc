"""Settings of a generation run: from configs, compared, refused."""

import hashlib

import pytest

from mmood.generation.settings import Settings, check_same
from mmood.ops import write_json

DATA = dict(ann_file='a.json', img_root='images/')
PAINTER = dict(type='mmood.ProceduralPainter')


def settings(**changes):
    return Settings(**{**dict(data=DATA, painter=PAINTER), **changes})


def test_other_variables_of_a_config_do_not_matter():
    config = dict(data=DATA, painter=PAINTER, std=0.1, seed=3, voc_root='x')
    assert Settings.from_config(config) == settings(seed=3)


@pytest.mark.parametrize(
    ('name', 'meant'),
    [('min_aera', 'min_area'), ('filter', 'filters'), ('seeds', 'seed')],
)
def test_misspelt_settings_are_refused(name, meant):
    config = {'data': DATA, 'painter': PAINTER, name: 1}
    with pytest.raises(ValueError, match=f"{name}.* did you mean '{meant}'"):
        Settings.from_config(config)


def test_configs_without_data_or_painter():
    with pytest.raises(ValueError, match='no data and no painter'):
        Settings.from_config(dict(seed=0))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(data=dict(ann_file='a')), "data must have a path 'img_root'"),
        (dict(data=dict(DATA, ann_file=3)), "data .* path 'ann_file'"),
        (dict(painter={}), "painter must be a dict with a 'type'"),
        (dict(seed=-1), 'seed must be a number >= 0, got -1'),
        (dict(seed=None), 'seed must be a number >= 0, got None'),
        (dict(num_images=0), 'num_images .* >= 1 or None, got 0'),
        (dict(max_objects=0), 'max_objects .* >= 1 or None, got 0'),
        (dict(min_area=-1), 'min_area must be a number >= 0, got -1'),
        (dict(padding=float('nan')), 'padding .* >= 0, got nan'),
        (dict(feather=1.5), 'feather must be a number >= 0, got 1.5'),
        (dict(attempts=0), 'attempts must be a number >= 1, got 0'),
        (dict(attempts='2'), "attempts must be a number >= 1, got '2'"),
    ],
)
def test_settings_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_resolved_settings_are_plain_and_know_the_annotations(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{}')
    data = dict(ann_file=str(path), img_root='x')
    found = settings(data=data, filters=(dict(type='a', sizes=(1, 2)),))
    assert found.resolved() == dict(
        data=dict(data, ann_file_sha256=hashlib.sha256(b'{}').hexdigest()),
        painter=PAINTER, filters=[dict(type='a', sizes=[1, 2])], seed=0,
        num_images=None, min_area=2000, max_objects=None, padding=0.25,
        feather=4, attempts=1,
    )  # fmt: skip
    with pytest.raises(ValueError, match='plain values .* not JSON'):
        settings(data=data, painter=dict(type=print)).resolved()


def test_differences_are_named(tmp_path):
    path = tmp_path / 'settings.json'
    old = dict(seed=0, painter=dict(a=1, b=[1, 2]), gone=None, filters=[])
    new = dict(seed=1, painter=dict(a=1, b=[1, 3, 4]), filters=[])
    write_json(path, old)
    check_same(path, old)
    with pytest.raises(ValueError) as error:
        check_same(path, new)
    assert str(error.value) == (
        f'{tmp_path} holds images made with other settings: gone: None '
        'there, missing now; painter.b.1: 2 there, 3 now; painter.b.2: '
        'missing there, 4 now; seed: 0 there, 1 now. Give another --out, or '
        'these settings'
    )


def test_images_without_settings_are_not_added_to(tmp_path):
    with pytest.raises(ValueError, match='images but no settings.json'):
        check_same(tmp_path / 'settings.json', {})
