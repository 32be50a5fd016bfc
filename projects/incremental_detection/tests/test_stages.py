"""Stages of a plan and their configs, by value."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from stages import Plan, Stage, check_data, plan_of, stage_config, step_sets

STEPS = [['a', 'b'], ['c']]


def config_of(path: Path, number: int = 0, options=None, seed=0) -> Config:
    cfg = Config.fromfile(path)
    plan = plan_of(cfg, options)
    return stage_config(cfg, plan, plan.stages[number], seed)


def test_stages_of_three_steps():
    plan = Plan([['a'], ['b'], ['c', 'd']], exemplars=5)
    assert plan.stages == [
        Stage('step_0', 'base', 0),
        Stage('step_1', 'increment', 1, 'step_0', 'step_0'),
        Stage('step_1_finetune', 'finetune', 1, 'step_1', 'step_0'),
        Stage('step_2', 'increment', 2, 'step_1_finetune', 'step_1_finetune'),
        Stage('step_2_finetune', 'finetune', 2, 'step_2', 'step_1_finetune'),
    ]
    assert [plan.number_seen(step) for step in range(3)] == [1, 2, 4]


def test_stages_without_exemplars_and_without_increments():
    assert Plan(STEPS).stages == [
        Stage('step_0', 'base', 0),
        Stage('step_1', 'increment', 1, 'step_0', 'step_0'),
    ]
    assert Plan([['a']], exemplars=1).stages == [Stage('step_0', 'base', 0)]


def test_all_steps_of_a_given_start_are_one():
    plan = Plan([['a'], ['b'], ['c', 'd']], exemplars=5, start='x.pth')
    assert plan.steps == [['a', 'b'], ['c', 'd']]
    assert [stage.name for stage in plan.stages] == [
        *('step_0', 'step_1', 'step_1_finetune'),
    ]
    assert plan.groups(1) == dict(old=['a', 'b'], new=['c', 'd'])


def test_groups_of_each_step():
    plan = Plan([['a', 'b'], ['c'], ['d']])
    assert plan.groups(0) == dict(old=['a', 'b'], new=[])
    assert plan.groups(1) == dict(old=['a', 'b'], new=['c'])
    assert plan.groups(2) == dict(old=['a', 'b', 'c'], new=['d'])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(steps=[['a'], ['a']]), "'a' is in step 0 and in step 1"),
        (dict(steps=[['a'], []]), r'steps \[1\] are empty'),
        (dict(steps=[]), 'there is no step'),
        (dict(steps=['a', 'b']), 'must be lists of class names'),
        (dict(steps=[['a']], start='x.pth'), 'add the new classes'),
        (dict(steps=STEPS, exemplars=-1), 'exemplars must be .* got -1'),
        (dict(steps=STEPS, exemplars=2.5), 'exemplars must be .* got 2.5'),
        (dict(steps=STEPS, exemplars=True), 'exemplars must be .* got True'),
    ],
)
def test_bad_plans(arguments, message):
    with pytest.raises(ValueError, match=message):
        Plan(**arguments)


def test_errors_of_a_section_name_the_file(small):
    path = small(**{"['c']": "['a']"})
    with pytest.raises(ValueError, match='small.py: incremental.steps over'):
        plan_of(Config.fromfile(path))


def sets_of(cfg: Config, part: str) -> dict:
    """What the only set of a part of the config shows."""
    found = list(step_sets(cfg[part]))
    assert len(found) == 1
    keys = ('steps', 'step', 'seen', 'exemplars', 'seed')
    assert found[0]['metainfo'] == dict(classes=['a', 'b', 'c'])
    return {key: found[0][key] for key in keys}


@pytest.mark.parametrize(
    ('number', 'step', 'train'),
    [
        (0, 0, dict(seen=False, exemplars=None)),
        (1, 1, dict(seen=False, exemplars=None)),
        (2, 1, dict(seen=True, exemplars=2)),
    ],
)
def test_what_the_sets_of_a_stage_show(small, number, step, train):
    cfg = config_of(small(), number, seed=7)
    common = dict(steps=STEPS, step=step, seed=7)
    seen = dict(common, seen=True, exemplars=None)
    assert sets_of(cfg, 'train_dataloader') == dict(common, **train)
    assert sets_of(cfg, 'val_dataloader') == seen
    assert sets_of(cfg, 'test_dataloader') == seen
    # A hook with a loader gets the store, from the set that is trained on.
    assert sets_of(cfg, 'custom_hooks') == dict(seen, exemplars=2)
    loader = cfg.custom_hooks[1].dataloader
    assert loader.batch_size == 3 and loader.dataset.ann_file == 'ann.json'


def test_sets_inside_of_others_and_of_hooks(small):
    path = small(
        **{
            'train_dataloader = dict(dataset=some_set)': (
                "train_dataloader = dict(dataset=dict(type='RepeatDataset', "
                'times=2, dataset=some_set))'
            ),
            'dataloader=dict(batch_size=3)': (
                "dataloader=dict(dataset=dict(some_set, ann_file='b.json'))"
            ),
        }
    )
    cfg = config_of(path, 1)
    assert sets_of(cfg, 'train_dataloader')['step'] == 1
    assert cfg.train_dataloader.dataset.times == 2
    assert sets_of(cfg, 'custom_hooks')['seen']
    assert cfg.custom_hooks[1].dataloader.dataset.ann_file == 'b.json'


def test_a_file_of_stored_images_is_taken_whole(small):
    finetune = (
        "'train_dataloader.dataset': dict(ann_file='t$', exemplars=None)"
    )
    path = small(
        **{
            "finetune={'param": 'finetune={'
            + finetune.replace('$', '${task}')
            + ", 'param"
        }
    )
    cfg = config_of(path, 2)
    assert sets_of(cfg, 'train_dataloader')['exemplars'] is None
    assert sets_of(cfg, 'train_dataloader')['seen']
    assert cfg.train_dataloader.dataset.ann_file == 't2'
    assert sets_of(config_of(path, 1), 'custom_hooks')['exemplars'] == 2


def test_the_model_knows_the_classes_of_its_stage(small):
    head = {}
    for number in range(3):
        model = config_of(small(), number).model
        bbox_head = model.roi_head.bbox_head
        assert bbox_head.num_classes == 3
        head[number] = bbox_head.cls_predictor_cfg.num_seen, model.num_old
    assert head == {0: (2, 0), 1: (3, 2), 2: (3, 2)}


def test_overrides_of_each_kind_of_stage(small):
    base, increment, finetune = (config_of(small(), n) for n in range(3))
    assert base.train_cfg.max_epochs == 6
    assert increment.train_cfg.max_epochs == 4
    assert increment.model.method == 'x' and 'method' not in base.model
    assert finetune.train_cfg.max_epochs == 1
    assert finetune.param_scheduler == [] and len(base.param_scheduler) == 1
    lrs = [c.optim_wrapper.optimizer.lr for c in (base, increment, finetune)]
    assert lrs == [1.0, 1.0, 0.1]


def test_a_method_changes_increments_and_the_split_goes_before_it(small):
    method = (
        "increment = dict(model=dict(method='y', weight=2))\nmodel = dict("
    )
    path = small(**{'model = dict(\n': method})
    base, increment, finetune = (config_of(path, n) for n in range(3))
    assert (increment.model.method, increment.model.weight) == ('x', 2)
    for other in (base, finetune):
        assert 'weight' not in other.model
    assert 'increment' not in increment


def test_references_are_looked_up_for_each_stage(small):
    path = small(
        **{
            'train_cfg = dict(max_epochs=1)': (
                "length = 1\ntrain_cfg = dict(max_epochs='$length')"
            ),
            "base={'train_cfg.max_epochs': 6}": 'base=dict(length=6)',
        }
    )
    lengths = [config_of(path, n).train_cfg.max_epochs for n in range(3)]
    assert lengths == [6, 4, 1]


def test_the_rest_of_a_stage_config(small):
    cfg = config_of(small(), 1, seed=5)
    assert cfg.randomness == dict(seed=5)
    assert cfg.stage == dict(name='step_1', kind='increment')
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        groups = dict(old=['a', 'b'], new=['c'])
        assert evaluator == dict(type='M', groups=groups)
    assert 'incremental' not in cfg


def test_an_open_world_keeps_what_is_unknown_in_the_tests(small):
    section = "exemplars=2,\n    open_world=dict(closed_style='area'),"
    cfg = config_of(small(**{'exemplars=2,': section}), 1)
    for name in ('val', 'test'):
        (dataset,) = step_sets(cfg[f'{name}_dataloader'])
        assert dataset.unknown == 'label' and dataset.seen
        groups = dict(old=['a', 'b'], new=['c'])
        assert cfg[f'{name}_evaluator'] == dict(
            type='mmood.OpenSetDetMetric', closed_style='area', groups=groups
        )
    (dataset,) = step_sets(cfg.train_dataloader)
    assert 'unknown' not in dataset


def test_a_stage_leaves_the_config_as_it_is(small):
    cfg = Config.fromfile(small())
    before = cfg.to_dict()
    plan = plan_of(cfg)
    for stage in plan.stages:
        stage_config(cfg, plan, stage, 0)
    assert cfg.to_dict() == before


def test_options_go_before_overrides(small):
    options = {'train_cfg.max_epochs': 9, 'model.method': 'z'}
    cfg = config_of(small(), 1, options=options)
    assert (cfg.train_cfg.max_epochs, cfg.model.method) == (9, 'z')


def test_a_class_that_the_file_does_not_have(small):
    path = small(**{"['c']": "['c', 'ghost']"})
    with pytest.raises(ValueError, match=r"ann.json has no .*\['ghost'\]"):
        check_data(config_of(path))
    check_data(config_of(small()))
