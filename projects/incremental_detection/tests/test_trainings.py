"""What decides a training, is taken over from another and can be built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import run
import trainings
from experiments.spec import Row, Table
from experiments.stage import compare
from mmengine.config import Config
from mmengine.fileio import dump

from helpers import ROOT

CONFIGS = ROOT / 'projects/incremental_detection/configs'
NAME = 'faster-ilod_faster-rcnn_r18_fpn_shapes-4-2.py'


def trainings_of(table: Table) -> list[trainings.Training]:
    methods = [trainings.prepare(row) for row in table.rows]
    return trainings.plan_trainings(table, methods)


@pytest.fixture
def base(small, tmp_path, monkeypatch):
    """Function: the base training of a small config in ``out/NAME/seed_0``."""
    monkeypatch.chdir(tmp_path)

    def plan(name: str = 'small', **changes) -> trainings.Training:
        table = Table(Path('out'), [0], [Row(name, small(name, **changes))])
        return trainings_of(table)[0]

    return plan


def test_paths_and_notes_may_differ(base, tmp_path):
    plain = base().options
    noted = base('other', **{'val_dataloader =': 'x = 1\nval_dataloader ='})
    assert noted.config().work_dir != base().config().work_dir
    assert noted.options == plain
    later = trainings_of(
        Table(Path('elsewhere'), [0], [Row('small', tmp_path / 'small.py')])
    )[1]
    assert later.config().load_from == 'elsewhere/small/seed_0/step_0'
    assert not {'load_from', 'work_dir', 'model.teacher'} & {*later.options}


def test_differences_are_named(base):
    one = base()
    marker = one.folder / 'trained'
    marker.parent.mkdir(parents=True)
    dump(one.options, marker, file_format='json')
    compare(marker, one.options, 'remedy')
    changes = {
        "type='H'": f"n={list(range(100))}, type='H'",
        'max_epochs=1': 'max_iters=3',
        "base={'train_cfg.max_epochs': 6}": 'base={}',
        'model = dict(\n': "model = dict(\n    type='B',\n",
    }
    with pytest.raises(ValueError, match='was made with other') as error:
        compare(marker, base(**changes).options, 'remedy')
    text = str(error.value).split('(', 1)[1].rsplit('): remedy', 1)[0]
    first, *rest = sorted(text.split('; '))
    assert first.startswith("custom_hooks is [{'type': 'H'}, ")
    assert len(first) < 200
    assert rest == [
        'model.type is unset there, B here',
        'train_cfg.max_epochs is 6 there, unset here',
        'train_cfg.max_iters is unset there, 3 here',
    ]


@pytest.fixture
def finished(base) -> trainings.Training:
    one = base()
    one.folder.mkdir(parents=True)
    (one.folder / 'last_checkpoint').write_text('x/e.pth')
    (one.folder / 'e.pth').write_text('weights')
    (one.folder / 'trained').write_text(json.dumps(one.options))
    (one.folder / 'metrics.json').write_text(json.dumps({'AP50': 1.0}))
    return one


def test_an_equal_finished_stage_is_linked(finished, base, tmp_path):
    new = base('new', **{"method='x'": "method='y'"})
    assert list(new.steps()) == []
    assert new.folder.is_symlink() and new.folder.samefile(finished.folder)
    assert Config.fromfile(new.config_file).work_dir == str(new.folder)
    (tmp_path / 'out').rename(tmp_path / 'moved')
    moved = tmp_path / 'moved/new/seed_0/step_0/e.pth'
    assert moved.read_text() == 'weights'


def test_a_link_to_what_was_deleted_is_made_anew(finished, base):
    new = base('new')
    assert list(new.steps()) == []
    finished.folder.rename(finished.folder.with_name('gone'))
    third = base('third')
    assert next(new.steps())[0] == next(third.steps())[0] == 'training'
    assert not new.folder.is_symlink()


def test_without_links_a_stage_is_trained(finished, base, monkeypatch):
    def symlink_to(*_):
        raise OSError('not here')

    monkeypatch.setattr(Path, 'symlink_to', symlink_to)
    assert next(base('new').steps())[0] == 'training'


def test_starts_and_teachers_are_those_of_the_run(small, tmp_path):
    config = small(**{"method='x'": 'distillation=dict(roi={})'})
    table = Table(tmp_path / 'out', [5], [Row('small', config)])
    first, second, third = trainings_of(table)
    assert first.config().load_from is None
    first.folder.mkdir(parents=True)
    (first.folder / 'last_checkpoint').write_text('x/e.pth')
    (first.folder / 'e.pth').touch()
    assert 'teacher' not in first.config().model
    cfg = second.config()
    assert cfg.work_dir == str(second.folder)
    assert cfg.load_from == cfg.model.teacher == str(first.folder / 'e.pth')
    assert (cfg.stage.name, cfg.stage.processes) == ('step_1', 1)
    # The fine-tuning starts from the increment, and does not distil.
    cfg = third.config()
    assert cfg.load_from == str(second.folder)
    assert 'teacher' not in cfg.model


def test_other_or_unfinished_stages_are_not(finished, base):
    there = finished.folder
    assert not base('b', **{'lr=1.0': 'lr=2.0'}).reuse(there)
    new = base('new')
    (there / 'e.pth').rename(there / 'f.pth')
    assert not new.reuse(there)
    (there / 'f.pth').rename(there / 'e.pth')
    (there / 'metrics.json').unlink()
    assert not new.reuse(there)
    (there / 'metrics.json').touch()
    (there / 'trained').write_text('')
    assert not new.reuse(there)
    assert not new.folder.exists()


def test_no_stage_is_trained_if_the_last_cannot_be_built(
    tools, small, tmp_path, monkeypatch, capsys
):
    rows = [dict(name='A', config=str(small()))]
    (tmp_path / 'spec.yaml').write_text(json.dumps(dict(rows=rows)))
    built = []

    def build(cfg):
        built.append(cfg.stage.name)
        if cfg.stage.kind == 'finetune':
            raise TypeError('unexpected keyword argument lrr')

    monkeypatch.setattr(trainings, 'build_parts', build)
    with pytest.raises(SystemExit):
        run.main(['spec.yaml', '--seeds', '0', '1'])
    message = 'small.py, step_1_finetune cannot be built: unexpected keyword'
    assert message in capsys.readouterr().err
    assert built == ['step_0', 'step_1', 'step_1_finetune']  # of one seed
    assert tools.calls == []


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """Function: those of a method with a teacher; there are no data."""
    monkeypatch.setattr(trainings, 'check_data', lambda cfg: None)
    monkeypatch.chdir(ROOT)

    def plan(**options):
        row = Row('x', CONFIGS / NAME, cfg_options=options)
        method = trainings.prepare(row)
        return [
            trainings.Training(method, stage, 0, tmp_path, 1)
            for stage in method.plan.stages
        ]

    return plan


def test_a_teacher_to_come_is_none_to_miss(stages):
    for stage in stages():
        stage.build()


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
def test_what_cannot_be_built_is_named(stages, key, value, cause):
    message = f'{NAME}, step_0 cannot be built: .*{cause}'
    with pytest.raises(ValueError, match=message):
        stages(**{key: value})[0].build()
