"""The GPU check: its parts, its JSON, and what happens without a GPU."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from helpers import ROOT, run_here
from mmood.recipe import load

sys.path.append(str(ROOT / 'tools/gpu_check'))
import check_parts as parts
import gpu_check
import train_method


def python(name: str, code: str, budget: int = 60, **more) -> parts.Part:
    return parts.Part(name, [sys.executable, '-c', code], budget, **more)


def test_without_a_gpu_it_says_that_it_is_skipped(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    out = tmp_path / 'new' / 'check.json'
    assert gpu_check.main(['--out', str(out)]) == 0
    content = json.loads(out.read_text())
    assert (content['status'], content['gpu']) == ('skipped', None)
    assert content['versions']['torch'] == torch.__version__
    text = capsys.readouterr().out
    assert text.startswith('gpu-check skipped: torch sees no CUDA GPU')
    assert '"status": "skipped"' in text


def test_a_part_that_fails_does_not_stop_the_others(tmp_path, capsys):
    made = [
        python('later', 'pass', read=lambda: dict(x=1), after='broken'),
        python('broken', 'raise SystemExit("what went wrong")'),
        python('slow', 'import time; time.sleep(60)', budget=1),
        python('silent', 'pass', read=lambda: json.loads('')),
        python('alone', 'pass', alone=True),
    ]
    results = gpu_check.run_all(made, tmp_path, 4)
    status = {name: result['status'] for name, result in results.items()}
    assert status == dict(
        later='passed',
        broken='failed',
        slow='failed',
        silent='failed',
        alone='passed',
    )
    assert list(results)[-1] == 'alone'
    assert results['later']['x'] == 1
    assert list(results).index('broken') < list(results).index('later')
    assert results['broken']['reason'] == 'exit code 1'
    assert 'what went wrong' in results['broken']['log']
    assert results['slow']['reason'] == 'not done after 1 s'
    assert results['silent']['reason'].startswith('left no numbers')
    assert '[5/5] alone: passed' in capsys.readouterr().out


def test_every_shapes_config_has_a_part(tmp_path):
    found = parts.all_parts(tmp_path, 'cuda')
    assert len({part.name for part in found}) == len(found)
    words = {word for part in found for word in part.command}
    folders = ('configs', 'projects', parts.OWN)
    configs = {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).glob('**/*_shapes*.py')
        if '_base_' not in path.parts and '4-2-2' not in path.stem
    }
    # Only a test threshold, or another backbone, sets these apart.
    configs = {c for c in configs if 'thr-0.1' not in c and 'lite0' not in c}
    assert len(configs) > 15
    assert configs <= words
    for part in found:
        if part.after:
            assert part.after in {other.name for other in found}


def test_report_of_the_tests(tmp_path):
    path = tmp_path / 'tests.xml'
    path.write_text(
        '<testsuites><testsuite>'
        '<testcase name="a[x]"><properties>'
        '<property name="difference" value="2e-06"/>'
        '<property name="tolerance" value="0.0001"/>'
        '</properties></testcase>'
        '<testcase name="b"><failure message="too far">text</failure>'
        '</testcase>'
        '<testcase name="c"><skipped message="no"/></testcase>'
        '</testsuite></testsuites>'
    )
    report = parts.read_tests(path)
    assert report['counts'] == dict(passed=1, failed=1, skipped=1)
    assert report['failed'] == {'b': 'too far'}
    assert report['compared'] == {
        'a[x]': dict(difference=2e-6, tolerance=1e-4)
    }


CONFIGS = {
    part.command[2]
    for part in parts.all_parts(ROOT, 'cuda')
    if part.command[1].endswith('train_method.py')
}


@pytest.mark.parametrize('name', sorted(CONFIGS))
def test_a_config_moves_to_the_small_data(name, tmp_path):
    cfg = load(ROOT / name, train_method.LENGTH)
    cfg = train_method.shrink(cfg, tmp_path / 'work', tmp_path / 'small')
    text = repr(cfg.to_dict())
    assert "'data/shapes" not in text
    assert f"'{tmp_path}/small/shapes/" in text
    assert "'persistent_workers': True" not in text
    assert cfg.work_dir == str(tmp_path / 'work')


def test_a_score_that_stayed_unfitted_is_an_error(tmp_path):
    class Runner:
        class message_hub:
            log_scalars = {}

    with pytest.raises(ValueError, match='not finite: there are none'):
        train_method.check(Runner, {'AUROC': 0.5})


def test_the_benchmark_writes_its_numbers(tmp_path, monkeypatch):
    monkeypatch.setitem(
        sys.modules,
        'benchmark_det',
        SimpleNamespace(rows=lambda *_: [['blur', 1.0, 4.0, 0.25]]),
    )
    out = tmp_path / 'speed.json'
    run_here(monkeypatch, 'analysis_tools/benchmark', 'det', '--out', out)
    row = dict(ours_ms=1.0, direct_ms=4.0, ratio=0.25)
    assert json.loads(out.read_text())['rows'] == {'blur': row}
