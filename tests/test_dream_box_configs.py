"""Dream-Box's configs: the data they mix, the schedule, the painters."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from helpers import ROOT, write_coco
from mmood.det.datasets import MixedSampler, OODFlagCocoDataset, PackOODInputs
from mmood.det.models import OODRPNHead
from mmood.det.models.ood_rpn_head import ROLES
from mmood.generation.plan import plan_image
from mmood.generation.settings import Settings
from mmood.outliers import AnnotatedOutliers
from mmood.recipe import load
from mmood.registry import DATASETS, PAINTERS

FOLDER = ROOT / 'configs/dream_box'
TRAINING = sorted(FOLDER.glob('*_faster-rcnn_*.py'))
GENERATION = sorted((FOLDER / 'generation').glob('*.py'))
FAR = FOLDER / 'generation/voc_animals_far.py'  # for tests, not to train on
SHAPES = FOLDER / 'dream-box_faster-rcnn_r18_fpn_shapes.py'
LITE = FOLDER / 'dream-box_faster-rcnn_lite0_fpn_shapes.py'
VOC = FOLDER / 'dream-box_faster-rcnn_r50_fpn_18e_voc.py'
ANIMALS = 'faster-rcnn_mobilenet-v2_fpn_voc-animals.py'
# Where the plain images come from: the same detector without OOD losses.
PLAIN = {
    SHAPES: 'faster-rcnn_r18_fpn_shapes.py',
    LITE: 'faster-rcnn_lite0_fpn_shapes.py',
    VOC: 'faster-rcnn_r50_fpn_18k_voc.py',
}
# The same of heads without RoIs.
DENSE = {
    FOLDER / f'dream-box_{name}_shapes.py': f'{name}_shapes.py'
    for name in ('retinanet_r18_fpn', 'dino_r18')
}


def by_name(paths: list) -> pytest.MarkDecorator:
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


def test_there_are_configs_of_both_kinds():
    assert set(TRAINING) == set(PLAIN)
    assert set(FOLDER.glob('*.py')) == {*PLAIN, *DENSE}
    names = {path.stem for path in GENERATION}
    assert {'shapes', 'voc_generic', 'voc_embeddings'} <= names


@by_name(TRAINING)
@pytest.mark.parametrize('role', ROLES)
def test_the_detector_is_built_for_each_role(path, role):
    options = {
        'model.train_cfg.rpn.assigner.ignore_iof_thr': 0.5,
        'model.backbone.init_cfg': None,
    }
    cfg = load(path, options)
    assert cfg.model.rpn_head.ood == 'object'
    cfg = load(path, {'ood.rpn_head.ood': role, **options})
    model = MODELS.build(cfg.model)
    assert type(model.rpn_head) is OODRPNHead and model.rpn_head.ood == role
    head = model.roi_head
    assert isinstance(head.outliers, AnnotatedOutliers)
    assert head.outliers.start_share is head.outliers.start_iter is None
    loss = head.losses.EnergyOODLoss
    assert (loss.kind, loss.loss_weight) == ('focal', 10)
    assert head.scores.names == ('dreambox', 'energy', 'msp')


@by_name(TRAINING)
def test_it_differs_from_its_plain_twin_by_itself_and_the_schedule(path):
    cfg = load(path).to_dict()
    plain = load(ROOT / 'configs/posthoc' / PLAIN[path]).to_dict()
    for key in ('scores', 'outliers', 'losses'):
        for one in (cfg, plain):
            one['model']['roi_head'].pop(key, None)
    assert cfg['model'].pop('rpn_head') == dict(
        plain['model'].pop('rpn_head'), type='mmood.OODRPNHead', ood='object'
    )

    # The first of the sets is the plain one, packed with flags.
    train, plain_train = (c['train_dataloader'] for c in (cfg, plain))
    mixed, images = train.pop('dataset'), plain_train.pop('dataset')
    known, painted = mixed['datasets']
    for pipeline in (known['pipeline'], painted['pipeline']):
        assert pipeline[-1]['type'] == 'mmood.PackOODInputs'
        assert pipeline[:-1] == images['pipeline'][:-1]
    assert images['pipeline'][-1] == dict(type='mmdet.PackDetInputs')
    assert dict(known, pipeline=images['pipeline']) == images
    assert painted['metainfo'] == known['metainfo']
    for loader in (train, plain_train):
        del loader['sampler']
    same = ['model', 'optim_wrapper', 'train_dataloader', 'custom_hooks']
    same += [f'{part}_dataloader' for part in ('val', 'test', 'fit')]
    if path in (SHAPES, LITE):
        same += ['train_cfg', 'default_hooks']
    for key in same:
        assert cfg[key] == plain[key]


@by_name(list(DENSE))
def test_heads_without_rois_differ_from_their_plain_twin_alike(path):
    cfg, plain = (
        load(one).to_dict()
        for one in (path, ROOT / 'configs/posthoc' / DENSE[path])
    )
    heads = [one['model'].pop('bbox_head') for one in (cfg, plain)]
    assert heads[0].pop('outliers') == dict(type='mmood.AnnotatedOutliers')
    (loss,) = heads[0].pop('losses')
    assert loss == dict(
        type='mmood.EnergyOODLoss',
        kind='focal',
        loss_weight=10.0,
        background=False,
    )
    assert heads[0].pop('scores') == ['dreambox', 'energy', 'msp']
    del heads[1]['scores']
    assert heads[0] == heads[1]
    train, plain_train = (c.pop('train_dataloader') for c in (cfg, plain))
    for part in train['dataset']['datasets']:
        packer = dict(type='mmood.PackOODInputs', apart=True)
        assert part['pipeline'][-1] == packer
        steps = plain_train['dataset']['pipeline']
        assert part['pipeline'][:-1] == steps[:-1]
    assert train['sampler']['painted_share'] == 0.25
    for key in ('model', 'optim_wrapper', 'train_cfg', 'custom_hooks'):
        assert cfg[key] == plain[key]
    for part in ('val', 'test', 'fit'):
        assert cfg[f'{part}_dataloader'] == plain[f'{part}_dataloader']


@by_name(list(DENSE))
def test_heads_without_rois_learn_from_painted_images(on_tiny_data, path):
    queries = {'model.num_queries': 20} if 'dino' in path.stem else {}
    cfg = on_tiny_data(path, queries)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    count = 0
    for batch in loader:
        ignored = [s.ignored_instances.ood for s in batch['data_samples']]
        count += int(torch.cat(ignored).sum())
        for sample in batch['data_samples']:
            assert not sample.gt_instances.ood.any()
        data = model.data_preprocessor(batch, True)
        total, losses = model.parse_losses(model(**data, mode='loss'))
        assert torch.isfinite(torch.stack(list(losses.values()))).all()
    assert count == 3 and model.bbox_head.outliers.activity.count >= count
    total.backward()
    assert model.bbox_head.losses.EnergyOODLoss.linear.weight.grad.abs() > 0


def flagged(path: Path, number: int) -> None:
    """Flag every second annotation; pictures are below ``images``."""
    content = json.loads((path / 'ann.json').read_text())
    for i, annotation in enumerate(content['annotations']):
        annotation['ood'] = (i + 1) % 2
    (path / 'images').mkdir()
    for image in content['images']:
        name = f'images/{image["file_name"]}'
        (path / image['file_name']).rename(path / name)
        image['file_name'] = name
    assert len(content['images']) == number
    (path / 'annotations.json').write_text(json.dumps(content))


@pytest.fixture
def on_tiny_data(tmp_path):
    """Function: a config on 9 plain and 4 painted images of 48 pixels."""

    def read(path: Path, options: dict | None = None) -> Config:
        cfg = load(path, options)
        boxes = [[4, 4, 20, 20], [26, 8, 18, 30]]
        plain, painted = cfg.train_dataloader.dataset.datasets
        for part, number in ((plain, 9), (painted, 4)):
            part.data_root = str(tmp_path / str(number))
            classes = plain.metainfo.classes
            write_coco(Path(part.data_root), [boxes] * number, classes)
            for transform in part.pipeline:
                if transform.type == 'RandomChoiceResize':
                    transform.scales = [(96, 64)]
        plain.ann_file = 'ann.json'
        flagged(Path(painted.data_root), 4)
        loader = cfg.train_dataloader
        loader.num_workers, loader.persistent_workers = 0, False
        return cfg

    return read


@pytest.mark.parametrize(
    ('path', 'painted'), [(SHAPES, 3), (VOC, 4)], ids=['shapes', 'voc']
)
def test_plain_and_painted_images_are_mixed_and_learned(
    on_tiny_data, path, painted
):
    cfg = on_tiny_data(path)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    mixed = loader.dataset
    assert isinstance(mixed.datasets[1], OODFlagCocoDataset)
    classes = cfg.fit_dataloader.dataset.metainfo.classes
    assert mixed.metainfo['classes'] == classes
    for part in mixed.datasets:
        assert isinstance(part.pipeline.transforms[-1], PackOODInputs)
    sampler = loader.batch_sampler.sampler
    assert isinstance(sampler, MixedSampler)
    assert (sampler.plain, sampler.painted) == (9, painted)

    batches = list(loader)
    samples = [s for batch in batches for s in batch['data_samples']]
    flags = [s.gt_instances.ood.tolist() for s in samples]
    assert sorted(map(sum, flags)) == [0] * 9 + [1] * painted
    for sample in samples:
        gt = sample.gt_instances
        assert gt.labels.tolist() == [-1 if flag else 0 for flag in gt.ood]

    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).train()
    data = model.data_preprocessor(batches[0], True)
    total, losses = model.parse_losses(model(**data, mode='loss'))
    assert {'loss_rpn_cls', 'loss_cls', 'loss_uncertainty'} <= set(losses)
    assert torch.isfinite(torch.stack(list(losses.values()))).all()
    total.backward()
    assert model.roi_head.losses.EnergyOODLoss.linear.weight.grad.abs() > 0


def test_fewer_painted_images_by_one_argument(on_tiny_data):
    cfg = on_tiny_data(VOC, {'ood.painted.indices': 2})
    mixed = DATASETS.build(cfg.train_dataloader.dataset)
    assert [len(part) for part in mixed.datasets] == [9, 2]


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, index, **kwargs):
        return dict(loss=self.weight.sum())


class Numbers(BaseDataset):
    def load_data_list(self):
        return [dict(index=i) for i in range(60)]


class LearningRates(Hook):
    priority = 'LOWEST'

    def __init__(self):
        self.rates = []

    def before_train_iter(self, runner, *args, **kwargs):
        group = runner.optim_wrapper.param_groups[0]
        self.rates.append((runner.epoch, group['lr']))


def test_the_learning_rate_of_voc_falls_after_epochs_12_and_16(tmp_path):
    """By mmengine's own loop, with 60 iterations in an epoch."""
    cfg, record = load(VOC), LearningRates()
    assert cfg.train_cfg.max_epochs == int(VOC.stem.split('_')[-2][:-1]) == 18
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=16)
    Runner(
        Toy(),
        str(tmp_path),
        train_dataloader=dict(
            dataset=Numbers(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=1,
            num_workers=0,
        ),
        train_cfg=cfg.train_cfg,
        optim_wrapper=cfg.optim_wrapper,
        param_scheduler=cfg.param_scheduler,
        default_hooks=dict(checkpoint=None, logger=None),
        custom_hooks=[record],
        experiment_name=str(tmp_path),
        log_level='ERROR',
    ).train()
    assert len(record.rates) == 18 * 60
    warmup, rest = record.rates[:500], record.rates[500:]
    assert warmup[0][1] == pytest.approx(0.02 * 0.01)
    steps = [b[1] - a[1] for a, b in zip(warmup, warmup[1:])]
    assert min(steps) == pytest.approx(0.02 * 0.99 / 499, rel=1e-3)
    assert max(steps) == pytest.approx(min(steps), rel=1e-3)
    for epoch, rate in rest:
        factor = 1 if epoch < 12 else 0.1 if epoch < 16 else 0.01
        assert rate == pytest.approx(0.02 * factor), epoch


@by_name(GENERATION)
def test_generation_settings_are_valid(path):
    config = Config.fromfile(path).to_dict()
    settings = Settings.from_config(config)
    painter = dict(settings.painter)
    kind = PAINTERS.get(painter.pop('type'))
    inspect.signature(kind).bind(**painter)
    if 'prompts' in painter:
        PAINTERS.build(painter['prompts'])
    else:
        assert kind(**painter).name == 'procedural'
    names = [PAINTERS.build(one).name for one in settings.filters]
    # What is not painted stays a known object, so none is given up in FAR.
    assert names == ([] if path == FAR else ['too_close'])


@by_name([path for path in GENERATION if path != FAR])
def test_generation_paints_the_images_that_are_trained_on(path):
    """The painted set is made of the plain one, of the same name."""
    settings = Settings.from_config(Config.fromfile(path).to_dict())
    training = SHAPES if path.stem.startswith('shapes') else VOC
    plain, painted = load(training).train_dataloader.dataset.datasets
    assert settings.data['ann_file'] == plain.data_root + plain.ann_file
    images = plain.data_root + plain.data_prefix.img
    assert settings.data['img_root'] == images
    assert painted.ann_file == 'annotations.json'
    assert painted.data_prefix.img == ''


def test_no_known_object_stays_in_a_far_image():
    settings = Settings.from_config(Config.fromfile(FAR).to_dict())
    boxes = [[0, 0, 300, 200], [10, 10, 4, 4], [250, 100, 60, 90]]
    objects = [dict(id=i, bbox=box) for i, box in enumerate(boxes)]
    image = dict(width=400, height=300)
    targets, left = plan_image(image, objects, **settings.limits())
    assert [target.annotation['id'] for target in targets] == [0, 2, 1]
    assert left == {} and not any(target.keep for target in targets)
    assert settings.painter['swaps'] == ['shape']  # wipes the object out
    own = load(ROOT / 'configs/posthoc' / ANIMALS)
    assert own.held_out_sets[-1].ann_file == 'annotations.json'
    assert own.held_out_sets[-1].data_prefix == dict(img='')
    known = own.test_dataloader.dataset.datasets[0]
    assert settings.data['ann_file'] == known.data_root + known.ann_file
    images = known.data_root + known.data_prefix.img
    assert settings.data['img_root'] == images


def test_published_settings_of_the_painters():
    generic, shifted = (
        Settings.from_config(
            Config.fromfile(FOLDER / f'generation/voc_{name}.py').to_dict()
        )
        for name in ('generic', 'embeddings')
    )
    assert (generic.painter['guidance'], shifted.painter['guidance']) == (
        20,
        12,
    )
    assert generic.min_area == shifted.min_area == 2000
    assert generic.painter['prompts']['type'] == 'mmood.GenericPrompts'
    prompts = shifted.painter['prompts']
    assert prompts['type'] == 'mmood.ClassEmbeddings'
    assert 0.001 <= prompts['std'] <= 5
