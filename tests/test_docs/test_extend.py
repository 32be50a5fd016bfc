"""What docs/en/extend.md says, done: its files, its tests, its configs."""

import json
import re
import sys

import pytest
import torch

import processes
from helpers import ROOT, load_weights, run

PAGE = ROOT / 'docs/en/extend.md'
# The bases of `my_data.py`, shrunk, on the tiny Shapes.
DETECTOR = f"""
_base_ = '{ROOT}/configs/_base_/faster-rcnn_r18_fpn_shapes.py'
max_epochs, warmup = 1, '1/2'
model = dict(
    roi_head=dict(bbox_head=dict(fc_out_channels=32)),
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=30), rcnn=dict(sampler=dict(num=16))
    ),
    test_cfg=dict(rpn=dict(max_per_img=20), rcnn=dict(score_thr=0.0)),
)
val_evaluator = test_evaluator = dict(score_threshold=0.0)
"""
SEGMENTOR = f"""
_base_ = '{ROOT}/configs/_base_/segmenter_vit_shapes.py'
max_iters, max_fit_images, width = 2, 8, 32
crop_size = (64, 64)
model = dict(backbone=dict(num_layers=2, num_heads=2))
"""
LOADERS = """
data_root = '{data}/'
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False
)
val_dataloader = test_dataloader = dict(num_workers=0)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The files of the page, each named by its first line."""
    blocks = re.findall('```python\n(.*?)```', PAGE.read_text(), re.S)
    out = tmp_path_factory.mktemp('extend')
    for block in blocks:
        name = re.match(r'# (\w+\.py)\n', block)[1]
        assert not (out / name).exists()
        # The working tree's configs, not those that are installed.
        (out / name).write_text(block.replace('mmood::', f'{ROOT}/configs/'))
    return out


def train_and_test(folder, config: str, data, my_data: str) -> dict:
    """Measures and the checkpoint's weights."""
    (folder / 'my_data.py').write_text(my_data + LOADERS.format(data=data))
    work_dir = folder / config
    rest = (f'{config}.py', '--work-dir', work_dir)
    processes.run_script(folder, ROOT / 'tools/train.py', *rest)
    checkpoint = (work_dir / 'last_checkpoint').read_text()
    rest = (*rest[:1], checkpoint, *rest[1:], '--out-dir', work_dir / 'ood')
    processes.run_script(folder, ROOT / 'tools/test.py', *rest)
    found = json.loads((work_dir / 'ood/metrics.json').read_text())
    return found, load_weights(checkpoint)


def test_its_tests_pass(folder):
    names = sorted(path.name for path in folder.glob('test_*.py'))
    assert len(names) == 4
    command = (sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider')
    path = ':'.join(part for part in sys.path if part)
    run(*command, *names, cwd=folder, PYTHONPATH=path)


def test_scores_of_boxes(folder, shapes):
    found, state = train_and_test(folder, 'my_scores', shapes, DETECTOR)
    one, two = (found[f'near/{s}/AUROC'] for s in ('margin', 'squared'))
    assert 0 < one < 1 and one == pytest.approx(two, abs=1e-6)
    one, two = (
        state[f'roi_head.scores.thresholds.{s}'] for s in ('margin', 'squared')
    )
    torch.testing.assert_close(two, -(one**2))


def test_scores_of_pixels(folder, shapes):
    found, state = train_and_test(folder, 'my_pixel_scores', shapes, SEGMENTOR)
    for score in ('margin', 'length', 'compound'):
        assert 0 < found[f'far/{score}/AUROC'] < 1
        assert state[f'scores.thresholds.{score}'].isfinite()
    assert state['scores.length.is_fitted']
    assert state['scores.length.mean'] > 0
    assert (state['scores.compound.std'] > 0).all()


def test_a_loss_and_a_source_as_a_method(folder, shapes):
    found, state = train_and_test(folder, 'my_method', shapes, DETECTOR)
    assert 0 < found['near/energy/AUROC'] < 1
    (log,) = folder.glob('my_method/*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [row['loss_energy'] for row in rows if 'loss_energy' in row]
    assert losses[-1] > 0  # outliers count in the second half
