"""What the tests of tables share: stubs for the tools, finished runs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from mmengine.config import Config

import mmood.launch
from helpers import ROOT, run_here

sys.path.append(str(ROOT / 'tools/analysis_tools'))
import experiments.stage

# Stands for train.py, test.py and extract_features.py: writes down how it
# was called, then leaves what they leave.
STUB = """
import json, os, pathlib, sys, time

tool, arguments = pathlib.Path(sys.argv[0]), sys.argv[1:]
folder = pathlib.Path(arguments[arguments.index('--work-dir') + 1])
keys = ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')
call = dict(
    tool=tool.stem,
    folder=folder.parent.name,
    seed=int(folder.name[5:]),
    arguments=arguments,
    pid=os.getpid(),
    start=time.time(),
    **{key: os.environ.get(key) for key in keys},
)
folder.mkdir(parents=True, exist_ok=True)
if 'STUB_MEET' in os.environ and tool.stem == 'train':
    (tool.parent / f'started_{os.getpid()}').touch()
    while len(list(tool.parent.glob('started_*'))) < 2:
        if time.time() > call['start'] + 30:
            sys.exit('alone')
        time.sleep(0.02)
broken = tool.parent / f'break_{tool.stem}_{folder.parent.name}'
if broken.is_file():
    print(*range(50), 'what went wrong', sep='\\n')
else:
    if tool.stem == 'train':
        (folder / 'last.pth').touch()
        (folder / 'last_checkpoint').write_text(f'{folder}/last.pth\\n')
    if tool.stem == 'test':
        out = pathlib.Path(arguments[arguments.index('--out-dir') + 1])
        row = dict(FPR95=0.5, AUROC=0.8 + call['seed'] / 10, AUPR=0.7)
        row.update(recall=0.2, flagged=0.1)
        (out / 'metrics.json').write_text(json.dumps({
            'bbox_mAP': 0.4, **{
                f'near/{score}/{key}': value
                for score in ('energy', 'msp') for key, value in row.items()
            }
        }))
with open(tool.parent / 'calls', 'a') as file:
    file.write(json.dumps({**call, 'end': time.time()}) + '\\n')
sys.exit(3 * broken.is_file())
"""
# FPR95 and AUROC of near, then of far, and mAP, by config and seed.
SHARES = {
    'vos': [(0.5, 0.8, 0.3, 0.9, 0.40), (0.6, 0.7, 0.2, 0.95, 0.44)],
    'a_b': [(0.7, 0.6, 0.6, 0.65, 0.38), (0.8, 0.5, 0.7, 0.55, 0.39)],
}


def _metrics(near_fpr, near_auroc, far_fpr, far_auroc, bbox_map):
    """Two scores; msp is energy with its FPR95 and AUROC exchanged."""
    content = dict(bbox_mAP=bbox_map, score_threshold=0.3, ood_threshold=-2.0)
    for score in ('energy', 'msp'):
        for name, pair in (
            ('near', (near_fpr, near_auroc)),
            ('far', (far_fpr, far_auroc)),
        ):
            pair = pair if score == 'energy' else pair[::-1]
            values = dict(zip(('FPR95', 'AUROC'), pair))
            values.update(AUPR=0.75, recall=0.25, flagged=0.125)
            content.update(
                {f'{name}/{score}/{key}': v for key, v in values.items()}
            )
    return content


@dataclass(frozen=True)
class Stubs:
    """The folder of the stubs, and what they were called with."""

    folder: Path

    @property
    def calls(self) -> list[dict]:
        lines = (self.folder / 'calls').read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def steps(self) -> list[tuple]:
        return [(c['tool'], c['folder'], c['seed']) for c in self.calls]

    @staticmethod
    def options(call: dict) -> list[str]:
        arguments = call['arguments']
        return arguments[arguments.index('--cfg-options') + 1 :]

    def break_tool(self, tool: str, folder: str) -> Path:
        """Have it fail on a run's folder as long as this file is there."""
        path = self.folder / f'break_{tool}_{folder}'
        path.touch()
        return path


@pytest.fixture
def config_of(monkeypatch, tmp_path):
    """Function: the config that a tool would build its runner from.

    Takes the tool's name, a config, also as the text of a file, and what
    stands behind it.
    """

    def run(tool, cfg, *arguments):
        seen = []

        class Runner:
            def __init__(self, cfg):
                seen.append(cfg)

            def train(self):
                pass

            test = train

        monkeypatch.setattr(mmood.launch, 'build_runner', Runner)
        path = tmp_path / 'config.py'
        path.write_text(
            cfg if isinstance(cfg, str) else Config(cfg).pretty_text
        )
        run_here(monkeypatch, tool, path, *arguments)
        return seen[0]

    return run


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Stubs in place of tools; two empty configs in the current folder."""
    folder = tmp_path / 'tools'
    folder.mkdir()
    for name in ('train', 'test', 'extract_features'):
        (folder / f'{name}.py').write_text(STUB)
    monkeypatch.setattr(experiments.stage, 'TOOLS', folder)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ('a', 'b'):
        (tmp_path / f'{name}.py').touch()
    return Stubs(folder)


@pytest.fixture
def write_spec(tmp_path):
    """Function: write a spec with these rows, by default two on config a."""

    def build(*rows, seeds=(0, 1), **more):
        rows = rows or (
            dict(name='MSP', config='a.py', score='msp'),
            dict(name='Energy', config='a.py', score='energy'),
            dict(name='B', config='b.py', score='energy'),
        )
        content = dict(out='out', seeds=list(seeds), rows=list(rows), **more)
        path = tmp_path / 'spec.py'
        path.write_text(''.join(f'{k} = {v!r}\n' for k, v in content.items()))
        return path

    return build


@pytest.fixture
def write_metrics():
    """Function: a metrics.json of two scores and sets, from five shares."""

    def write(path: Path, shares: tuple) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_metrics(*shares)))

    return write


@pytest.fixture
def results(tmp_path, write_metrics):
    """Two configs with two seeds each, as run_table.py leaves them."""
    out = tmp_path / 'out'
    for config, runs in SHARES.items():
        for seed, shares in enumerate(runs):
            path = out / config / f'seed_{seed}/ood/metrics.json'
            write_metrics(path, shares)
    return out


@pytest.fixture
def results_spec(tmp_path, results):
    """Three rows of these two configs, not in the order of folders."""
    rows = []
    for name, config, score in (
        ('VOS', 'vos', 'energy'),
        ('100% A_B', 'a_b', 'energy'),
        ('VOS & MSP', 'vos', 'msp'),
    ):
        (tmp_path / f'{config}.py').touch()
        path = str(tmp_path / f'{config}.py')
        rows.append(dict(name=name, config=path, score=score))
    path = tmp_path / 'spec.py'
    path.write_text(f'out = {str(results)!r}\nseeds = [0, 1]\nrows = {rows}\n')
    return path


@pytest.fixture
def shares():
    """What stands in the results, by config and seed."""
    return SHARES
