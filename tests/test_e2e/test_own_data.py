"""A user's data file with a method beside it, as docs/en/new_dataset.md."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.registry import MODELS

from helpers import ROOT, write_coco
from mmood.launch import build_runner
from mmood.recipe import load
from mmood.registry import DATASETS

CLASSES = ('bolt', 'nut', 'washer')
BOXES = [[2, 2, 20, 18], [24, 4, 22, 20], [8, 24, 24, 22]]
FILES = ('my_data.py', 'my_cascade.py')
# What each method learns beside a plain detector.
LOSSES = dict(
    csi=['loss_csi', 'loss_csi_shift'],
    dfdd=['loss_consistency', 'loss_deblur', 'loss_uncertainty'],
    dfdd_roi=['loss_consistency', 'loss_deblur', 'loss_uncertainty'],
    dream_box=['loss_uncertainty'],
    ffs=['loss_flow', 'loss_uncertainty'],
    gan=['loss_gan', 'loss_uncertainty'],
    godin=[],
    posthoc=[],
    siren=['loss_vmf'],
    vos=['loss_uncertainty'],
)
TINY = {
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.backbone.init_cfg': None,
    'model.neck.in_channels': [8, 16, 32, 64],
    'model.train_cfg.rpn_proposal.max_per_img': 20,
    'model.test_cfg.rpn.max_per_img': 20,
    'model.test_cfg.rcnn.score_thr': 0.0,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'val_evaluator.score_threshold': 0.0,
}
# What waits for more than a step does not wait.
EARLY = {
    'vos': {'ood.outliers.start_share': 0.0, 'ood.outliers.queue_size': 1},
    'dfdd_roi': {'ood.outliers.start_share': 0.0},
    'ffs': {'ood.outliers.start_share': 0.0},
    'posthoc': {
        'ood.scores': ['energy', 'mahalanobis', dict(type='knn', k=1)]
    },
    'siren': {'ood.scores.1.k': 1},
}


def test_every_method_is_tried():
    files = (ROOT / 'configs/_base_/methods').glob('*.py')
    lists = {'posthoc_all', 'posthoc_dense', 'posthoc_seg', 'dense_scores'}
    lists |= {'fmiyc', 'siren_detr'}
    others = {'dood', 'dream_box_dense'}  # not of a RoI head
    others |= {'energy_hinge', 'gmmseg', 'mask2anomaly', 'masks', 'rba', 'rpl'}
    assert {f.stem for f in files} == {*LOSSES, *lists, *others}


def examples(section: str) -> dict[str, str]:
    """The files that a section of docs/en/new_dataset.md shows, by name."""
    page = (ROOT / 'docs/en/new_dataset.md').read_text()
    (text,) = [
        part for part in page.split('\n## ') if part.startswith(section)
    ]
    blocks = re.findall('```python\n# (\\w+\\.py)\n(.*?)```', text, re.S)
    # The working tree's configs, not those that are installed.
    return {k: v.replace('mmood::', f'{ROOT}/configs/') for k, v in blocks}


def write_sets(folder: Path) -> None:
    """The sets of the docs: three objects an image, one of them flagged."""
    write_coco(folder, [BOXES] * 4, CLASSES)
    content = json.loads((folder / 'ann.json').read_text())
    for i, annotation in enumerate(content['annotations']):
        annotation['category_id'] = content['categories'][i % 3]['id']
        annotation['ood'] = int(i % 3 == 0)
    for name in ('train', 'val', 'annotations'):
        (folder / f'{name}.json').write_text(json.dumps(content))
    write_coco(folder, [BOXES[:1]], ['hammer']).rename(folder / 'ood.json')


def tiny_detector(file: str, method: str, folder: Path) -> Config:
    """A method of the docs' data file, resolved, on small images."""
    files = examples('Detection')
    write_sets(folder)
    (folder / file).write_text(
        files[file].replace('data/screws/', f'{folder}/')
    )
    text = files['my_dream_box.py' if method == 'dream_box' else 'my_vos.py']
    text = text.replace('my_data.py', file).replace('vos', method)
    path = folder / f'my_{method}.py'
    path.write_text(text.replace('data/screws_dream/', f'{folder}/'))
    options = dict(TINY)
    if file == 'my_data.py':
        options['max_iters'] = 2
        options['train_scales'] = [(64, 64)]
        options['image_scale'] = (64, 64)
    else:
        options['train_cfg.max_epochs'] = 1
        for i, part in (('2', 'train'), ('1', 'val')):
            key = f'{part}_dataloader.dataset.pipeline.{i}.scale'
            options[key] = (64, 64)
        del options['val_evaluator.score_threshold']
    cfg = load(path, {**options, **EARLY.get(method, {})})
    cfg.work_dir, cfg.launcher = str(folder / 'work'), 'none'
    cfg.visualizer.name = cfg.experiment_name = str(folder.name)
    return cfg


@pytest.mark.parametrize('method', LOSSES)
@pytest.mark.parametrize('file', FILES)
def test_every_method_trains_on_one_data_file(file, method, tmp_path):
    cfg = tiny_detector(file, method, tmp_path)
    cfg.val_evaluator.score_threshold = 0.0
    runner = build_runner(cfg)
    runner.train()
    head = runner.model.roi_head
    several = isinstance(head.bbox_head, torch.nn.ModuleList)
    assert several == (file == 'my_cascade.py')
    for stage in head.bbox_head if several else [head.bbox_head]:
        assert stage.num_classes == 3
    logged = runner.message_hub.log_scalars
    losses = {
        key.split('/')[1]: buffer.current()
        for key, buffer in logged.items()
        if key.startswith('train/') and 'loss' in key
    }
    assert np.isfinite(list(losses.values())).all()
    stock = ('loss', 'loss_cls', 'loss_bbox', 'loss_rpn_cls', 'loss_rpn_bbox')
    own = [k for k in losses if k not in stock and '.' not in k]
    assert sorted(own) == LOSSES[method]
    thresholds = head.scores.thresholds
    for name in head.scores.names:
        assert torch.isfinite(thresholds[name]), name


def test_the_docs_sets_are_told_apart(tmp_path):
    cfg = tiny_detector('my_data.py', 'vos', tmp_path)
    test = DATASETS.build(cfg.test_dataloader.dataset)
    origins = [sample['data_samples'].origin for sample in test]
    assert origins == ['id'] * 4 + ['unknown']
    assert test.metainfo['classes'] == CLASSES


def write_seg_set(folder: Path, ids: list[int]) -> None:
    """Two noise images of 80 x 64 pixels, each id in a column of the label."""
    rng = np.random.default_rng(0)
    columns = np.arange(80) * len(ids) // 80
    label = np.broadcast_to(np.array(ids)[columns], (64, 80))
    for sub in ('images', 'labels'):
        (folder / sub).mkdir(parents=True)
    for i in range(2):
        pixels = rng.integers(0, 255, (64, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'images/{i}.jpg'), pixels)
        path = str(folder / f'labels/{i}.png')
        cv2.imwrite(path, label.astype(np.uint8))


@pytest.fixture
def tiny_segmentor(tmp_path):
    """Function: a method on the docs' data, with a ViT of one layer."""
    files = examples('Segmentation')
    write_seg_set(tmp_path / 'train', [0, 1, 2, 255])
    write_seg_set(tmp_path / 'val', [0, 1, 2, 255])
    write_seg_set(tmp_path / 'ood', [0, 9, 2, 255])
    data = files['my_data.py'].replace('data/screws/', f'{tmp_path}/')
    data = data.replace('(512, 512)', '(64, 64)')
    (tmp_path / 'my_data.py').write_text(data)

    def build(method: str, **options) -> Config:
        text = files['my_dood.py'].replace('dood.py', f'{method}.py')
        path = tmp_path / f'my_{method}.py'
        path.write_text(text)
        tiny = {
            'load_from': None,
            'max_iters': 2,
            'model.backbone.num_layers': 1,
            'model.backbone.out_indices': -1,
            'train_dataloader.batch_size': 2,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'val_dataloader.num_workers': 0,
        }
        cfg = load(path, {**tiny, **options})
        cfg.work_dir, cfg.launcher = str(tmp_path / method), 'none'
        cfg.visualizer.name = cfg.experiment_name = method
        return cfg

    with DefaultScope.overwrite_default_scope('mmseg'):
        yield build


def test_scores_and_dood_on_one_data_file(tiny_segmentor):
    """The plain segmentor is scored, then DOoD trains on its features."""
    cfg = tiny_segmentor('posthoc_seg')
    runner = build_runner(cfg)
    assert runner.model.decode_head.num_classes == 3
    runner.train()
    names = runner.model.scores.names
    assert names == ('energy', 'msp', 'max_logit', 'entropy')
    thresholds = runner.model.scores.thresholds
    assert all(torch.isfinite(thresholds[name]) for name in names)

    trained = {'load_from': f'{cfg.work_dir}/iter_2.pth', 'step_size': 32}
    small = {'denoiser.num_blocks': 1, 'denoiser.num_middle_blocks': 0}
    cfg = tiny_segmentor('dood', **trained, **small)
    assert cfg.train_dataloader.dataset.vectors == 16
    before = runner.model.state_dict()
    runner = build_runner(cfg)
    head = runner.model.losses.DenoisingLoss.denoiser.head[-1]
    assert not head.bias.any()
    runner.train()
    assert head.bias.any()
    for name, value in runner.model.state_dict().items():
        if name.startswith(('backbone.', 'decode_head.')):
            assert torch.equal(value, before[name]), name
    # An untrained denoiser says zero, where the noise has unit variance.
    loss = runner.message_hub.log_scalars['train/loss_denoise']
    assert loss.data[0][0] == pytest.approx(1, abs=0.15)
    for name in ('compound', 'diffusion', 'energy'):
        assert torch.isfinite(runner.model.scores.thresholds[name])


def test_the_docs_label_pictures_are_read(tiny_segmentor):
    cfg = tiny_segmentor('posthoc_seg')
    for loader, name, labels in (
        (cfg.val_dataloader, 'id', {0, 1, 2, 255}),
        (cfg.fit_dataloader, 'id', {0, 1, 2, 255}),
        (cfg.test_dataloader, 'unknown', {0, 1, 255}),
    ):
        for batch in Runner.build_dataloader(dict(loader, num_workers=0)):
            (sample,) = batch['data_samples']
            assert sample.origin == name
            found = sample.gt_sem_seg.data.unique()
            assert set(found.tolist()) == labels


def test_another_segmentor_as_the_docs_say(tiny_segmentor, tmp_path):
    data = (tmp_path / 'my_data.py').read_text()
    data = data.replace('segmenter_vit-b16_mask', 'segformer_mit-b0')
    data = data.replace("    backbone=dict(img_size='$crop_size'),\n", '')
    data = data.replace("size='$crop_size'\n", "size='$crop_size'\n", 1)
    (tmp_path / 'my_data.py').write_text(data)
    path = tmp_path / 'my_segformer.py'
    path.write_text(examples('Segmentation')['my_segformer.py'])
    model = load(path, {'model.decode_head.norm_cfg.type': 'BN'}).model
    assert model.decode_head.num_classes == 3
    model = MODELS.build(model).eval()
    model.load_state_dict(model.state_dict())  # "trained"
    features = model.extract_features(torch.zeros(1, 3, 64, 64))
    assert features.shape[1] == model.losses.DenoisingLoss.channels == 256
