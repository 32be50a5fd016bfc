"""What is run, in which order and with what; the tools are stubs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import run
from experiments.spec import Row, Table
from mmengine.config import Config
from trainings import plan_trainings, prepare


def main(*arguments):
    """Of a spec, or of configs in front, which become the rows of one."""
    configs = [a for a in arguments if getattr(a, 'suffix', '') == '.py']
    if configs:
        rows = [dict(name=path.stem, config=str(path)) for path in configs]
        content = dict(out='work_dirs/incremental', rows=rows)
        Path('spec.yaml').write_text(json.dumps(content))
        arguments = ['spec.yaml', *arguments[len(configs) :]]
    run.main([str(argument) for argument in arguments])


def failure(capsys, *arguments):
    """The message of a call that ends with an error."""
    with pytest.raises(SystemExit) as stop:
        main(*arguments)
    assert stop.value.code
    return capsys.readouterr().err + str(stop.value.code)


STAGES = ['step_0', 'step_1', 'step_1_finetune']
ALL = [f'{t} small seed_0 {s}' for s in STAGES for t in ('train', 'test')]


def test_all_stages_then_the_table(tools, small, capsys):
    main(small(), '--seeds', 0, 2)
    assert tools.steps == ALL + [s.replace('seed_0', 'seed_2') for s in ALL]
    # Base 61 and 63, then 51: 10 and 12 forgotten, deviation sqrt(2).
    assert capsys.readouterr().out == (
        '| method   | AP50 old ↑   | AP50 new ↑   | AP50 all ↑   '
        '| AP75 old ↑   | AP75 new ↑   | AP75 all ↑   | forgetting ↓   |\n'
        '|----------|--------------|--------------|--------------'
        '|--------------|--------------|--------------|----------------|\n'
        '| small    | 51.0 ± 0.0   | 30.0 ± 0.0   | 44.0 ± 0.0   '
        '| 31.0 ± 0.0   | 10.0 ± 0.0   | 24.0 ± 0.0   | 11.0 ± 1.4     |\n'
        '\n'
        'in %, mean ± sample deviation over 2 seeds\n'
    )


def test_each_stage_is_trained_from_the_one_before(tools, small):
    main(small(), '--seeds', 4)
    start = None
    for tool_name, _, _, stage, arguments in tools.calls:
        folder = f'work_dirs/incremental/small/seed_4/{stage}'
        if tool_name == 'train':
            assert arguments == [f'{folder}.py', '--resume']
            cfg = Config.fromfile(arguments[0])
            assert cfg.load_from == start
            assert cfg.work_dir == folder
            assert cfg.randomness == dict(seed=4)
            start = f'{folder}/epoch_1.pth'
        else:
            out = ['--out-dir', folder]
            assert arguments == [f'{folder}.py', start, *out]


def test_finished_stages_are_only_read(tools, small, capsys):
    config = small()
    main(config, '--seeds', 0)
    first = capsys.readouterr().out
    shutil.rmtree(tools.folder)
    (config.parent / 'ann.json').unlink()  # nothing looks at the data
    main(config, '--seeds', 0)
    assert capsys.readouterr().out == first


def test_interrupted_stages_go_on(tools, small, capsys):
    config = small()
    broken = tools.break_tool('train', 'step_1')
    message = failure(capsys, config, '--seeds', 0)
    assert 'what went wrong' in message
    assert 'failed: small, seed 0, step_1; small, seed 0, step_1_f' in message
    broken.unlink()
    main(config, '--seeds', 0)
    # Nothing of step_0 is repeated, nothing of what was left out is done.
    assert tools.steps == [*ALL[:3], *ALL[2:]]


def test_a_failed_test_is_repeated_alone(tools, small, capsys):
    broken = tools.break_tool('test', 'step_1')
    assert 'small, seed 0' in failure(capsys, small(), '--seeds', 0)
    broken.unlink()
    main(small(), '--seeds', 0)
    assert tools.steps == [*ALL[:4], *ALL[3:]]


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_a_moved_folder_goes_on(tools, small, tmp_path, capsys, tool):
    """No path in what is run leads back to where it was."""
    distils = {"method='x'": 'distillation=dict(roi={})'}
    config = small(**distils)
    broken = tools.break_tool(tool, 'step_1')
    failure(capsys, config, '--seeds', 0, '--out', tmp_path / 'there')
    broken.unlink()
    done = len(tools.calls)
    (tmp_path / 'there').rename(tmp_path / 'moved')
    main(config, '--seeds', 0, '--out', tmp_path / 'moved')
    assert tools.steps[done:] == ALL[2 + (tool == 'test') :]
    run = tmp_path / 'moved/small/seed_0'
    for *_, arguments in tools.calls[done:]:
        assert not any('there' in text for text in arguments)
        assert str(tmp_path / 'there') not in Path(arguments[0]).read_text()
    cfg = Config.fromfile(run / 'step_1.py')
    assert (
        cfg.load_from == cfg.model.teacher == str(run / 'step_0/epoch_1.pth')
    )


def test_equal_bases_side_by_side_are_one_training(tools, small):
    other = small('other', **{"method='x'": "method='y'"})
    main(small(), other, '--seeds', 0, 1, '--jobs', 4)
    bases = sorted(s for s in tools.steps if s.endswith('step_0'))
    assert bases == sorted(
        f'{tool} small seed_{seed} step_0'
        for tool in ('train', 'test')
        for seed in (0, 1)
    )


def test_methods_with_one_base_train_it_once(tools, small, capsys):
    other = small('other', **{"method='x'": "method='y'"})
    third = small('third', **{"{'train_cfg.max_epochs': 6}": '{}'})
    main(small(), other, third, '--seeds', 0, '--every-stage')
    mine = [s.replace('small', 'other') for s in ALL]
    own = [s.replace('small', 'third') for s in ALL]
    assert tools.steps == [*ALL, *mine[2:], *own]
    folder = other.parent / 'work_dirs/incremental/other/seed_0/step_0'
    assert Config.fromfile(folder.with_suffix('.py')).work_dir.endswith(
        'other/seed_0/step_0'
    )
    lines = capsys.readouterr().out.splitlines()[2:11]
    assert [line.split('|')[2].strip() for line in lines] == 3 * STAGES
    assert lines[3][9:] == lines[0][9:]


def test_rows_of_one_folder_are_one_run(tools, small, tmp_path, capsys):
    rows = [dict(name=name, config=str(small())) for name in ('A', 'B')]
    spec = tmp_path / 'spec.yaml'
    spec.write_text(json.dumps(dict(out='o', seeds=[0], rows=rows)))
    main(spec, '--jobs', 2)
    assert tools.steps == ALL
    lines = capsys.readouterr().out.splitlines()[2:4]
    assert lines[0].startswith('| A        | 51.0')
    assert lines[1] == lines[0].replace('A', 'B')


def test_other_options_than_before_are_refused(tools, small, capsys):
    config = small()
    main(config, '--seeds', 0)
    options = ('--cfg-options', 'optim_wrapper.optimizer.lr=0.5')
    message = failure(capsys, config, '--seeds', 0, *options)
    assert 'small/seed_0/step_0 was made with other options' in message
    assert 'lr is 1.0 there, 0.5 here' in message
    message = failure(capsys, config, '--seeds', 0, '--launch', 2)
    assert 'stage.processes is 1 there, 2 here' in message
    # Of the section too, and only from the stage on that it changes.
    options = ('--cfg-options', 'incremental.increment.train_cfg.max_epochs=5')
    message = failure(capsys, config, '--seeds', 0, *options)
    assert 'seed_0/step_1 was made' in message
    assert 'train_cfg.max_epochs is 4 there, 5 here' in message
    assert tools.steps == ALL


def test_options_go_before_those_of_the_stages(tools, small):
    options = (
        'train_cfg.max_epochs=9',
        'incremental.finetune.optim_wrapper.optimizer.lr=7',
    )
    main(small(), '--seeds', 0, '--cfg-options', *options)
    for _, _, _, stage, arguments in tools.calls:
        cfg = Config.fromfile(arguments[0])
        assert cfg.train_cfg.max_epochs == 9
        if stage == 'step_1_finetune':
            assert cfg.optim_wrapper.optimizer.lr == 7


def test_one_stage_at_a_time(tools, small, capsys):
    config = small()
    for stage in STAGES:
        main(config, '--seeds', 0, '--stages', stage)
    assert tools.steps == ALL
    message = failure(capsys, config, '--stages', 'step_2')
    assert "no stages ['step_2']" in message and str(STAGES) in message


def test_a_stage_without_its_predecessors_checkpoint(tools, small, capsys):
    config = small()
    message = failure(capsys, config, '--seeds', 0, '--stages', 'step_1')
    folder = 'work_dirs/incremental/small/seed_0/step_0'
    assert f'there is no checkpoint in {folder}: train that' in message
    assert not tools.calls
    # Trained, but the checkpoint was removed; noticed before hours of work.
    main(config, '--seeds', 0, '--stages', 'step_0')
    (config.parent / folder / 'epoch_1.pth').unlink()
    message = failure(capsys, config, '--seeds', 0)
    assert f'there is no checkpoint in {folder}' in message
    assert tools.steps == ALL[:2]


def test_a_trained_stage_that_lost_its_checkpoint(tools, small, capsys):
    config = small()
    broken = tools.break_tool('test', 'step_0')
    failure(capsys, config, '--seeds', 0)
    broken.unlink()
    folder = config.parent / 'work_dirs/incremental/small/seed_0/step_0'
    (folder / 'epoch_1.pth').unlink()
    message = failure(capsys, config, '--seeds', 0)
    assert 'there is no checkpoint in work_dirs' in message
    message = failure(capsys, config, '--seeds', 0, '--stages', 'step_0')
    assert 'if it was removed, delete the folder to train it' in message
    assert tools.steps == ALL[:2]


def test_rows_of_a_spec(tools, small, tmp_path, capsys):
    config = str(small())
    rows = [
        dict(name='Method', config=config),
        dict(
            name='Longer',
            config=config,
            tag='long',
            cfg_options=dict(train_cfg=dict(max_epochs=9)),
        ),
    ]
    spec = tmp_path / 'spec.yaml'
    spec.write_text(json.dumps(dict(out='o', seeds=[3], rows=rows)))
    main(spec, '--format', 'csv')
    folders = ['small'] * 6 + ['small_long'] * 6
    assert [call[1] for call in tools.calls] == folders
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('method,stage,seeds,AP50 old_mean,AP50 old_std')
    assert lines[1].startswith('Method,step_1_finetune,1,51,nan,30,nan,44,')
    assert lines[2].startswith('Longer,')
    assert (tmp_path / 'o/small_long/seed_3/step_0/metrics.json').is_file()

    rows[0]['score'] = 'energy'
    spec.write_text(json.dumps(dict(out='o', seeds=[3], rows=rows)))
    assert "unknown keys ['score']" in failure(capsys, spec)


def test_ap50_of_each_class(tools, small, capsys):
    main(small(), '--seeds', 0, '--per-class', '--every-stage')
    lines = capsys.readouterr().out.splitlines()
    cells = [[c.strip() for c in line.split('|')[1:-1]] for line in lines[:5]]
    assert cells[0] == ['method', 'stage', 'a ↑', 'b ↑', 'c ↑', 'AP50 all ↑']
    assert cells[2] == ['small', 'step_0', '60.0', '62.0', '-', '61.0']
    assert cells[4][2:] == ['50.0', '52.0', '30.0', '44.0']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({"['c']": "['c', 'd', 'ghost']"}, "no category ['ghost']"),
        ({"['c']": "['b', 'c']"}, "steps overlap: 'b'"),
        ({"['c']": '[]'}, 'steps [1] are empty'),
        ({"[['a', 'b'], ['c']]": '[]'}, 'there is no step'),
        ({'exemplars=2': 'exemplars=-1'}, 'exemplars must be'),
        ({'exemplars': 'exemplar'}, "unknown keys ['exemplar']"),
        ({'incremental =': 'gradual ='}, 'needs incremental = dict('),
        ({'mmood.ClassStep': 'mmood.ID'}, 'has no ClassStepCocoDataset'),
    ],
)
def test_bad_splits_are_errors_before_anything_runs(
    tools, small, capsys, change, message
):
    assert message in failure(capsys, small(**change))
    assert not tools.calls


def test_arguments_that_make_no_sense(tools, small, capsys):
    config = small()
    for arguments in (
        ('--jobs', 0),
        ('--jobs', 2, '--gpus', 0),
        ('--launch', 0),
        ('--seeds', 1, 1),
        ('--cfg-options', 'randomness.seed=3'),
    ):
        failure(capsys, config, *arguments)
    assert 'missing.yaml" does not exist' in failure(capsys, 'missing.yaml')
    assert not tools.calls


def test_a_missing_annotation_file(tools, small, tmp_path, capsys):
    config = small()
    (tmp_path / 'ann.json').unlink()
    assert 'there is no file' in failure(capsys, config)
    assert not tools.calls


def test_several_processes_go_through_torchrun(tools, small):
    """Of one process the commands are those of the stubs' calls above."""
    table = Table(Path('o'), [0], [Row('small', small())])
    one = plan_trainings(table, [prepare(table.rows[0])], 3)[0]
    ((_, command),) = one.train()
    assert command[:4] == [
        sys.executable, '-m', 'torch.distributed.run', '--standalone'
    ]  # fmt: skip
    assert command[4] == '--nproc_per_node=3'
    assert command[5:] == [
        str(tools.folder / 'train.py'),
        'o/small/seed_0/step_0.py',
        '--resume',
        '--launcher',
        'pytorch',
    ]
