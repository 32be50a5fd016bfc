"""Every config is parsed, its stages are built, and one trains a step."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from experiments.spec import load_table
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from stages import Plan, plan_of, stage_config, step_sets
from trainings import build_parts

from helpers import ROOT
from mmood.det.models import (
    AttentionDeformableDETR,
    OODRoIHead,
    OpenSetRoIHead,
)
from mmood.det.models.pseudo_unknown import PseudoUnknownTargets

PROJECT = ROOT / 'projects/open_world_detection'
CONFIGS = sorted((PROJECT / 'configs').glob('*.py'))
SPLITS = {
    'voc-10-10': [10, 10],
    'voc-15-5': [15, 5],
    'voc-19-1': [19, 1],
    'm-owodb': [20, 20, 20, 20],
    's-owodb': [19, 21, 20, 20],
    'shapes-4-2-2': [4, 2, 2],
}
# Smaller, not shallower: the whole R50-C4 learns.
SMALL_DETR = {
    'model.num_queries': 20,
    'model.encoder.num_layers': 1,
    'model.decoder.num_layers': 2,
}
SMALL = {
    'model.train_cfg.rpn_proposal.max_per_img': 12,
    'model.train_cfg.rcnn.sampler.num': 8,
}


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


def split_of(path: Path) -> str:
    return path.stem.split('_')[-1]


@cache
def plan_in(path: Path) -> tuple[Config, Plan]:
    cfg = Config.fromfile(path)
    return cfg, plan_of(cfg)


def stages_of(path: Path) -> dict[str, Config]:
    cfg, plan = plan_in(path)
    return {one.name: stage_config(cfg, plan, one, 0) for one in plan.stages}


def configs_of(*methods: str) -> list[Path]:
    return [path for path in CONFIGS if path.stem.split('_')[0] in methods]


def test_methods_come_for_every_split_and_a_baseline_for_what_has_none():
    for method in ('ore', 'owdetr', 'rosetta'):
        assert set(map(split_of, configs_of(method))) == set(SPLITS)
    plain = set(map(split_of, configs_of('finetune')))
    assert plain == {n for n in SPLITS if not n.startswith('voc')}


@by_name(CONFIGS)
def test_stages_have_classes_measures_and_files(path):
    _, plan = plan_in(path)
    sizes = SPLITS[split_of(path)]
    assert [len(step) for step in plan.steps] == sizes
    stages = stages_of(path)
    assert len(stages) == 2 * len(sizes) - 1
    for stage, one in zip(plan.stages, stages.values()):
        roi_head = one.model.get('roi_head') or one.model
        head = roi_head.bbox_head
        has_unknown = path not in configs_of('rosetta', 'finetune')
        assert head.num_classes == sum(sizes) + has_unknown
        predictor = head.cls_predictor_cfg
        assert predictor.num_seen == sum(sizes[: stage.step + 1])
        # Of a focal loss there is no background.
        is_rcnn = path not in configs_of('owdetr')
        rest = predictor.get('num_rest', 1)
        assert rest == has_unknown + is_rcnn
        if is_rcnn:
            assert one.model.num_old == sum(sizes[: stage.step])
        assert one.test_evaluator.type == 'mmood.OpenSetDetMetric'
        style = 'area' if 'owodb' in path.stem else None
        assert one.test_evaluator.get('closed_style') == style
        (test_set,) = step_sets(one.test_dataloader)
        assert test_set.unknown == 'label' and test_set.test_mode
        (train_set,) = step_sets(one.train_dataloader)
        assert 'unknown' not in train_set
        if 'owodb' in path.stem:
            where = f'owod/{split_of(path)}/t{stage.step + 1}'
            kind = 'ft' if stage.kind == 'finetune' else 'train'
            assert train_set.ann_file == f'{where}_{kind}.json'
            assert train_set.exemplars is None
            assert test_set.ann_file == f'{where}_test.json'
        else:
            stored = 10 if stage.kind == 'finetune' else None
            assert train_set.exemplars == stored


@by_name(configs_of('rosetta'))
def test_rosetta_has_its_parts_in_every_stage(path):
    plan = plan_in(path)[1]
    for stage, one in zip(plan.stages, stages_of(path).values()):
        assert one.model.type == 'mmood.GatedFasterRCNN'
        assert one.model.backbone.type == 'mmood.GatedResNet'
        assert one.model.backbone.task == stage.step + 1
        assert one.model.backbone.norm_eval or stage.step == 0
        (hook,) = one.custom_hooks
        assert hook.type == 'mmood.SubModelHook'
        (part,) = one.model.roi_head.losses
        old = plan.number_seen(stage.step - 1)
        assert part == dict(type='mmood.ClassPrototypes', num_old=old, size=20)
        # An increment says nothing of old classes, a fine-tuning does.
        shut = old if stage.kind == 'increment' else 0
        head = one.model.roi_head.bbox_head.cls_predictor_cfg
        assert head.get('num_old', 0) == shut
        keys = one.optim_wrapper.paramwise_cfg.custom_keys
        assert keys.gates.lr_mult == 5


@by_name(
    [
        path
        for path in configs_of('ore', 'rosetta', 'finetune')
        if 'owodb' in str(path)
    ]
)
def test_faster_rcnn_is_trained_as_the_public_configs_say(path):
    for one in stages_of(path).values():
        kind = one.stage.kind
        lr = 0.0001 if kind == 'finetune' else 0.01
        assert one.optim_wrapper.optimizer.lr == lr
        lengths = dict(base=18000, increment=40000, finetune=3000)
        assert one.train_cfg.max_iters == lengths[kind]


@by_name([path for path in configs_of('owdetr') if 'r50' in path.stem])
def test_owdetr_is_trained_as_the_public_configs_say(path):
    """The backbone's learning rate is 2e-5 in all stages."""
    first = 50 if 'm-owodb' in path.stem else 45
    lengths = dict(base=first, increment=5, finetune=50)
    for one in stages_of(path).values():
        kind, optim = one.stage.kind, one.optim_wrapper
        assert one.train_cfg.max_epochs == lengths[kind]
        lr = 2e-5 if kind == 'increment' else 2e-4
        share = optim.paramwise_cfg.custom_keys.backbone.lr_mult
        assert optim.optimizer.lr == lr
        assert lr * share == pytest.approx(2e-5)
        assert one.param_scheduler == [
            dict(type='StepLR', step_size=40, gamma=0.1)
        ]
        start = 9 if kind == 'base' else 0
        pseudo = one.model.bbox_head.pseudo
        assert (pseudo.num_pseudo, pseudo.start_epoch) == (5, start)
        assert one.model.bbox_head.losses[0].loss_weight == 0.1
        assert one.model.num_queries == 100
        weights = one.model.backbone.init_cfg.checkpoint
        assert weights == 'data/dino_resnet50_pretrain.pth'
        assert one.auto_scale_lr.base_batch_size == 16


@by_name(CONFIGS)
def test_parts_are_built(path):
    """Of the stages that differ in more than numbers of classes."""
    stages = [*stages_of(path).values()]
    for one in stages if 'r18' in path.stem else stages[:1]:
        one.model.backbone.init_cfg = None
        build_parts(one)


@by_name(configs_of('ore'))
def test_the_leak_is_off_and_has_its_file(path):
    for one in stages_of(path).values():
        (hook,) = one.custom_hooks
        assert hook.type == 'mmood.LabelledEnergiesHook'
        assert hook.enabled is False
        (dataset,) = step_sets(hook)
        expected = one.train_dataloader.dataset.ann_file
        if 'owodb' in path.stem:
            expected = f'owod/{split_of(path)}/leak.json'
        assert dataset.ann_file == expected
        assert dataset.unknown == 'label' and dataset.seen
        assert dataset.exemplars is None


def batch(classes: int) -> tuple[torch.Tensor, list[DetDataSample]]:
    """Two images of 64 px with two objects each."""
    samples = []
    for _ in range(2):
        shape = dict.fromkeys(
            ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'),
            (64, 64),
        )
        sample = DetDataSample(metainfo=dict(shape, scale_factor=(1.0, 1.0)))
        boxes = torch.tensor([[4.0, 4, 30, 34], [30, 20, 60, 58]])
        labels = torch.randint(classes, (2,))
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        samples.append(sample)
    return torch.randn(2, 3, 64, 64), samples


@by_name(configs_of('owdetr'))
def test_every_stage_of_owdetr_trains_a_step(path):
    """With fewer queries and layers; classes to come stay as they are."""
    sizes = SPLITS[split_of(path)]
    kinds = {one.stage.kind: one for one in stages_of(path).values()}
    for kind, cfg in kinds.items():
        cfg.merge_from_dict(SMALL_DETR)
        cfg.model.backbone.init_cfg = None
        model = MODELS.build(cfg.model).train()
        model.init_weights()
        head = model.bbox_head
        assert type(model) is AttentionDeformableDETR
        start = cfg.model.bbox_head.pseudo.start_epoch
        hub = MessageHub.get_current_instance()
        hub.update_info('epoch', start)
        seen = head.cls_branches[0].num_seen
        assert seen == (sizes[0] if kind == 'base' else sum(sizes))
        total, values = model.parse_losses(model.loss(*batch(seen)))
        total.backward()
        assert torch.isfinite(total)
        assert values['loss_objectness'] > 0
        assert 'd0.loss_cls' in values
        # Of two images, in each of two decoder layers.
        assert head.pseudo.activity.count > 0
        layer = head.cls_branches[0]
        moved = layer.weight.grad.abs().amax(1) > 0
        assert moved[[*range(seen), sum(sizes)]].all()
        assert not moved[seen : sum(sizes)].any()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
        before = layer.weight.clone()
        optimizer.step()
        assert torch.isfinite(layer.weight).all()
        assert not torch.equal(before[:seen], layer.weight[:seen])


@by_name(configs_of('ore', 'rosetta', 'finetune'))
def test_an_increment_trains_a_step(path):
    cfg = stages_of(path)['step_1']
    is_ore = path.stem.startswith('ore')
    is_rosetta = path.stem.startswith('rosetta')
    cfg.merge_from_dict(SMALL)
    if is_ore:
        cfg.merge_from_dict({'model.roi_head.losses.0.start': 0})
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    head, seen = model.roi_head, sum(SPLITS[split_of(path)][:2])
    assert type(head) is (OpenSetRoIHead if is_ore else OODRoIHead)
    losses = model.loss(*batch(seen))
    total, values = model.parse_losses(losses)
    total.backward()
    found = {name for name in values if name.startswith('loss_')}
    expected = {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'}
    if is_ore:
        expected.add('loss_clustering')
    if is_rosetta:
        expected |= {'loss_sparsity', 'loss_diversity'}
    assert found == expected
    assert torch.isfinite(total)
    layer = head.bbox_head.fc_cls
    moved = layer.weight.grad.abs().amax(1) > 0
    total_classes = sum(SPLITS[split_of(path)])
    rest = [*range(total_classes, layer.out_features)]
    old = cfg.num_old if is_rosetta else 0
    assert moved[[*range(old, seen), *rest]].all()
    assert not moved[[*range(old), *range(seen, total_classes)]].any()
    if is_rosetta:
        assert type(model).__name__ == 'GatedFasterRCNN'
        assert not any(
            rows.logical_not().any() for _, rows in model.backbone.kept()
        )  # of a new model the first task has all
    if not is_ore:
        return
    assert isinstance(head.bbox_head, PseudoUnknownTargets)
    clustering, energies = head.losses.values()
    assert values['loss_clustering'] > 0 and clustering.made[-1]
    assert energies.temperature == 1.5
    assert energies.queues.seen[1] == 2  # one of each image
    step = torch.optim.SGD(model.parameters(), cfg.optim_wrapper.optimizer.lr)
    before = layer.weight.clone()
    step.step()
    assert torch.isfinite(layer.weight).all()
    assert not torch.equal(before[:seen], layer.weight[:seen])


def test_tasks_are_the_classes_of_coco():
    """M-OWODB and S-OWODB divide the same 80."""
    m, s = (
        plan_in(PROJECT / f'configs/ore_faster-rcnn_r50-c4_{x}-owodb.py')[1]
        for x in 'ms'
    )
    assert len(set(m.classes)) == 80 and set(m.classes) == set(s.classes)
    # The third task is the same in both: sports and food.
    assert set(m.steps[2]) == set(s.steps[2])
    moved = {'elephant', 'bear', 'zebra', 'giraffe', 'truck'}
    indoor = {'bottle', 'chair', 'couch', 'dining table', 'potted plant', 'tv'}
    assert set(s.steps[0]) == set(m.steps[0]) - indoor | moved


def test_specs_name_all_configs():
    tables = [
        load_table(PROJECT / f'table_{n}.yaml')
        for n in ('shapes', 'voc', 'owod')
    ]
    found = {ROOT / row.config for table in tables for row in table.rows}
    assert found == set(CONFIGS)
    gates = load_table(PROJECT / 'table_gates.yaml')
    assert {ROOT / row.config for row in gates.rows} <= set(CONFIGS)
