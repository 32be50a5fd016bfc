"""What a later stage has wrong is said before the first is trained."""

from __future__ import annotations

import building
import pytest
import run
from jobs import Job
from mmengine.config import Config
from stages import plan_of

from helpers import ROOT

CONFIGS = ROOT / 'projects/incremental_detection/configs'
NAME = 'faster-ilod_faster-rcnn_r18_fpn_shapes-4-2.py'


def test_no_stage_is_trained_if_the_last_cannot_be_built(
    tools, small, monkeypatch, capsys
):
    built = []

    def build(cfg):
        built.append(cfg.stage.name)
        if cfg.stage.kind == 'finetune':
            raise TypeError('unexpected keyword argument lrr')

    monkeypatch.setattr(building, 'build_parts', build)
    with pytest.raises(SystemExit):
        run.main([str(small()), '--seeds', '0', '1'])
    message = 'small.py, step_1_finetune cannot be built: unexpected keyword'
    assert message in capsys.readouterr().err
    assert built == ['step_0', 'step_1', 'step_1_finetune']  # of one seed
    assert tools.calls == []


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Of a method with a teacher; there are no data."""
    monkeypatch.setattr(building, 'check_data', lambda cfg: None)
    monkeypatch.chdir(ROOT)

    def make(**options):
        cfg = Config.fromfile(CONFIGS / NAME, import_custom_modules=False)
        plan = plan_of(cfg)
        row = run.Row('x', CONFIGS / NAME)
        return Job(row, cfg, plan, plan.stages, 0, tmp_path, 1, options)

    return make


def test_a_teacher_to_come_is_none_to_miss(job):
    building.check_stages(job())


@pytest.mark.parametrize(
    ('key', 'value', 'cause'),
    [
        ('model.neck.type', 'FPM', 'FPM is not in the'),
        ('model.roi_head.bbox_head.classes', 3, "argument 'classes'"),
        ('optim_wrapper.optimizer.lrr', 3, "argument 'lrr'"),
        ('val_evaluator.grups', 3, "argument 'grups'"),
        ('train_dataloader.dataset.pipeline', [dict(type='Lod')], 'Lod is no'),
    ],
)
def test_what_cannot_be_built_is_named(job, key, value, cause):
    message = f'{NAME}, step_0 cannot be built: .*{cause}'
    with pytest.raises(ValueError, match=message):
        building.check_stages(job(**{key: value}))
