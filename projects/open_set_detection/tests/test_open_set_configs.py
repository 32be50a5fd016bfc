"""Every config of the project is parsed and its model built."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from helpers import ROOT
from mmood.det.models import OpenSetRoIHead
from mmood.necks import DFDDNeck
from mmood.recipe import load
from mmood.registry import DATASETS, METRICS

PROJECT = Path(__file__).parents[1]
CONFIGS = sorted((PROJECT / 'configs').glob('*.py'))
_PARSED = {path: load(path) for path in CONFIGS}
METHODS = ('plain', 'ds', 'ore', 'proser', 'opendet', 'opendet_dfdd')
MY_DATA = """
_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'
classes = ('screw', 'nut', 'bolt')
metainfo = dict(classes=classes)
default_scope = 'mmdet'
some_set = dict(
    type='CocoDataset',
    metainfo=metainfo,
    pipeline=[dict(type='LoadImageFromFile'), dict(type='PackDetInputs')],
)
train_dataloader = dict(dataset=dict(some_set, ann_file='train.json'))
val_dataloader = dict(dataset=dict(some_set, ann_file='val.json'))
"""
OPENDET = ['InstanceContrastiveLoss', 'UnknownProbabilityLoss']
LOSSES = {
    'plain': [],
    'proser': ['PlaceholderLoss'],
    'ore': ['EnergyWeibulls'],
    'ds': [],
    'opendet': OPENDET,
    # In the place of the uncertainty loss.
    'opendet-dfdd': [*OPENDET, 'BlurredClassifierLoss', 'ConsistencyLoss'],
}
KNOWN = dict(shapes=8, voc=20)
OPEN_SETS = dict(
    shapes=['near', 'far'],
    voc=['voc_coco_20', 'voc_coco_40', 'voc_coco_60'],
)


def parse(path: Path | str) -> Config:
    return copy.deepcopy(_PARSED[PROJECT / 'configs' / path])


def by_name(paths: list) -> pytest.MarkDecorator:
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


def set_of(path: Path) -> str:
    return path.stem.split('_')[-1]


def test_every_method_comes_for_both_sets():
    names = {path.stem for path in CONFIGS}
    expected = set()
    for rest in ('r18_fpn{}_shapes', 'r50_fpn{}_32k_voc'):
        expected.add('faster-rcnn_' + rest.format('_thr-0.1'))
        for method in LOSSES:
            plain = method == 'plain'
            head = 'faster-rcnn' if plain else f'{method}_faster-rcnn'
            expected.add(f'{head}_{rest.format("")}')
    assert names == expected


@by_name(CONFIGS)
def test_detector_is_built_as_the_config_says(path):
    cfg = parse(path)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    head, method = model.roi_head, path.stem.split('_')[0]
    assert isinstance(head, OpenSetRoIHead)
    known = KNOWN[set_of(path)]
    classes = cfg.train_dataloader.dataset.metainfo.classes
    assert head.num_classes == len(classes) == known
    has_column = method in ('proser', 'ore', 'opendet', 'opendet-dfdd')
    assert head.unknown_class == has_column
    assert head.bbox_head.num_classes == known + has_column
    assert head.rejects == (method in ('ds', 'ore'))
    necks = [m for m in model.modules() if isinstance(m, DFDDNeck)]
    assert len(necks) == ('dfdd' in method)
    if 'dfdd' in method:
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        rates = {group['lr'] for group in wrapper.param_groups}
        assert max(rates) == pytest.approx(1000 * min(rates))
    assert list(head.losses) == LOSSES[method.replace('faster-rcnn', 'plain')]
    if 'opendet' in method:
        queues = head.losses['InstanceContrastiveLoss'].queues
        assert queues.memory.shape == (known, 256, 128)
        assert len(head.bbox_head.cls_fcs) == len(head.bbox_head.reg_fcs) == 2


@by_name(CONFIGS)
def test_it_is_tested_on_closed_and_open_sets(path):
    cfg, dataset = parse(path), set_of(path)
    sets = cfg.test_dataloader.dataset.datasets
    assert [s.name for s in sets] == ['id', *OPEN_SETS[dataset]]
    classes = cfg.train_dataloader.dataset.metainfo.classes
    for one in sets:
        assert one.type == 'mmood.OpenSetCocoDataset'
        assert one.test_mode and one.metainfo.classes == classes
        # Only the unknown parts of Shapes lack the known classes.
        lacks = dataset == 'shapes' and one.name != 'id'
        assert one.get('missing_ok', False) == lacks
        assert one.get('unknown', 'label') == 'label'
    train = cfg.train_dataloader.dataset
    assert cfg.fit_dataloader.dataset.ann_file == train.ann_file
    assert cfg.val_dataloader.dataset.ann_file != train.ann_file
    assert sets[0].ann_file not in (
        train.ann_file,
        cfg.val_dataloader.dataset.ann_file,
    )
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        metric = METRICS.build(evaluator)
        closed = '11points' if dataset == 'voc' else 'area'
        assert (metric.closed_style, metric.open_style) == (closed, 'area')
        assert metric.protocol == 'opendet'
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert 'mmood.CalibrateOODHook' in hooks
    assert 'mmood.FiniteLossHook' in hooks


@by_name(CONFIGS)
def test_the_score_threshold_is_that_of_the_name(path):
    threshold = parse(path).model.test_cfg.rcnn.score_thr
    assert threshold == (0.1 if 'thr-0.1' in path.stem else 0.05)


@by_name([path for path in CONFIGS if set_of(path) == 'voc'])
def test_voc_is_trained_as_published(path):
    cfg = parse(path)
    assert cfg.train_cfg.max_iters == 32_000
    assert cfg.param_scheduler[-1].milestones == [21_000, 29_000]
    assert cfg.optim_wrapper.optimizer.lr == 0.02
    assert cfg.auto_scale_lr.base_batch_size == 16
    names = {name for name in cfg.train_dataloader.dataset.metainfo.classes}
    assert {'couch', 'tv', 'dining table'} <= names
    if 'opendet' in path.stem:
        unknown = cfg.model.roi_head.losses[1]
        # 3 for each of 8 GPUs with 2 images.
        assert (unknown.top_k, unknown.start) == (24, 100)
        assert (unknown.loss_weight, unknown.alpha) == (1.0, 1.0)


@by_name(CONFIGS)
def test_method_differs_from_its_plain_twin_by_itself_alone(path):
    cfg = parse(path).to_dict()
    rest = path.stem.split('faster-rcnn_')[1].replace('_thr-0.1', '')
    plain = parse(f'faster-rcnn_{rest}.py').to_dict()
    head, twin = cfg['model'].pop('roi_head'), plain['model'].pop('roi_head')
    for key in ('bbox_roi_extractor', 'train_cfg', 'test_cfg'):
        assert head.get(key) == twin.get(key)
    for key in ('loss_cls', 'loss_bbox', 'bbox_coder', 'fc_out_channels'):
        assert head['bbox_head'][key] == twin['bbox_head'][key]
    if 'dfdd' in path.stem:
        cfg['model']['neck'] = cfg['model']['neck'][0]
        del cfg['optim_wrapper']['paramwise_cfg']
    cfg['model']['test_cfg']['rcnn']['score_thr'] = 0.05
    cfg['resolved'] = plain['resolved']  # names of variables
    assert {key: cfg[key] for key in plain} == plain


@pytest.mark.parametrize('method', METHODS)
def test_every_method_stands_beside_data_of_ones_own(method, tmp_path):
    """With a plain detector, as the page says."""
    (tmp_path / 'my_data.py').write_text(MY_DATA)
    path = tmp_path / 'mine.py'
    methods = PROJECT / 'configs/_base_/methods'
    path.write_text(f"_base_ = ['my_data.py', '{methods / method}.py']")
    cfg = load(path)
    cfg.model.backbone.init_cfg = None
    head = MODELS.build(cfg.model).roi_head
    assert isinstance(head, OpenSetRoIHead)
    has_column = method in ('proser', 'ore', 'opendet', 'opendet_dfdd')
    assert (head.num_classes, head.unknown_class) == (3, has_column)
    assert list(head.losses) == LOSSES[method.replace('_', '-')]
    assert cfg.fit_dataloader.dataset.ann_file == 'train.json'


def test_table_has_the_papers_rows():
    table = yaml.safe_load((PROJECT / 'table_shapes.yaml').read_text())
    rows = table['rows']
    assert len(table['seeds']) >= 3
    names = [row['name'] for row in rows]
    paper = ['FR-CNN', 'FR-CNN (0.1)', 'PROSER', 'ORE', 'DS', 'OpenDet']
    assert names == [*paper, 'OpenDet + DFDD']
    page = (PROJECT / 'README.md').read_text()
    assert all(f'| {name} |' in page for name in names)
    for row in rows:
        assert ROOT / row['config'] in CONFIGS
        assert row['score'] == 'open_set'
    # The higher threshold is one more test of the same training.
    assert rows[1]['config'] == rows[0]['config']
    options = parse('faster-rcnn_r18_fpn_thr-0.1_shapes.py')
    for key, value in rows[1]['test_options'].items():
        place = options
        for part in key.split('.'):
            place = place[part]
        assert place == value


def test_objects_of_both_sets_get_their_labels(tmp_path):
    """Known by name, whatever the file's order; all else is unknown."""
    cfg = parse('opendet_faster-rcnn_r18_fpn_shapes.py')
    images = [dict(id=1, file_name='1.png', width=96, height=96)]
    names = ['gear', 'ring', 'circle', 'fish']
    content = dict(
        images=images,
        categories=[dict(id=i, name=n) for i, n in enumerate(names, 5)],
        annotations=[
            dict(id=i, image_id=1, category_id=i, bbox=[9 * i, 9, 8, 8],
                 area=64, iscrowd=0)
            for i in range(5, 9)
        ],
    )  # fmt: skip
    (tmp_path / 'far.json').write_text(json.dumps(content))
    one = cfg.test_dataloader.dataset.datasets[2]
    one.update(data_root=str(tmp_path), ann_file='far.json', pipeline=[])
    info = DATASETS.build(one).get_data_info(0)
    labels = [instance['bbox_label'] for instance in info['instances']]
    assert labels == [8, 5, 0, 8]
    assert info['origin'] == 'far'
