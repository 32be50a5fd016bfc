"""Eight classes of VOC on a frozen backbone: tiny, from end to end."""

import json

import pytest
import torch
from mmengine.runner import Runner

from helpers import ROOT, tiny_options
from mmood.recipe import load
from mmood.registry import MODELS

LISTS = ROOT / 'configs/_base_/datasets/voc-animals'
NAME = 'faster-rcnn_mobilenet-v2_fpn_voc-animals.py'


@pytest.fixture
def animals(shapes, tmp_path, monkeypatch):
    """Shapes by the names and in the folders of VOC animals."""
    root = tmp_path / 'animals'
    classes = load(ROOT / 'configs/posthoc' / NAME).id_set.metainfo.classes
    for folder, part, source in (
        ('voc', 'train', 'train'),
        ('voc', 'test', 'test'),
        ('coco_ood', 'test', 'near'),
        ('raccoon', 'test', 'far'),
    ):
        path = root / folder / 'annotations' / f'{part}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        content = json.loads(
            (shapes / f'annotations/{source}.json').read_text()
        )
        if folder == 'voc':
            for category, name in zip(content['categories'], classes):
                category['name'] = name
        path.write_text(json.dumps(content))
        if not (root / folder / 'images').exists():
            (root / folder / 'images').symlink_to(shapes)
    monkeypatch.setenv('MMOOD_DATA', str(root))
    backbone = dict(type='mmdet.MobileNetV2', out_indices=(2, 4, 7))
    torch.save(MODELS.build(backbone).state_dict(), root / 'weights.pth')
    return root


def config(method, animals, work_dir, **options):
    cfg = load(
        ROOT / 'configs' / method,
        {
            **tiny_options(animals / 'voc'),
            'cache': str(animals / 'cache'),
            'pretrained': str(animals / 'weights.pth'),
            'model.test_cfg.rcnn.score_thr': 0.0,
            'val_evaluator.score_threshold': 0.0,
            'test_evaluator.score_threshold': 0.0,
            'image_scale': (64, 64),
            'train_scales': [(64, 64)],
            'model.data_preprocessor.batch_augments.0.size': (64, 64),
            **options,
        },
    )
    cfg.work_dir = str(work_dir)
    return cfg


def kept(animals):
    return set((animals / 'cache').rglob('*.pt'))


def test_methods_train_on_what_the_backbone_kept(animals, tmp_path):
    scores = {'ood.scores': ['energy', 'mahalanobis'], 'max_epochs': 4}
    cfg = config(f'posthoc/{NAME}', animals, tmp_path / 'plain', **scores)
    runner = Runner.from_cfg(cfg)
    runner.train()
    weights = torch.load(animals / 'weights.pth', weights_only=True)
    found = runner.model.backbone.state_dict()
    for key, value in weights.items():
        assert torch.equal(found[key], value), key
    metrics = runner.test()
    for origin in ('coco', 'raccoon'):
        for score in scores['ood.scores']:
            assert 0 <= metrics[f'ood/{origin}/{score}/AUROC'] <= 1
    before = kept(animals)
    sets = (runner.train_dataloader, runner.test_dataloader)
    assert len(before) >= sum(len(one.dataset) for one in sets)
    # Another method finds the same pictures; those it blurs are not kept.
    name = f'vos/vos-blur-aug_{NAME}'
    more = {'ood.outliers.queue_size': 2}
    cfg = config(name, animals, tmp_path / 'vos', **more)
    Runner.from_cfg(cfg).train()
    assert kept(animals) == before


def hold_out(path):
    """The first two images have horses only, the others no horse."""
    content = json.loads(path.read_text())
    numbers = {c['name']: c['id'] for c in content['categories']}
    horses = {image['id'] for image in content['images'][:2]}
    for annotation in content['annotations']:
        has_horses = annotation['image_id'] in horses
        annotation['category_id'] = numbers['horse' if has_horses else 'cat']
    path.write_text(json.dumps(content))


def test_dfdd_learns_without_the_classes_that_are_held_out(animals, tmp_path):
    painted = tmp_path / 'painted'
    painted.mkdir()
    for name in ('train', 'test'):
        hold_out(animals / f'voc/annotations/{name}.json')
    content = json.loads((animals / 'voc/annotations/test.json').read_text())
    for image in content['images']:
        image['file_name'] = f'{animals}/voc/images/{image["file_name"]}'
    (painted / 'annotations.json').write_text(json.dumps(content))
    cfg = config(
        f'dfdd/dfdd_{NAME}',
        animals,
        tmp_path / 'dfdd',
        **{
            'classes': ['person', 'cat', 'dog'],
            'held_out': ['horse', 'cow', 'sheep', 'chair', 'sofa'],
            'test_sets': '$held_out_sets',
            'painted_root': f'{painted}/',
            'ood.outliers.after_pooling.type': 'blur',
            'ood.outliers.detach': True,
            'ood.outliers.start_share': 0.5,
        },
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.model.roi_head.num_classes == 3
    count = len(json.loads((animals / 'voc/annotations/train.json')
                           .read_text())['images'])  # fmt: skip
    assert len(runner.train_dataloader.dataset) == count - 2
    assert runner.model.roi_head.outliers.activity.count > 0
    metrics = runner.test()
    for origin in ('held_out_train', 'held_out_val', 'painted'):
        assert 0 <= metrics[f'ood/{origin}/energy/AUROC'] <= 1


@pytest.mark.parametrize(
    ('name', 'count'), [('train', 1697), ('test', 700), ('raccoon', 50)]
)
def test_the_lists_name_each_picture_once(name, count):
    lines = (LISTS / f'{name}.txt').read_text().split()
    assert len(set(lines)) == len(lines) == count


def test_no_picture_is_both_trained_and_tested_on():
    train, test = (
        set((LISTS / f'{name}.txt').read_text().split())
        for name in ('train', 'test')
    )
    assert not train & test
