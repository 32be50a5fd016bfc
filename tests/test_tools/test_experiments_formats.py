"""What the printed table looks like, character for character."""

from __future__ import annotations

import csv
import io
import math
import re

import numpy as np
import ood_table
import pytest
from experiments import formats

REMARK = (
    'VOS & MSP, far: AUROC below 50 of msp (25.0): unknown boxes score lower '
    'than known ones; energy separates them best (92.5). is_ood follows the '
    "first of the model's scores"
)


def output(capsys, *arguments):
    ood_table.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_table_1_of_a_spec(results_spec, capsys):
    assert output(capsys, '--table', results_spec) == '\n'.join(
        [
            '| method    | FPR95 ↓                 | AUROC ↑                 '
            '| mAP (ID) ↑   |',
            '|-----------|-------------------------|-------------------------'
            '|--------------|',
            '| VOS       | 55.0 ± 7.1 / 25.0 ± 7.1 | 75.0 ± 7.1 / 92.5 ± 3.5 '
            '| 42.0 ± 2.8   |',
            '| 100% A_B  | 75.0 ± 7.1 / 65.0 ± 7.1 | 55.0 ± 7.1 / 60.0 ± 7.1 '
            '| 38.5 ± 0.7   |',
            '| VOS & MSP | 75.0 ± 7.1 / 92.5 ± 3.5 | 55.0 ± 7.1 / 25.0 ± 7.1 '
            '| 42.0 ± 2.8   |',
            '',
            'in %, mean ± sample deviation over 2 seeds; OOD: near / far',
            '',
            REMARK,
            '',
        ]
    )


def test_latex_is_escaped(results_spec, capsys):
    p = r' $\pm$ '
    text = output(capsys, '--table', results_spec, '--format', 'latex')
    assert [re.sub(' +', ' ', line).strip() for line in text.split('\n')] == [
        r'\begin{tabular}{llll}',
        r'\toprule',
        r'method & FPR95 $\downarrow$ & AUROC $\uparrow$ & '
        r'mAP (ID) $\uparrow$ \\',
        r'\midrule',
        rf'VOS & 55.0{p}7.1 / 25.0{p}7.1 & 75.0{p}7.1 / 92.5{p}3.5 & '
        rf'42.0{p}2.8 \\',
        rf'100\% A\_B & 75.0{p}7.1 / 65.0{p}7.1 & '
        rf'55.0{p}7.1 / 60.0{p}7.1 & 38.5{p}0.7 \\',
        rf'VOS \& MSP & 75.0{p}7.1 / 92.5{p}3.5 & '
        rf'55.0{p}7.1 / 25.0{p}7.1 & 42.0{p}2.8 \\',
        r'\bottomrule',
        r'\end{tabular}',
        '% in %, mean ± sample deviation over 2 seeds; OOD: near / far',
        f'% {REMARK}',
        '',
    ]


def test_tex_characters():
    # What LaTeX's own manual lists as reserved, and a dash for no value.
    rows = [['method', '%'], [r'# $ % ^ & _ { } ~ \ |', '-']]
    text = formats.to_latex(rows, ['below']).splitlines()
    assert text[2].split(' & ')[1].split() == [r'\%', r'\\']
    cells = text[4].replace(r'\&', 'and').split(' & ')
    assert cells[0].split() == [
        *(r'\#', r'\$', r'\%', r'\^{}', 'and', r'\_', r'\{', r'\}'),
        *(r'\textasciitilde{}', r'\textbackslash{}', r'\textbar{}'),
    ]
    assert cells[1].split() == ['--', r'\\']
    assert text[-1] == '% below'


def test_sets_apart(results_spec, capsys):
    options = ('--per-set', '--columns', 'AUROC')
    assert output(capsys, '--table', results_spec, *options).splitlines() == [
        '| method    | OOD set   | AUROC ↑    | mAP (ID) ↑   |',
        '|-----------|-----------|------------|--------------|',
        '| VOS       | near      | 75.0 ± 7.1 | 42.0 ± 2.8   |',
        '| VOS       | far       | 92.5 ± 3.5 | 42.0 ± 2.8   |',
        '| 100% A_B  | near      | 55.0 ± 7.1 | 38.5 ± 0.7   |',
        '| 100% A_B  | far       | 60.0 ± 7.1 | 38.5 ± 0.7   |',
        '| VOS & MSP | near      | 55.0 ± 7.1 | 42.0 ± 2.8   |',
        '| VOS & MSP | far       | 25.0 ± 7.1 | 42.0 ± 2.8   |',
        '',
        'in %, mean ± sample deviation over 2 seeds',
        '',
        REMARK,
    ]


def test_csv_against_numpy(results_spec, shares, capsys):
    text = output(capsys, '--table', results_spec, '--format', 'csv')
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(r['method'], r['score'], r['ood_set']) for r in rows[:3]] == [
        ('VOS', 'energy', 'near'),
        ('VOS', 'energy', 'far'),
        ('100% A_B', 'energy', 'near'),
    ]
    assert len(rows) == 6
    for row, config, first in ((rows[1], 'vos', 2), (rows[2], 'a_b', 0)):
        values = 100 * np.array(shares[config])
        for key, column in (('FPR95', first), ('AUROC', first + 1)):
            expected = values[:, column]
            np.testing.assert_allclose(
                [float(row[f'{key}_mean']), float(row[f'{key}_std'])],
                [np.mean(expected), np.std(expected, ddof=1)],
                rtol=1e-5,
            )
        mean, std = values[:, 4].mean(), values[:, 4].std(ddof=1)
        np.testing.assert_allclose(float(row['mAP_mean']), mean, rtol=1e-5)
        np.testing.assert_allclose(float(row['mAP_std']), std, rtol=1e-5)
        assert row['seeds'] == '2'


def test_nan_is_not_dropped(results, results_spec, write_metrics, capsys):
    path = results / 'vos/seed_1/ood/metrics.json'
    write_metrics(path, (0.6, float('nan'), 0.2, 0.95, 0.44))
    line = output(capsys, '--table', results_spec).splitlines()[2]
    assert [cell.strip() for cell in line.split('|')[1:-1]] == [
        *('VOS', '55.0 ± 7.1 / 25.0 ± 7.1', 'nan / 92.5 ± 3.5', '42.0 ± 2.8')
    ]
    text = output(capsys, '--table', results_spec, '--format', 'csv')
    row = next(csv.DictReader(io.StringIO(text)))
    assert (row['AUROC_mean'], row['AUROC_std']) == ('nan', 'nan')


def test_pipes_stay_in_their_cell():
    text = formats.to_markdown([['method'], ['a|b']], ['below'])
    assert text.splitlines()[2:] == [r'| a\|b     |', '', 'below']


def test_mean_and_sample_deviation():
    mean, deviation = formats.mean_and_deviation([50, 56])
    assert (mean, deviation) == pytest.approx((53, math.sqrt(18)))
    assert math.isnan(formats.mean_and_deviation([50])[1])
    assert formats.cell([[50, 56], None, [3]]) == '53.0 ± 4.2 / - / 3.0'
    assert formats.cell([[3]], is_count=True) == '3'
    assert formats.cell([None, None]) == formats.cell([[]]) == '-'
