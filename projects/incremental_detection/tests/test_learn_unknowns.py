"""From images to a detector with two more classes, at tiny scale."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import experiments.shell
import learn_unknowns
import merge_labels
import pytest
import torch
from experiments.stage import checkpoint_of
from mmdet.registry import MODELS
from mmengine.config import Config

from helpers import ROOT, load_weights
from mmood.ops import read_coco
from projects.incremental_detection import incremental_detection  # noqa: F401
from stage_helpers import TINY, run_in_this_process

CLASSES = ['circle', 'bar', 'triangle', 'star']
ROWS = 'roi_head.bbox_head.fc_cls.weight'
PARTS = ('shapes', 'faster_ilod')


@pytest.fixture(scope='module')
def setting(shapes, tmp_path_factory) -> SimpleNamespace:
    """A config of one step and a detector, untrained, that finds boxes."""
    folder = tmp_path_factory.mktemp('loop')
    base = ROOT / 'projects/incremental_detection/configs/_base_'
    options = {k: v for k, v in TINY.items() if 'incremental.base' not in k}
    options['incremental.increment.max_epochs'] = 1
    section = dict(steps=[CLASSES])
    config = folder / 'four.py'
    config.write_text(
        f'_base_ = {[f"{base}/{part}.py" for part in PARTS]!r}\n'
        f'data_root = {str(shapes)!r} + "/"\nincremental = {section!r}\n'
    )
    args = SimpleNamespace(config=config, cfg_options=options)
    cfg = learn_unknowns.detector_config(args)
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for parameter in model.roi_head.bbox_head.parameters():
        parameter.data.normal_(std=0.2)
    checkpoint = folder / 'four.pth'
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), checkpoint)
    return SimpleNamespace(
        config=config, checkpoint=checkpoint, shapes=shapes, options=options
    )


@pytest.fixture
def learn(setting, monkeypatch):
    """Function: the command, its trainings in this process."""

    def call(out: Path, *more, config=None, checkpoint=None) -> list[str]:
        sets = setting.shapes / 'annotations'
        options = [f'{k}={v}' for k, v in setting.options.items()]
        arguments = [
            config or setting.config,
            checkpoint or setting.checkpoint,
            setting.shapes / 'near/images',
            *('--out', out, '--top', 3000, '--score-thr', 0.01),
            *('--groups', 3, '--cfg-options', *options),
            *('--test', sets / 'test.json', sets / 'near.json'),
            *more,
        ]
        with run_in_this_process() as execute:

            def run_stages(stages, *_) -> list:
                for stage in stages:
                    steps = [] if stage.finished else stage.steps()
                    for step, command in steps:
                        execute(f'{stage.stage.name}, {step}', command)
                return []

            monkeypatch.setattr(experiments.shell, 'run_stages', run_stages)
            learn_unknowns.main([str(one) for one in arguments])
            return execute.steps

    return call


NAMES = ('--names', '0=gear', '1=comb', '2=background')
STEPS = [
    *('step_0, testing', 'step_1, training', 'step_1, testing'),
    *('step_1_finetune, training', 'step_1_finetune, testing'),
]


@pytest.fixture(scope='module')
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('learned') / 'out'


def test_without_names_it_ends_and_says_what_to_type(learn, out, capsys):
    assert learn(out) == []
    said = capsys.readouterr().out
    assert f'look at {out}/index.html' in said and '--names 0=NAME' in said
    assert (out / 'index.html').is_file()
    assert not (out / 'next.json').exists()


def test_killed_before_the_merge_it_mines_no_more(learn, out, monkeypatch):
    before = (out / 'unknown.json').stat().st_mtime_ns

    def killed(argv):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(merge_labels, 'main', killed)
        with pytest.raises(KeyboardInterrupt):
            learn(out, *NAMES)
    assert (out / 'unknown.json').stat().st_mtime_ns == before


def test_two_more_classes(learn, out, setting, capsys):
    before = (out / 'unknown.json').stat().st_mtime_ns
    assert learn(out, *NAMES) == STEPS
    assert (out / 'unknown.json').stat().st_mtime_ns == before
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split('|') for line in lines if '+ comb, gear' in line]
    assert [row[2].strip() for row in rows] == [
        *('step_0', 'step_1', 'step_1_finetune'),
    ]
    run = out / 'next/seed_0'
    first = load_weights(setting.checkpoint)[ROWS]
    last = load_weights(checkpoint_of(run / 'step_1_finetune'))[ROWS]
    assert len(first) == 5 and len(last) == 7
    # Small steps from what was known; background is the last row.
    rows = [0, 1, 2, 3, 6]
    change = (last[rows] - first).abs().amax(1)
    assert (change > 0).all() and (change < 0.1).all()
    metrics = json.loads((run / 'step_0/metrics.json').read_text())
    assert 'AP50/circle' in metrics and 'AP50/gear' not in metrics
    metrics = json.loads((run / 'step_1/metrics.json').read_text())
    assert {'AP50/circle', 'AP50/gear', 'new/AP50'} <= set(metrics)
    test = Config.fromfile(run / 'step_1.py').test_dataloader.dataset
    content = read_coco(Path(test.data_root, test.ann_file))
    files = [image['file_name'] for image in content['images']]
    assert {name.split('/')[0] for name in files} == {'test', 'near'}


def test_called_again_it_only_reads(learn, out):
    assert learn(out, *NAMES) == []


def test_other_names_than_those_that_were_learned(learn, out, capsys):
    with pytest.raises(SystemExit):
        learn(out, '--names', '0=gear', '1=gear', '2=comb')
    assert 'stage.files' in capsys.readouterr().err


def test_the_next_round_mines_with_all_classes(learn, out, setting):
    """The merged set is the base then, the new classes are known."""
    args = SimpleNamespace(config=out / 'next.py', cfg_options=setting.options)
    cfg = learn_unknowns.detector_config(args)
    assert cfg.classes == [*CLASSES, 'comb', 'gear']
    assert cfg.model.roi_head.bbox_head.cls_predictor_cfg.num_seen == 6
    again = out.with_name('again')
    checkpoint = checkpoint_of(out / 'next/seed_0/step_1_finetune')
    where = dict(config=args.config, checkpoint=checkpoint)
    assert learn(again, **where) == []
    info = read_coco(again / 'unknown.json')['info']
    assert info['classes'] == cfg.classes


def test_a_detector_of_fewer_classes_is_not_asked_for_all(out, setting):
    """Its rows of the new classes are untrained; to train them is fine."""
    options = setting.options
    args = SimpleNamespace(config=out / 'next.py', cfg_options=options)
    cfg = learn_unknowns.detector_config(args)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    assert not any(model.load_state_dict(load_weights(setting.checkpoint)))
    with pytest.raises(ValueError, match='shape .5, 32.*set num_classes'):
        model.roi_head.predict_bbox((), [], [], None)


def test_no_unknown_box_at_all(learn, tmp_path):
    more = ('--score-thr', 1.0)
    assert learn(tmp_path, *more) == []
    assert read_coco(tmp_path / 'unknown.json')['annotations'] == []
    with pytest.raises(SystemExit, match='no box has the name of a new'):
        learn(tmp_path, *more, *NAMES)


def test_a_step_without_new_classes(learn, out):
    with pytest.raises(SystemExit, match='no box has the name of a new'):
        learn(out, '--names', '0=background')


@pytest.mark.parametrize(
    ('more', 'words'),
    [
        (('--annotator', 2), 'and --truth'),
        (('--annotator', 0, '--truth', 'x'), 'from 1 up'),
        (('--annotator', 2, '--truth', 'x', *NAMES), 'instead of --names'),
        (('--correct',), 'is for --annotator'),
        (('--unheard-of',), 'unrecognized arguments: --unheard-of'),
    ],
)
def test_arguments_that_do_not_fit(learn, tmp_path, more, words, capsys):
    with pytest.raises(SystemExit):
        learn(tmp_path / 'out', *more)
    assert words in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_a_checkpoint_that_is_not_there(learn, out):
    with pytest.raises(SystemExit, match='there is no checkpoint'):
        learn(out.with_name('none'), checkpoint=out / 'none.pth')
