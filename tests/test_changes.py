"""What is changed after a config was baked, and what follows from that."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from helpers import ROOT
from mmood.changes import GONE, apply, difference, leads_into, merge_options
from mmood.config import ConfigError
from mmood.recipe import load, resolve

CONFIGS = ROOT / 'configs'
VOS = CONFIGS / 'vos/vos-blur-aug_faster-rcnn_r50_fpn_18k_voc.py'
DFDD = CONFIGS / 'dfdd/dfdd_faster-rcnn_r50_fpn_18k_voc.py'
DREAM = CONFIGS / 'dream_box/dream-box_faster-rcnn_r50_fpn_18e_voc.py'
DOOD = CONFIGS / 'dood/dood_segmenter_vit-b_70k_whdld.py'
BAKE = 'from mmood.recipe import bake\nbake(globals())\n'


@pytest.mark.parametrize(
    ('old', 'new', 'expected'),
    [
        (dict(a=1, b=(1, 2)), dict(b=(1, 2), a=1), []),
        (dict(a=dict(b=1)), dict(a=dict(b=2)), [(('a', 'b'), 2)]),
        (dict(a=1, b=2), dict(a=1), [(('b',), GONE)]),
        (dict(a=1), dict(a=1, b=None), [(('b',), None)]),
        (dict(a=1), dict(a=True), [(('a',), True)]),
        (dict(a=(1, 2)), dict(a=(3, 2)), [(('a',), (3, 2))]),
        (dict(a=['x', 'y']), dict(a=['x', 'z']), [(('a',), ['x', 'z'])]),
        (
            dict(a=[dict(type='A', b=1), dict(c=1)]),
            dict(a=[dict(type='A', b=2), dict(c=1)]),
            [(('a', 0, 'b'), 2)],
        ),
        # Other things in a list, or fewer: another list.
        (
            dict(a=[dict(type='A', b=1)]),
            dict(a=[dict(type='B', b=1)]),
            [(('a',), [dict(type='B', b=1)])],
        ),
        (dict(a=[{}, {}]), dict(a=[{}]), [(('a',), [{}])]),
        (dict(a=1), dict(a=dict(b=1)), [(('a',), dict(b=1))]),
        # Another type with keys of its own: another dict.
        (
            dict(a=dict(type='A', b=1)),
            dict(a=dict(type='B', c=1)),
            [(('a',), dict(type='B', c=1, _delete_=True))],
        ),
        (
            dict(a=dict(type='A', b=1)),
            dict(a=dict(type='B', b=1)),
            [(('a', 'type'), 'B')],
        ),
    ],
)
def test_a_difference_makes_the_one_of_the_other(old, new, expected):
    found = list(difference(old, new))
    assert found == expected
    cfg = Config(old)
    apply(cfg, found)
    assert cfg.to_dict() == new


def test_options_reach_into_lists_and_make_dicts():
    cfg = Config(dict(a=['x', 'y'], b=[dict(c=1)], d=dict(e=1)))
    options = {'a.1': 'z', 'b.0.c': 2, 'd': dict(f=1), 'g.h': 3, 'b.0.i': None}
    merge_options(cfg, options)
    assert cfg.to_dict() == dict(
        a=['x', 'z'], b=[dict(c=2, i=None)], d=dict(e=1, f=1), g=dict(h=3)
    )
    merge_options(cfg, {'d': dict(_delete_=True, k=1)})
    assert cfg.d.to_dict() == dict(k=1)


@pytest.mark.parametrize('key', ['a.2', 'a.x', 'b.0', 'c.0.x', 't.0'])
def test_an_option_for_no_place_is_refused(key):
    cfg = Config(dict(a=['x', 'y'], b='text', t=(1, 2)))
    message = rf'^{key} is to be changed, and the config has no such place'
    with pytest.raises(ConfigError, match=message):
        merge_options(cfg, {key: 1})


def test_what_a_path_leads_into():
    plain = dict(a=dict(type='A', b=dict(c=1)), e=[{}])
    made = dict(a=dict(type='B', b=dict(c=1), d=1), e=[{}, {}], f=dict(g=[{}]))
    for path in [('a', 'd'), ('a', 'b', 'c'), ('e',), ('f',), ('h', 'i')]:
        assert not leads_into(path, made, plain), path
    for path in [('e', 1, 'x'), ('f', 'g'), ('f', 'g', '0', 'x')]:
        assert leads_into(path, made, plain), path
    wrapped = dict(a=dict(type='Wrapper', dataset=plain['a']))
    assert leads_into(('a', 'vectors'), wrapped, plain)
    assert not leads_into(('a', 'b'), wrapped, plain)
    listed = dict(a=[plain['a'], {}])
    assert leads_into(('a', 1, 'c'), listed, plain)
    assert not leads_into(('a', 'new'), listed, plain)


OPTIONS = [
    (VOS, {'classes': ('a', 'b'), 'data_root': 'x/', 'max_iters': 90}),
    (VOS, {'image_scale': (5, 3), 'test_pipeline.1.keep_ratio': False}),
    (VOS, {'test_sets.1.data_root': 'w/', 'max_fit_images': 7}),
    (VOS, {'fit_dataloader.num_workers': 0, 'val_dataloader.batch_size': 4}),
    (VOS, {'custom_hooks.1.max_images': 3}),
    (VOS, {'param_scheduler.1.milestones': ['1/2', 7]}),
    (VOS, {'model.roi_head.scores': ['msp'], 'log_processor.window_size': 5}),
    (DFDD, {'model.neck.1.loss_weight': 0.5}),
    (DFDD, {'ood.neck': None, 'ood.losses': None, 'ood.outliers': None}),
    (DREAM, {'ood.painted.data_root': 'q/', 'ood.painted_share': 0.25}),
    (DREAM, {'train_dataloader.dataset.datasets.1.indices': 5}),
    (DOOD, {'step_size': 64, 'crop_size': (64, 64), 'data_root': 'r/'}),
    (DOOD, {'train_dataloader.dataset.vectors': 3}),
]
CHILDREN = [
    (VOS, "classes = tuple('abcdefghijklmnopqrst')  # as many\n"),
    (VOS, "custom_hooks = [dict(type='EMAHook')]\n"),
    (VOS, "custom_hooks = [dict(type=kind) for kind in 'ABCD']\n"),
    (VOS, "test_sets = ['$id_test_set']\ntrain_pipeline = '$test_pipeline'\n"),
    (VOS, 'ood = None\n'),
    (VOS, "val_evaluator = dict(_delete_=True, type='CocoMetric')\n"),
    (DFDD, "ood = dict(_delete_=True, scores=['msp'])\n"),
    (
        DREAM,
        'train_dataloader = dict(dataset=dict(_delete_=True, type='
        "'CocoDataset', data_root='$data_root', pipeline='$test_pipeline'))\n",
    ),
    (
        DOOD,
        'train_dataloader = dict(dataset=dict(_delete_=True, type='
        "'mmood.IDSegDataset', pipeline='$train_pipeline'))\n",
    ),
]


@pytest.mark.parametrize(('path', 'options'), OPTIONS)
def test_options_of_stock_tools_do_what_those_of_ours_do(path, options):
    stock = Config.fromfile(path)
    stock.merge_from_dict(options)
    found = resolve(stock)
    assert found.to_dict() == load(path, options).to_dict()
    assert resolve(found).to_dict() == found.to_dict()


@pytest.mark.parametrize(('path', 'text'), CHILDREN)
def test_a_child_is_the_same_for_stock_tools_and_for_ours(
    path, text, tmp_path
):
    child = tmp_path / 'a child.py'
    child.write_text(f"_base_ = '{path}'\n{text}")
    ours = load(child).to_dict()
    assert resolve(Config.fromfile(child)).to_dict() == ours
    child.write_text(f"_base_ = '{path}'\n{text}{BAKE}")
    stock = Config.fromfile(child)
    assert load(child).to_dict() == ours
    found = resolve(stock).to_dict()
    for key in {*found, *stock} - {'recipe', 'ood', 'resolved'}:
        assert found.get(key) == stock.get(key) == ours.get(key), key


def test_variables_of_all_generations_count(tmp_path):
    def write(name: str, base: Path | str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(f"_base_ = '{base}'\n{text}")
        return path

    child = write('a.py', VOS, f"classes = ('a', 'b')\n{BAKE}")
    second = write('b.py', child, 'image_scale = (50, 30)\nmax_iters = 900\n')
    third = write('c.py', second, f"data_root = 'z/'\n{BAKE}")
    for cfg in (load(third), Config.fromfile(third)):
        head, fit = cfg.model.roi_head, cfg.fit_dataloader.dataset
        assert head.bbox_head.num_classes == 2
        assert fit.metainfo.classes == ('a', 'b')
        assert fit.pipeline[1].scale == (50, 30)
        assert fit.data_root == cfg.val_dataloader.dataset.data_root == 'z/'
        assert cfg.param_scheduler[1].milestones == [600, 800]
        assert cfg.train_dataloader.dataset.pipeline[-2].type.endswith('Blur')


@pytest.mark.parametrize(
    ('path', 'key'),
    [
        (DFDD, 'model.neck.num_outs'),
        (DREAM, 'train_dataloader.dataset.ann_file'),
        (DOOD, 'train_dataloader.dataset.data_root'),
    ],
)
def test_options_of_ours_may_go_by_the_recipe(path, key):
    """A part that a method wraps is still reached as a base has it."""
    cfg = load(path, {key: 3})
    *place, last = key.split('.')
    outer = cfg[place[0]][place[1]]
    if isinstance(outer, dict):
        outer = outer.get('datasets') or [outer.dataset]
    assert outer[0][last] == 3


def test_what_is_set_in_a_part_that_follows_wins():
    """It is filled up; a set or a sampler of another type is whole."""
    cfg = load(VOS, {'fit_dataloader.num_workers': 0, 'max_fit_images': 5})
    fit = cfg.fit_dataloader
    assert (fit.num_workers, fit.batch_size, fit.sampler.seed) == (0, 1, 0)
    assert fit.dataset.ann_file == cfg.train_dataloader.dataset.ann_file
    own = dict(type='mmood.FewImages', size=3)
    cfg = load(VOS, {'fit_dataloader.sampler': dict(own, _delete_=True)})
    assert cfg.fit_dataloader.sampler.to_dict() == own
    own = dict(batch_size=3, dataset=dict(type='Own'))
    cfg = load(VOS, {'fit_dataloader': own})
    assert cfg.fit_dataloader.to_dict() == own
    cfg = load(VOS, {'custom_hooks.1.max_images': 3, 'ood.scores.0': 'knn'})
    assert cfg.custom_hooks[1].to_dict() == dict(
        type='mmood.FitScoresHook', max_images=3
    )
    assert cfg.model.roi_head.scores == ['knn', 'msp']


def test_a_variable_of_a_written_config_is_refused(tmp_path):
    """It would change nothing; what has its value may be changed."""
    load(VOS).dump(tmp_path / 'written.py')
    options = {'train_cfg.max_iters': 9, 'model.roi_head.scores.0': 'knn'}
    found = load(tmp_path / 'written.py', options)
    assert found.train_cfg.max_iters == 9
    assert found.model.roi_head.scores == ['knn', 'msp']
    for key in ('max_iters', 'classes', 'test_pipeline.1.scale'):
        with pytest.raises(ConfigError, match=rf'{key.split(".")[0]} is a va'):
            load(tmp_path / 'written.py', {key: 3})


def test_a_number_of_classes_that_a_tool_set_stays():
    """Stock tools do not know of the variable ``classes``."""
    path = CONFIGS / 'posthoc/faster-rcnn_r18_fpn_shapes.py'
    cfg = Config.fromfile(path)
    cfg.model.roi_head.bbox_head.num_classes = 3
    assert resolve(cfg).model.roi_head.bbox_head.num_classes == 3
