"""What tools/test.py makes of a config, in any form of its keys."""

import pytest

import mmood.launch
from mmood.det.visualizer import OODDetLocalVisualizer

METRIC = dict(type='mmood.OODDetMetric', ann_file='a.json')


NEW_STYLE = """
from mmdet.models import FasterRCNN
from mmengine.config import read_base
from mmood.det.evaluation import OODDetMetric
from mmood.det.visualizer import OODDetLocalVisualizer

default_scope = None
model = dict(type=FasterRCNN)
test_evaluator = [dict(type=OODDetMetric, ann_file='a.json')]
visualizer = dict(type=OODDetLocalVisualizer)
"""


@pytest.fixture
def built(config_of):
    """Function: the config that a test would be built from."""

    def run(cfg, *options):
        if isinstance(cfg, dict):
            cfg = dict(dict(default_scope='mmdet'), **cfg)
        return config_of('test', cfg, 'weights.pth', *options)

    return run


def test_a_training_is_never_resumed(built):
    """A resumed training leaves resume=True in the config it dumps."""
    found = built(dict(resume=True, load_from='first.pth'))
    assert (found.resume, found.load_from) == (False, 'weights.pth')


@pytest.mark.parametrize(
    'form', [METRIC, [METRIC], dict(metrics=[METRIC]), dict(metrics=METRIC)]
)
def test_results_are_written(built, form):
    found = built(dict(test_evaluator=form), '--out-dir', 'out')
    (metric,) = mmood.launch.metric_configs(found.test_evaluator)
    assert metric.out_dir == 'out'


def test_a_second_metric_has_a_folder_of_its_own(built):
    stock = dict(type='mmdet.CocoMetric', ann_file='a.json')
    other = dict(type='mmood.OpenSetDetMetric')
    evaluator = [METRIC, stock, other]
    found = built(dict(test_evaluator=evaluator), '--out-dir', 'out')
    folders = [metric.get('out_dir') for metric in found.test_evaluator]
    assert folders == ['out', None, 'out/1_OpenSetDetMetric']


@pytest.mark.parametrize('form', [None, [], dict(type='mmdet.CocoMetric')])
def test_nothing_would_be_written(built, form, capsys):
    with pytest.raises(SystemExit):
        built(dict(test_evaluator=form), '--out-dir', 'out')
    assert 'test_evaluator has none of them' in capsys.readouterr().err


@pytest.mark.parametrize(
    'cfg',
    [
        {},
        dict(default_hooks=None, visualizer=None, custom_hooks=()),
        dict(
            default_hooks=dict(
                visualization=dict(type='mmdet.DetVisualizationHook')
            ),
            visualizer=dict(type='mmood.OODDetLocalVisualizer'),
        ),
    ],
)
def test_pictures_of_any_config(built, cfg):
    found = built(cfg, '--show-dir', 'pictures')
    assert found.default_hooks.visualization == dict(
        type='mmood.OODVisualizationHook',
        draw=True,
        show=False,
        test_out_dir='pictures',
    )
    assert found.visualizer.type == 'mmood.OODDetLocalVisualizer'
    assert found.visualizer.name == 'visualizer'


def test_own_settings_of_pictures_are_kept(built):
    hook = dict(type='X', score_thr=0.5, wait_time=3, interval=7)
    hooks = dict(visualization=hook, timer=dict(type='IterTimerHook'))
    visualizer = dict(type='mine.Visualizer', line_width=1)
    cfg = dict(
        default_hooks=hooks, visualizer=visualizer, default_scope='mmseg'
    )
    found = built(cfg, '--show')
    assert found.default_hooks.timer.type == 'IterTimerHook'
    own = found.default_hooks.visualization
    assert (own.score_thr, own.wait_time, own.show) == (0.5, 3, True)
    assert own.test_out_dir is None and 'interval' not in own
    assert found.visualizer == dict(visualizer, name='visualizer')
    plain = built(dict(default_scope='mmseg'), '--show')
    assert plain.visualizer.type == 'mmood.OODSegLocalVisualizer'


def test_a_config_of_the_new_style(built):
    """Its types are classes, of which names are left, and it has no scope."""
    found = built(NEW_STYLE, '--show-dir', 'pictures', '--out-dir', 'out')
    assert found.test_evaluator[0].out_dir == 'out'
    assert found.default_hooks.visualization.test_out_dir == 'pictures'
    kind = OODDetLocalVisualizer
    assert found.visualizer.type == f'{kind.__module__}.{kind.__name__}'


def test_boxes_are_written_beside_the_measures(built):
    found = built(dict(test_evaluator=METRIC), '--results', 'boxes')
    own, boxes = mmood.launch.metric_configs(found.test_evaluator)
    assert own.type == METRIC['type'] and 'out_dir' not in own
    assert boxes == dict(type='mmood.OODResultsFile', out_dir='boxes')


def test_boxes_of_a_segmentor(built, capsys):
    with pytest.raises(SystemExit):
        built(dict(default_scope='mmseg'), '--results', 'boxes')
    assert '--results is for detectors' in capsys.readouterr().err
