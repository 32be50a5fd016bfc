"""A head and DOoD on a frozen backbone that sees each picture once."""

import json

import cv2
import numpy as np
import pytest

from helpers import ROOT, load_weights, run_here
from mmood.recipe import load

SEGMENTOR = 'posthoc/linear_vit-s14_1k_camvid.py'
DOOD = 'dood/dood_linear_vit-s14_600_camvid.py'
# A ViT of two layers, width 32, for images of 56 pixels. What a user says of
# another set and backbone stands in a config of its own.
CHILD = """
_base_ = {base!r}
data_root, folder = {data!r} + '/camvid', {data!r} + '/'
num_workers, max_iters, max_fit_images = 0, 2, 3
image_scale = (400, 56)
val_set = '$id_val_set'
probed_channels, step_size = 32, 16
train_dataloader = dict(batch_size=2, persistent_workers=False)
default_hooks = dict(logger=dict(interval=1))
env_cfg = dict(float32_matmul_precision='highest')
model = dict(
    backbone=dict(
        img_size=56, embed_dims=32, num_layers=2, num_heads=2, init_cfg=None
    ),
    decode_head=dict(in_channels=32, channels=32),
)
ood = dict(
    frozen=dict(
        cache={data!r} + '/cache', probes=[dict(keys=0), dict(keys=-1)]
    )
)
"""


@pytest.fixture(scope='module')
def roads(tmp_path_factory):
    """Folders as CamVid and the two road sets have them."""
    folder, rng = tmp_path_factory.mktemp('roads'), np.random.default_rng(0)

    def write(images, labels, name, size, values):
        for place in (images, labels):
            (folder / place).mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / images / f'{name}.jpg'), picture)
        label = rng.choice(np.uint8(values), size)
        cv2.imwrite(str(folder / labels / f'{name}.png'), label)

    for part, number in (('train', 4), ('val', 2)):
        for i in range(number):
            places = f'camvid/images/{part}', f'camvid/labels/{part}'
            write(*places, f'{part}{i}', (56, 84), range(12))
    for name, size in (('road_anomaly21', (72, 128)), ('fs_static', (64, 96))):
        places = f'{name}/images', f'{name}/labels_masks'
        write(*places, '0', size, (0, 1, 255))
    return folder


def config(folder, data, name, more=''):
    path = folder / name.split('/')[-1]
    base = str(ROOT / 'configs' / name)
    path.write_text(CHILD.format(base=base, data=str(data)) + more)
    return path


@pytest.fixture(scope='module')
def segmentor(roads, tmp_path_factory):
    folder = tmp_path_factory.mktemp('segmentor')
    path = config(folder, roads, SEGMENTOR)
    with pytest.MonkeyPatch.context() as patch:
        run_here(patch, 'train', path, '--work-dir', folder)
    return folder / 'iter_2.pth'


def kept(roads):
    """The files of the cache, and when they were written."""
    files = (roads / 'cache').rglob('*.pt')
    return {path: path.stat().st_mtime_ns for path in files}


def test_the_head_alone_is_trained(segmentor, roads):
    before, state = load_weights(segmentor), kept(roads)
    assert len(state) == 6  # four to train on, two to validate with
    names = {name.split('.')[0] for name in before}
    assert names == {'backbone', 'decode_head', 'scores', 'ood_threshold'}


@pytest.mark.parametrize('keys', [0, -1])
def test_nothing_but_new_pictures_runs_the_backbone(
    segmentor, roads, tmp_path, keys, monkeypatch
):
    """Training, fit and calibration of DOoD on a layer, then its test."""
    before = kept(roads)
    path = config(tmp_path, roads, DOOD, f'ood["probe"] = dict(keys={keys})')
    train = ('--cfg-options', f'load_from={segmentor}')
    run_here(monkeypatch, 'train', path, '--work-dir', tmp_path, *train)
    assert kept(roads) == before
    out = ('--work-dir', tmp_path, '--out-dir', tmp_path / 'ood')
    run_here(monkeypatch, 'test', path, tmp_path / 'iter_2.pth', *out)
    after = kept(roads)
    assert len(after) == 8  # and a picture of each OOD set
    assert {path: after[path] for path in before} == before
    metrics = json.loads((tmp_path / 'ood/metrics.json').read_text())
    scores = [s if isinstance(s, str) else s.get('name', s['type'])
              for s in load(path).model.scores]  # fmt: skip
    assert len(scores) == 11
    for name in ('anomaly_track', 'fs_static'):
        for score in scores:
            assert 0 <= metrics[f'{name}/{score}/AUROC'] <= 100


def test_a_child_chooses_sets_and_pipelines_in_a_line_each(roads, tmp_path):
    """And what it overrides reaches every set that has it."""
    more = """
test_sets = ['$fs_static']
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='Changed')]
"""
    cfg = load(config(tmp_path, roads, SEGMENTOR, more))
    (only,) = cfg.test_dataloader.dataset.datasets
    assert only.name == 'fs_static'
    assert [step.type for step in only.pipeline][1:] == ['Changed']
    fit = cfg.fit_dataloader.dataset.pipeline
    assert fit == cfg.val_dataloader.dataset.pipeline
    assert [step.get('scale') for step in fit][1] == (400, 56)
