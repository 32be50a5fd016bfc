"""What is run, in which order and with what; the tools are stubs."""

from __future__ import annotations

import json
import re

import pytest
import run_table

from helpers import ROOT, run_script

PATH = ROOT / 'tools/analysis_tools/run_table.py'


def main(*arguments):
    run_table.main([str(argument) for argument in arguments])


def failure(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(*arguments)
    return stop.value.code


def test_shared_training_once_and_seeds_first(tools, write_spec, capsys):
    main(write_spec())
    assert tools.steps == [
        ('train', 'a', 0),
        ('test', 'a', 0),
        ('train', 'b', 0),
        ('test', 'b', 0),
        ('train', 'a', 1),
        ('test', 'a', 1),
        ('train', 'b', 1),
        ('test', 'b', 1),
    ]
    text = capsys.readouterr()
    # The sample deviation of 80 and 90 is 7.07.
    assert text.out == (
        '| method   | FPR95 ↓    | AUROC ↑    | mAP (ID) ↑   |\n'
        '|----------|------------|------------|--------------|\n'
        '| MSP      | 50.0 ± 0.0 | 85.0 ± 7.1 | 40.0 ± 0.0   |\n'
        '| Energy   | 50.0 ± 0.0 | 85.0 ± 7.1 | 40.0 ± 0.0   |\n'
        '| B        | 50.0 ± 0.0 | 85.0 ± 7.1 | 40.0 ± 0.0   |\n'
        '\n'
        'in %, mean ± sample deviation over 2 seeds; OOD: near\n'
    )
    lines = text.err.splitlines()
    clock = r'\d:\d\d:\d\d'
    assert re.fullmatch(
        rf'\[1/4\] a, seed 0: training, {clock} elapsed, '
        'log out/a/seed_0/run.log',
        lines[0],
    )
    assert re.fullmatch(
        rf'\[4/4\] b, seed 1: testing, {clock} elapsed, about {clock} left, '
        'log out/b/seed_1/run.log',
        lines[-1],
    )


def test_a_row_with_fewer_seeds(tools, write_spec, capsys):
    rows = (
        dict(name='A', config='a.py', score='msp'),
        dict(name='B', config='b.py', score='msp', seeds=[0]),
        # Tested once more with the first seed alone.
        dict(name='C', config='a.py', score='msp', test_tag='c', seeds=[0]),
    )
    main(write_spec(*rows, columns=['FPR95']))
    assert tools.steps == [
        ('train', 'a', 0),
        ('test', 'a', 0),
        ('test', 'a', 0),
        ('train', 'b', 0),
        ('test', 'b', 0),
        ('train', 'a', 1),
        ('test', 'a', 1),
    ]
    assert capsys.readouterr().out.splitlines()[:5] == [
        '| method   | FPR95 ↓    | mAP (ID) ↑   | seeds   |',
        '|----------|------------|--------------|---------|',
        '| A        | 50.0 ± 0.0 | 40.0 ± 0.0   | 2/2     |',
        '| B        | 50.0       | 40.0         | 1/1     |',
        '| C        | 50.0       | 40.0         | 1/1     |',
    ]


def test_a_row_without_any_of_the_seeds(tools, write_spec, capsys):
    """Two processes with a seed each do not both run such a row."""
    rows = (
        dict(name='A', config='a.py', score='msp'),
        dict(name='B', config='b.py', score='msp', seeds=[0]),
    )
    main(write_spec(*rows, columns=['FPR95']), '--seeds', 1)
    assert tools.steps == [('train', 'a', 1), ('test', 'a', 1)]
    assert capsys.readouterr().out.splitlines()[2:] == [
        '| A        | 50.0      | 40.0         | 1/1     |',
        '| B        | -         | -            | 0/0     |',
        '',
        'in %, one seed; OOD: near',
        '',
        'B: not run, its seeds leave these out',
    ]
    main(write_spec(*rows), '--seeds', 0)
    assert ('train', 'b', 0) in tools.steps


def test_commands(tools, write_spec):
    row = dict(name='A', config='a.py', cfg_options={'x': (1, [2.5, 'y'])})
    row.update(test_options={'t': None}, tag='tag', test_tag='more')
    main(
        write_spec(
            row, seeds=[7], cfg_options={'x': 3, 'm': {'n': {'o': True}}}
        )
    )
    folder = 'out/a_tag/seed_7'
    train, test = tools.calls
    shared = ['randomness.seed=7', "x=(1, [2.5, 'y'])", 'm.n.o=True']
    assert sorted(tools.options(train)) == sorted(shared)
    assert train['arguments'][:4] == ['a.py', '--resume', '--work-dir', folder]
    assert sorted(tools.options(test)) == sorted([*shared, 't=None'])
    out = ['--out-dir', f'{folder}/ood_more', '--work-dir', folder]
    assert test['arguments'][:6] == ['a.py', f'{folder}/last.pth', *out]


def test_finished_runs_are_only_read(tools, write_spec, capsys):
    main(write_spec())
    first = capsys.readouterr()
    main(write_spec())
    second = capsys.readouterr()
    assert len(tools.calls) == 8
    assert second.out == first.out
    assert second.err.splitlines()[3] == '[4/4] b, seed 1: finished before'


def test_only_what_is_missing_is_done(tools, write_spec):
    main(write_spec())
    (tools.folder / 'calls').unlink()
    out = tools.folder.parent / 'out'
    (out / 'a/seed_1/ood/metrics.json').unlink()
    # Interrupted after a checkpoint.
    (out / 'b/seed_0/ood/metrics.json').unlink()
    (out / 'b/seed_0/trained').rename(out / 'b/seed_0/training')
    main(write_spec())
    assert tools.steps == [
        ('train', 'b', 0),
        ('test', 'b', 0),
        ('test', 'a', 1),
    ]
    assert '--resume' in tools.calls[0]['arguments']
    assert not (out / 'b/seed_0/training').exists()


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_a_failed_run_does_not_stop_the_others(
    tools, write_spec, capsys, tool
):
    broken = tools.break_tool(tool, 'a')
    code = failure(write_spec())
    assert code.startswith('failed: a, seed 0; a, seed 1.')
    text = capsys.readouterr()
    lines = [re.sub(' +', ' ', line) for line in text.out.splitlines()]
    assert '| MSP | - | - | - | 0/2 |' in lines
    assert '| B | 50.0 ± 0.0 | 85.0 ± 7.1 | 40.0 ± 0.0 | 2/2 |' in lines
    tail = text.err.split('[1/4] a, seed 0: failed: status 3, end of ')[1]
    tail = tail.split('[2/4]')[0].splitlines()
    assert tail[0] == 'out/a/seed_0/run.log:'
    expected = [*map(str, range(31, 50)), 'what went wrong']
    assert [line.strip() for line in tail[1:]] == expected
    broken.unlink()
    main(write_spec())
    assert '| MSP      | 50.0 ± 0.0 | 85.0 ± 7.1' in capsys.readouterr().out


def test_a_wrong_score_is_found_with_the_first_test(tools, write_spec, capsys):
    row = dict(name='MSP', config='a.py', score='mps')
    assert failure(write_spec(row, seeds=[0])) == 2
    error = capsys.readouterr().err
    assert 'a, seed 0: failed: out/a/seed_0/ood/metrics.json has no' in error
    assert "'mps', but ['energy', 'msp']" in error
    # The next time before anything is run.
    rows = (row, dict(name='B', config='b.py'))
    assert failure(write_spec(*rows, seeds=[0])) == 2
    assert ('train', 'b', 0) not in tools.steps


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_a_moved_table_goes_on(tools, write_spec, tool):
    """Stopped in the second training or its test; no path leads back."""
    row = dict(name='A', config='a.py', load_from='b.py')
    spec, here = write_spec(row, seeds=[0]), tools.folder.parent
    broken = tools.break_tool(tool, 'a')
    failure(spec, '--out', here / 'there')
    broken.unlink()
    (tools.folder / 'calls').unlink()
    (here / 'there').rename(here / 'moved')
    main(spec, '--out', here / 'moved')
    steps = [('train', 'a', 0), ('test', 'a', 0)]
    assert tools.steps == steps[tool == 'test' :]
    for call in tools.calls:
        assert not any('there' in text for text in call['arguments'])
    if tool == 'train':
        start = f"load_from='{here}/moved/b/seed_0/last.pth'"
        assert start in tools.calls[0]['arguments']
    assert f'{here}/moved/a/seed_0/last.pth' in tools.calls[-1]['arguments']


def test_other_options_are_refused(tools, write_spec, capsys):
    row = dict(name='A', config='a.py')
    main(write_spec(row, seeds=[0], cfg_options={'epochs': 6, 'x': (1, 2)}))
    main(write_spec(row, seeds=[0], cfg_options={'x': [1, 2], 'epochs': 6}))
    capsys.readouterr()
    assert failure(write_spec(row, seeds=[0], cfg_options={'epochs': 7})) == 2
    error = capsys.readouterr().err
    assert 'out/a/seed_0 was made with other options (epochs is 6 there, ' in (
        error
    )
    assert '7 here; x is [1, 2] there, unset here)' in error
    given = dict(seeds=[0], cfg_options={'epochs': 6, 'x': (1, 2)})
    assert failure(write_spec({**row, 'test_options': {'t': 1}}, **given)) == 2
    assert 'out/a/seed_0/ood was made with other options (t is unset' in (
        capsys.readouterr().err
    )
    assert len(tools.calls) == 2
    main(
        write_spec({**row, 'test_options': {'t': 1}, 'test_tag': 't'}, **given)
    )
    assert tools.steps[2:] == [('test', 'a', 0)]


def test_empty_markers_are_accepted(tools, write_spec):
    row = dict(name='A', config='a.py')
    main(write_spec(row, seeds=[0]))
    (tools.folder.parent / 'out/a/seed_0/trained').write_text('')
    (tools.folder.parent / 'out/a/seed_0/ood/options.json').unlink()
    main(write_spec(row, seeds=[0], cfg_options={'epochs': 7}))
    assert len(tools.calls) == 2


@pytest.mark.parametrize('has_checkpoint', [True, False])
def test_only_a_checkpoint_binds_a_broken_training(
    tools, write_spec, capsys, has_checkpoint
):
    row = dict(name='A', config='a.py')
    broken = tools.break_tool('train', 'a')
    failure(write_spec(row, seeds=[0], cfg_options={'x': 'wrong'}))
    broken.unlink()
    if has_checkpoint:
        (tools.folder.parent / 'out/a/seed_0/last_checkpoint').write_text(
            '1.pth'
        )
        assert failure(write_spec(row, seeds=[0])) == 2
    else:
        main(write_spec(row, seeds=[0]))
        text = (tools.folder.parent / 'out/a/seed_0/trained').read_text()
        assert json.loads(text) == {}


def test_a_row_of_its_config_alone(tools, write_spec, capsys):
    """A line for each score, and for each OOD set."""
    main(write_spec(dict(name='A', config='a.py'), seeds=[0]), '--per-set')
    assert tools.steps == [('train', 'a', 0), ('test', 'a', 0)]
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(' +', ' ', line) for line in lines[2:]] == [
        '| A | energy | near | 50.0 | 80.0 | 70.0 | 20.0 | 10.0 | 40.0 |',
        '| A | msp | near | 50.0 | 80.0 | 70.0 | 20.0 | 10.0 | 40.0 |',
        '',
        'in %, one seed',
    ]


def test_command_line_goes_before_the_spec(tools, write_spec):
    more = ('--seeds', 5, '--out', 'other', '--cfg-options', 'x=2')
    main(write_spec(cfg_options={'x': 1, 'y': 1}), *more)
    assert {c['seed'] for c in tools.calls} == {5}
    assert tools.options(tools.calls[0])[1:] == ['x=2', 'y=1']
    assert (tools.folder.parent / 'other/a/seed_5/ood/metrics.json').is_file()


def test_the_script_reads_a_real_config(tmp_path):
    config = ROOT / 'configs/dood/dood_segmenter_vit_1k_shapes.py'
    row = dict(AP=0.5, AUROC=0.75, FPR95=0.25, Fmax=0.6)
    content = {f'far/compound/{key}': value for key, value in row.items()}
    folder = tmp_path / config.stem / 'seed_0/ood_plain'
    folder.mkdir(parents=True)
    (folder / 'metrics.json').write_text(json.dumps(content))
    row = dict(name='DOoD', config=str(config), test_tag='plain')
    (tmp_path / 'spec.yaml').write_text(json.dumps(dict(rows=[row])))
    options = ('--seeds', 0, '--out', tmp_path)
    output = run_script(PATH, tmp_path / 'spec.yaml', *options)
    assert f'[1/1] {config.stem}, seed 0: finished before' in output
    lines = [re.sub(' +', ' ', line) for line in output.splitlines()]
    assert '| DOoD | compound | 50.0 | 75.0 | 25.0 | 60.0 |' in lines
