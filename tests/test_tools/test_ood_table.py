from __future__ import annotations

import json
import re

import ood_table
import pytest

from helpers import ROOT, run_script

TOOL = ROOT / 'tools/analysis_tools/ood_table.py'


def output(capsys, *arguments):
    ood_table.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def lines_of(capsys, *arguments):
    """The table, a tab between two cells, then the lines below it."""
    lines = output(capsys, *arguments).splitlines()
    cells = [[c.strip() for c in x.strip('|').split('|')] for x in lines]
    return ['\t'.join(row) for row in cells if row[0].strip('-')]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_folders_are_grouped_by_config_and_score(
    results, shares, write_metrics, capsys
):
    write_metrics(
        results / 'vos/seed_0/ood_mse/metrics.json', shares['vos'][0]
    )
    lines = lines_of(capsys, results)
    assert [line.split('\t')[:2] for line in lines[:7]] == [
        ['method', 'score'],
        ['a_b', 'energy'],
        ['a_b', 'msp'],
        ['vos', 'energy'],
        ['vos', 'msp'],
        ['vos (mse)', 'energy'],
        ['vos (mse)', 'msp'],
    ]
    seeds = [line.split('\t')[-1] for line in lines[:7]]
    assert seeds == ['seeds', *['2/2'] * 4, '1/2', '1/2']


def test_any_folder_is_one_method(tmp_path, shares, write_metrics, capsys):
    for i, five in enumerate(shares['vos']):
        write_metrics(tmp_path / f'mine/run{i}/metrics.json', five)
    (line,) = [
        line
        for line in output(capsys, tmp_path / 'mine').splitlines()
        if '| energy' in line
    ]
    assert line.startswith('| mine     | energy  | 55.0 ± 7.1 / 25.0 ± 7.1 |')


def test_one_seed_folder_is_enough(results, capsys):
    lines = lines_of(capsys, results / 'vos/seed_1')
    assert lines[1:4] == [
        'vos\tenergy\t60.0 / 20.0\t70.0 / 95.0\t44.0',
        'vos\tmsp\t70.0 / 95.0\t60.0 / 20.0\t44.0',
        'in %, one seed; OOD: near / far',
    ]


def test_same_names_get_their_folder(
    results, shares, write_metrics, tmp_path, capsys
):
    other = tmp_path / 'other'
    write_metrics(other / 'vos/seed_0/ood/metrics.json', shares['vos'][0])
    text = output(capsys, results, other, '--format', 'csv')
    names = {row.split(',')[0] for row in text.splitlines()[1:]}
    assert names == {'a_b', f'{results}/vos', f'{other}/vos'}


def test_missing_runs_are_dashes(results, results_spec, capsys):
    (results / 'vos/seed_1/ood/metrics.json').unlink()
    for seed in (0, 1):
        (results / f'a_b/seed_{seed}/ood/metrics.json').unlink()
    expected = [
        'VOS\t50.0 / 30.0\t80.0 / 90.0\t40.0\t1/2',
        '100% A_B\t-\t-\t-\t0/2',
    ]
    lines = lines_of(capsys, '--table', results_spec)
    assert lines[1:3] == expected
    text = output(capsys, '--table', results_spec, '--format', 'csv')
    assert '100% A_B,energy,near,0,,,,,,\n' in text
    text = output(capsys, '--table', results_spec, '--format', 'latex')
    assert r'100\% A\_B & -- & -- & -- & 0/2 \\' in re.sub(' +', ' ', text)
    # Also without a spec: the folders of the seeds are there.
    lines = lines_of(capsys, results)
    assert lines[1] == 'a_b\t-\t-\t-\t-\t0/2'


def test_missing_set_of_one_method_is_a_dash(results, results_spec, capsys):
    for seed in (0, 1):
        path = results / f'a_b/seed_{seed}/ood/metrics.json'
        content = json.loads(path.read_text())
        near = {k: v for k, v in content.items() if not k.startswith('far/')}
        write(path, near)
    line = lines_of(capsys, '--table', results_spec)[2]
    assert line == '100% A_B\t75.0 ± 7.1 / -\t55.0 ± 7.1 / -\t38.5 ± 0.7'


def test_runs_of_a_table_may_lie_in_several_folders(
    results, results_spec, tmp_path, capsys
):
    expected = output(capsys, '--table', results_spec)
    for config in ('vos', 'a_b'):
        (tmp_path / 'b' / config).mkdir(parents=True)
        source = results / config / 'seed_1'
        source.rename(tmp_path / 'b' / config / 'seed_1')
    assert (
        output(capsys, results, tmp_path / 'b', '--table', results_spec)
        == expected
    )


def test_the_map_may_be_that_at_50(tmp_path, capsys):
    metrics = {'bbox_mAP': 0.25, 'bbox_mAP_50': 0.5, 'far/msp/AUROC': 0.75}
    write(tmp_path / 'run/metrics.json', metrics)
    columns = ('--columns', 'mAP50', 'AUROC')
    lines = lines_of(capsys, tmp_path, *columns)
    assert lines[:2] == [
        'method\tscore\tAUROC ↑\tmAP50 (ID) ↑',
        f'{tmp_path.name}\tmsp\t75.0\t50.0',
    ]
    text = output(capsys, tmp_path, *columns, '--format', 'csv')
    assert text.splitlines()[0].split(',')[4:] == [
        'mAP50_mean',
        'mAP50_std',
        'AUROC_mean',
        'AUROC_std',
    ]
    assert text.splitlines()[1].split(',')[4] == '50'


def test_a_spec_names_its_columns(results, results_spec, capsys):
    results_spec.write_text(results_spec.read_text() + "columns = ['AUPR']\n")
    lines = lines_of(capsys, '--table', results_spec)
    assert lines[0] == 'method\tAUPR ↑\tmAP (ID) ↑'
    more = ('--columns', 'recall')
    lines = lines_of(capsys, '--table', results_spec, *more)
    assert lines[0] == 'method\trecall ↑\tmAP (ID) ↑'


def test_segmentation_has_its_own_columns(tmp_path, capsys):
    row = dict(AP=0.5, AUROC=0.75, FPR95=0.25, Fmax=0.6)
    content = {f'far/compound/{key}': value for key, value in row.items()}
    write(tmp_path / 'seg/metrics.json', {**content, 'ood_threshold': 3.0})
    assert lines_of(capsys, tmp_path / 'seg') == [
        'method\tscore\tAP ↑\tAUROC ↑\tFPR95 ↓\tFmax ↑',
        'seg\tcompound\t50.0\t75.0\t25.0\t60.0',
        'in %, one seed; OOD: far',
    ]


def test_detection_and_segmentation_share_columns(results, tmp_path, capsys):
    row = dict(AP=0.5, AUROC=0.75, FPR95=0.25, Fmax=0.6)
    content = {f'far/compound/{key}': value for key, value in row.items()}
    write(tmp_path / 'seg/metrics.json', content)
    lines = lines_of(capsys, results, tmp_path / 'seg', '--per-set')
    assert lines[0].split('\t')[3:5] == ['FPR95 ↓', 'AUROC ↑']
    assert 'seg\tcompound\tfar\t25.0\t75.0\t-\t1/1' in lines


def test_out_is_written(results_spec, tmp_path, capsys):
    expected = output(capsys, '--table', results_spec)
    assert (
        output(capsys, '--table', results_spec, '--out', tmp_path / 'a/b.md')
        == ''
    )
    assert (tmp_path / 'a/b.md').read_text() == expected


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        ood_table.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_errors_name_the_file(results, results_spec, tmp_path, capsys):
    assert 'give a WORK_DIR' in refusal(capsys)
    (tmp_path / 'empty').mkdir()
    error = refusal(capsys, tmp_path / 'empty')
    assert f'no metrics.json below {tmp_path / "empty"}' in error
    error = refusal(capsys, tmp_path / 'empty', '--table', results_spec)
    assert 'no run of the table is finished' in error
    error = refusal(capsys, results, results / 'vos')
    assert f'{results / "vos"} lies within' in error
    error = refusal(capsys, results, '--columns', 'AUC')
    assert "no near/energy/AUC, but {'near': ['FPR95', 'AUROC'," in error

    path = results / 'vos/seed_1/ood/metrics.json'
    results_spec.write_text(results_spec.read_text().replace("'msp'", "'mps'"))
    error = refusal(capsys, '--table', results_spec)
    assert "seed_0/ood/metrics.json has no score 'mps'" in error
    assert "but ['energy', 'msp']" in error
    for text, message in (
        ('[]', 'must hold a dict of numbers, got []'),
        (f'{{"bbox_mAP": {10**400}}}', 'must hold a dict of numbers, got 1'),
        ('{"loss": 3}', 'has no measures of a score: '),
        ('{"bbox_mAP": "high"}', "must hold a dict of numbers, got 'high'"),
        ('{"bbox_mAP"', 'is not valid JSON'),
        (f'[{"9" * 5000}]', 'is not valid JSON: Exceeds the limit'),
        ('[' * 99999, 'is nested too deeply to be read: delete it and test'),
    ):
        path.write_text(text)
        assert f'{path} {message}' in refusal(capsys, results)


def test_seeds_of_one_method_must_have_the_same_sets(results, capsys):
    path = results / 'vos/seed_1/ood/metrics.json'
    content = json.loads(path.read_text())
    write(path, {k: v for k, v in content.items() if 'far/energy' not in k})
    error = refusal(capsys, results)
    assert f'{path} has no far/energy/FPR95' in error


def test_it_runs_as_a_script(results):
    text = run_script(TOOL, results)
    assert '| vos      | energy  | 55.0 ± 7.1 / 25.0 ± 7.1 |' in text


def test_open_set_tests_are_printed_as_they_are(tmp_path, capsys):
    """WI, AOSE and APs come in their published units, not as shares."""
    for seed, (wi, aose, closed) in enumerate([(20, 7, 80), (22, 10, 81)]):
        values = dict(WI=wi, AOSE=aose, mAP_K=60.5, AP_U=4.25, P_U=1.0)
        content = {f'near/open_set/{k}': v for k, v in values.items()}
        content['id/open_set/mAP_K'] = content['closed_mAP_K'] = closed
        write(tmp_path / f'run/seed_{seed}/ood/metrics.json', content)
    lines = lines_of(capsys, tmp_path)
    assert lines == [
        'method\tscore\tWI ↓\tAOSE ↓\tmAP_K ↑\tAP_U ↑\tmAP_K (ID) ↑',
        'run\topen_set\t21.0 ± 1.4\t8.5 ± 2.1\t60.5 ± 0.0\t4.2 ± 0.0\t'
        '80.5 ± 0.7',
        'in %, AOSE a count, mean ± sample deviation over 2 seeds; OOD: near',
    ]


def open_set_runs(tmp_path, cost=(0.02, 0.04)):
    """Of a test with further measures: shares, but for the count."""
    for seed, lost in enumerate(cost):
        content = dict(bbox_mAP=0.25, AP_K=0.5)
        for origin, shift in (('near', 0), ('far', 0.25)):
            row = dict(AUROC=0.5 + shift, matched_AUROC=0.625 + shift)
            row.update(AP_U=0.125, nOSE=1.25 + shift, AOSE=7 + seed, WI=0.5)
            for key, value in row.items():
                content[f'{origin}/msp/{key}'] = value
        row = dict(AP_K=0.5 - lost, AP_K_cost=lost)
        content.update({f'id/msp/{k}': v for k, v in row.items()})
        write(tmp_path / f'run/seed_{seed}/ood/metrics.json', content)


def test_open_set_columns_of_a_test_with_scores(tmp_path, capsys):
    """Shares are printed in %, the count is not, nor the ID set per set."""
    open_set_runs(tmp_path)
    columns = ('AP_U', 'nOSE', 'AOSE', 'AP_K', 'AP_K_cost', 'matched_AUROC')
    lines = lines_of(capsys, tmp_path, '--columns', *columns)
    assert lines == [
        'method\tscore\tAP_U ↑\tnOSE ↓\tAOSE ↓\tAP_K ↑\tAP_K_cost ↓\t'
        'matched_AUROC ↑\tmAP (ID) ↑',
        'run\tmsp\t12.5 ± 0.0 / 12.5 ± 0.0\t125.0 ± 0.0 / 150.0 ± 0.0\t'
        '7.5 ± 0.7 / 7.5 ± 0.7\t47.0 ± 1.4\t3.0 ± 1.4\t'
        '62.5 ± 0.0 / 87.5 ± 0.0\t25.0 ± 0.0',
        'in %, AOSE a count, mean ± sample deviation over 2 seeds; '
        'OOD: near / far',
    ]
    options = ('--per-set', '--columns', 'AP_K_cost', 'WI')
    lines = lines_of(capsys, tmp_path, *options)
    assert lines[1:3] == [
        'run\tmsp\tnear\t3.0 ± 1.4\t50.0 ± 0.0\t25.0 ± 0.0',
        'run\tmsp\tfar\t3.0 ± 1.4\t50.0 ± 0.0\t25.0 ± 0.0',
    ]
    options = ('--columns', 'AOSE', 'AP_K_cost', '--format', 'csv')
    lines = output(capsys, tmp_path, *options).splitlines()
    assert lines[2].startswith('run,msp,far,2,25,0,7.5,0.707107,3,')
    lines = lines_of(capsys, tmp_path, '--columns', 'AUROC')
    assert lines[1] == ('run\tmsp\t50.0 ± 0.0 / 75.0 ± 0.0\t25.0 ± 0.0')


def test_a_count_of_one_seed_is_whole(tmp_path, capsys):
    open_set_runs(tmp_path, [0.0])
    lines = lines_of(capsys, tmp_path, '--columns', 'AOSE', 'nOSE')
    assert lines[1].startswith('run\tmsp\t7 / 7\t125.0 / 150.0\t')


def test_components_of_a_segmentor(tmp_path, capsys):
    for seed in range(2):
        row = {'sIoU_pred': 0.25, 'F1@50': 0.5, 'TP@50': 3 + seed, 'FP@50': 7}
        content = {f'near/msp/{key}': value for key, value in row.items()}
        write(tmp_path / f'run/seed_{seed}/ood/metrics.json', content)
    assert lines_of(capsys, tmp_path, '--columns', *row) == [
        'method\tscore\tsIoU_pred ↑\tF1@50 ↑\tTP@50 ↑\tFP@50 ↓',
        'run\tmsp\t25.0 ± 0.0\t50.0 ± 0.0\t3.5 ± 0.7\t7.0 ± 0.0',
        'in %, TP@50, FP@50 counts, mean ± sample deviation over 2 seeds; '
        'OOD: near',
    ]


def test_a_test_without_the_open_set_columns(results, capsys):
    error = refusal(capsys, results / 'vos', '--columns', 'AP_U')
    assert 'has no near/energy/AP_U, but' in error
    error = refusal(capsys, results / 'vos', '--columns', 'AP_K')
    assert 'has no near/energy/AP_K, but' in error


def test_what_is_nan_is_named_with_its_run(results, capsys):
    """A score that was nan or infinite in one of the tests."""
    path = results / 'vos/seed_1/ood/metrics.json'
    metrics = json.loads(path.read_text())
    for column in ('FPR95', 'AUROC', 'AUPR', 'recall', 'flagged'):
        metrics[f'near/msp/{column}'] = float('nan')
    path.write_text(json.dumps(metrics))
    text = output(capsys, results / 'vos')
    line = next(line for line in text.splitlines() if '| msp' in line)
    assert line.startswith('| vos      | msp     | nan / 92.5 ± 3.5 ')
    assert (
        f'vos, near: msp has measures that are nan in {path}; the log of that '
        'test says why\n'
    ) in text
    assert 'energy has' not in text


def test_a_method_that_never_counted_is_named(results, capsys):
    for seed, idle in enumerate(([], ['the outliers'])):
        write(results / f'vos/seed_{seed}/idle_parts.json', idle)
    text = output(capsys, results)
    (line,) = [x for x in text.splitlines() if 'nothing ever counted' in x]
    path = results / 'vos/seed_1/ood/metrics.json'
    assert line == (
        f'vos: in the training of {path} nothing ever counted of the outliers'
    )
