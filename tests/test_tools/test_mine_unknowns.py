"""tools/mine_unknowns.py: stopped, on ranks, on odd folders."""

import csv
import json
import os
import shutil
import signal
import time

import cv2
import numpy as np
import pytest
import torch

from helpers import ROOT, run_here, run_script
from mmood.mining import read_shard
from mmood.ops import read_coco
from processes import start_script
from tiny_models import write_detector

TOOL = ROOT / 'tools/mine_unknowns.py'
IMAGES = 13


@pytest.fixture(scope='module')
def setting(tmp_path_factory):
    """Config, checkpoint and a folder of pictures, in folders too."""
    folder = tmp_path_factory.mktemp('setting')
    cfg, checkpoint = write_detector(folder)
    cfg.dump(folder / 'config.py')
    rng = np.random.default_rng(0)
    for i in range(IMAGES):
        path = folder / f'images/{"ab"[i % 2]}/{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 255, (48, 64, 3), np.uint8)
        cv2.imwrite(str(path), cv2.GaussianBlur(picture, (9, 9), 3))
    return [folder / 'config.py', checkpoint, folder / 'images']


def arguments(setting, out, *more):
    return (*setting, '--out', out, '--images-per-shard', 2, *more)


@pytest.fixture
def mine(monkeypatch, setting):
    """Function: the tool in this process."""

    def run(out, *more, images=None):
        where = [*setting[:2], images or setting[2]]
        run_here(monkeypatch, 'mine_unknowns', *arguments(where, out, *more))

    return run


@pytest.fixture(scope='module')
def whole(setting, tmp_path_factory):
    """What a run without an interruption leaves."""
    out = tmp_path_factory.mktemp('whole') / 'out'
    with pytest.MonkeyPatch.context() as patch:
        run_here(patch, 'mine_unknowns', *arguments(setting, out))
    return out


def same(one, two):
    """The same boxes and groups, scores within rounding."""
    first, second = (read_coco(out / 'unknown.json') for out in (one, two))
    assert first['images'] == second['images']
    boxes, others = first['annotations'], second['annotations']
    assert len(boxes) == len(others) > 5
    for a, b in zip(boxes, others):
        assert a['image_id'] == b['image_id']
        assert a['attributes']['group'] == b['attributes']['group']
        for key in ('bbox', 'score', 'ood_score'):
            np.testing.assert_allclose(a[key], b[key], rtol=1e-3, atol=1e-2)
    features = [np.load(out / 'features.npy') for out in (one, two)]
    np.testing.assert_allclose(*features, rtol=1e-2, atol=1e-2)


def test_what_is_left(whole, setting):
    content = read_coco(whole / 'unknown.json')
    names = [image['file_name'] for image in content['images']]
    assert len(names) == IMAGES and names[0] == 'a/0.png'
    info = content['info']
    assert os.path.samefile(whole / info['image_folder'], setting[2])
    assert len(info['checkpoint']) == 64 and info['top'] is None
    assert info['score'] == 'energy' and info['mmood'] and info['iou'] == 0.5
    with open(whole / 'unknown.csv', newline='') as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(content['annotations'])
    assert all((whole / row['crop']).is_file() for row in table)
    assert {path.name for path in whole.iterdir()} == {
        *('.mmood-lock', 'crops', 'features.npy', 'index.html', 'shards'),
        *('unknown.csv', 'unknown.json'),
    }


def test_killed_and_started_again(setting, whole, tmp_path, mine):
    out = tmp_path / 'out'
    (process,) = start_script(os.devnull, ROOT, TOOL, *arguments(setting, out))
    end = time.time() + 240
    while len(list(out.glob('shards/*.npz'))) < 2:
        assert process.is_alive() and time.time() < end
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (out / 'unknown.json').exists()
    before = {p: p.stat().st_mtime_ns for p in out.glob('shards/*.npz')}
    mine(out)
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())
    same(whole, out)


def test_two_ranks_find_what_one_finds(setting, whole, tmp_path):
    out = tmp_path / 'out'
    rest = arguments(setting, out, '--launcher', 'pytorch')
    text = run_script(TOOL, *rest, ranks=2)
    same(whole, out)
    assert text.count('unknown boxes of 13 images') == 1


def test_two_ranks_find_the_same_highest(setting, tmp_path, mine):
    mine(tmp_path / 'one', '--top', 600)
    rest = arguments(setting, tmp_path / 'two', '--top', 600)
    run_script(TOOL, *rest, '--launcher', 'pytorch', ranks=2)
    same(tmp_path / 'one', tmp_path / 'two')
    content = read_coco(tmp_path / 'one/unknown.json')
    assert len(content['annotations']) == 8  # 600 of 1,000, of 13


def test_other_groups_do_not_ask_the_detector(whole, tmp_path, mine):
    out = tmp_path / 'out'
    shutil.copytree(whole, out)
    before = {p: p.stat().st_mtime_ns for p in out.glob('shards/*.npz')}
    mine(out, '--groups', 3)
    assert before == {p: p.stat().st_mtime_ns for p in before}
    content = read_coco(out / 'unknown.json')
    groups = {a['attributes']['group'] for a in content['annotations']}
    assert groups == {0, 1, 2} and content['info']['groups'] == 3


@pytest.mark.parametrize(
    ('option', 'key'), [('--iou', 'iou'), ('--score-thr', 'confidence')]
)
def test_other_arguments_are_refused(whole, mine, option, key):
    with pytest.raises(SystemExit, match=f'begun with {key} = .* 0.9: give'):
        mine(whole, option, 0.9)


def test_no_unknown_box_at_all(tmp_path, mine, capsys):
    mine(tmp_path, '--ood-threshold', 1e6)
    assert (
        '0 unknown boxes of 13 images in 0 groups' in capsys.readouterr().out
    )
    assert read_coco(tmp_path / 'unknown.json')['annotations'] == []


def test_one_image_a_thousand_times(tmp_path, mine):
    """A file that lists it so often: a box is in one group with its copies."""
    content = dict(
        images=[
            dict(id=i, file_name='a/0.png', width=64, height=48)
            for i in range(1000)
        ],
        annotations=[],
        categories=[dict(id=1, name='zebra')],
    )
    truth = tmp_path / 'truth.json'
    truth.write_text(json.dumps(content))
    for groups in ('hdbscan', 40):  # of which the second asks no detector
        more = ('--truth', truth, '--groups', groups, '--batch-size', 50)
        mine(tmp_path / 'out', *more, '--images-per-shard', 500)
        found = read_coco(tmp_path / 'out/unknown.json')['annotations']
        by_box = {}
        for one in found:
            key = tuple(np.round(one['bbox']))
            group = one['attributes']['group']
            by_box.setdefault(key, set()).add(group)
        assert len(found) == 1000 * len(by_box) > 1000
        assert all(len(of) == 1 for of in by_box.values())


def test_fewer_boxes_than_groups(tmp_path, mine):
    mine(tmp_path, '--top', 200, '--groups', 50)
    found = read_coco(tmp_path / 'unknown.json')['annotations']
    groups = {a['attributes']['group'] for a in found}
    # Two boxes may be of one RoI, and have the same features.
    assert len(found) == 3 and groups in ({0, 1}, {0, 1, 2})


def test_purity_is_printed(setting, tmp_path, mine, capsys):
    """Of one image whose objects are the boxes that are found."""
    mine(tmp_path / 'out')
    content = read_coco(tmp_path / 'out/unknown.json')
    own = [a for a in content['annotations'] if a['image_id'] == 1]
    truth = dict(
        images=content['images'][:1],
        annotations=[dict(a, category_id=1) for a in own],
        categories=[dict(id=1, name='zebra')],
    )
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(truth))
    capsys.readouterr()
    mine(tmp_path / 'other', '--truth', path, '--groups', 1)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found['boxes'] == len(own) and found['groups'] == 1
    assert found['purity'] == found['recall'] == found['found'] == 1


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (('--score', 'knn'), "score must be one of .* got 'knn'"),
        (('--iou', '7'), 'iou must be from 0 to 1, got 7'),
        (('--truth', 'nowhere.json'), 'there is no file nowhere.json'),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, mine, more, words):
    with pytest.raises(SystemExit, match=f'error: {words}'):
        mine(tmp_path / 'out', *more)


def test_no_threshold_and_no_image(setting, tmp_path, mine, monkeypatch):
    content = torch.load(setting[1], weights_only=True)
    for key in [k for k in content['state_dict'] if 'threshold' in k]:
        del content['state_dict'][key]
    torch.save(content, tmp_path / 'other.pth')
    where = (setting[0], tmp_path / 'other.pth', setting[2])
    with pytest.raises(SystemExit, match='has no threshold .* --top'):
        run_here(
            monkeypatch, 'mine_unknowns', *arguments(where, tmp_path / 'out')
        )
    with pytest.raises(SystemExit, match='lies in .*choose another folder'):
        mine(setting[2] / 'a/out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SystemExit, match='empty has no image'):
        mine(tmp_path / 'out', images=tmp_path / 'empty')


def test_a_broken_shard_is_named(whole, tmp_path, mine):
    out = tmp_path / 'out'
    shutil.copytree(whole, out)
    path = out / 'shards/000001.npz'
    assert len(read_shard(path).sizes) == 2
    path.write_bytes(b'broken')
    with pytest.raises(SystemExit, match='000001.npz cannot be read.*remove'):
        mine(out)
