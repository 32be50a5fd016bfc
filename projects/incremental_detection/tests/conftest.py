"""What the tests of the runs share: a small config, stubs for the tools."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers import ROOT

sys.path.append(str(ROOT / 'tools/analysis_tools'))
sys.path.append(str(ROOT / 'projects/incremental_detection'))
import experiments.stage
import trainings

# Stands for train.py and test.py: writes down how it was called, then leaves
# what they leave. After base 60 + seed, then 50 for old and 30 for new.
STUB = """
import json, pathlib, sys

tool, arguments = pathlib.Path(sys.argv[0]), sys.argv[1:]
folder = pathlib.Path(arguments[0]).with_suffix('')
folder.mkdir(exist_ok=True)
run = folder.parent
broken = tool.parent / f'break_{tool.stem}_{folder.name}'
with open(tool.parent / 'calls', 'a') as file:
    call = [tool.stem, run.parent.name, run.name, folder.name, arguments]
    file.write(json.dumps(call) + '\\n')
if tool.stem == 'train':
    (folder / 'epoch_1.pth').write_text('weights')
    (folder / 'last_checkpoint').write_text('elsewhere/epoch_1.pth')
if broken.is_file():
    sys.exit('what went wrong')
if tool.stem == 'test':
    out = pathlib.Path(arguments[arguments.index('--out-dir') + 1])
    old = 60.0 + int(run.name[5:]) if folder.name == 'step_0' else 50.0
    values = {'old': [old, old + 2], 'new': [30.0]}
    if folder.name == 'step_0':
        del values['new']
    metrics = {}
    for shift, key in ((0, 'AP50'), (20, 'AP75')):
        every = []
        for group, numbers in values.items():
            numbers = [number - shift for number in numbers]
            metrics[f'{group}/{key}'] = sum(numbers) / len(numbers)
            every += numbers
        metrics[key] = sum(every) / len(every)
        for name, number in zip('abc', every):
            metrics[f'{key}/{name}'] = number
    (out / 'metrics.json').write_text(json.dumps(metrics))
"""
SMALL = """
incremental = dict(
    steps=[['a', 'b'], ['c']],
    exemplars=2,
    base={'train_cfg.max_epochs': 6},
    increment=dict(train_cfg=dict(max_epochs=4), model=dict(method='x')),
    finetune={'param_scheduler': [], 'optim_wrapper.optimizer.lr': 0.1},
)
model = dict(
    num_old='$num_old',
    roi_head=dict(
        bbox_head=dict(cls_predictor_cfg=dict(num_seen='$num_seen'))
    ),
)
train_cfg = dict(max_epochs=1)
param_scheduler = [dict(type='LinearLR')]
optim_wrapper = dict(optimizer=dict(lr=1.0))
some_set = dict(
    type='mmood.ClassStepCocoDataset', data_root=DATA, ann_file='ann.json'
)
train_dataloader = dict(dataset=some_set)
val_dataloader = dict(dataset=some_set)
test_dataloader = dict(dataset=some_set)
val_evaluator = dict(type='M')
test_evaluator = dict(type='M')
custom_hooks = [dict(type='H'), dict(type='W', dataloader=dict(batch_size=3))]
"""


@pytest.fixture
def small(tmp_path):
    """Function: a config of three classes, with some text replaced."""
    categories = [dict(id=i, name=n) for i, n in enumerate('abcd', 1)]
    content = dict(images=[], annotations=[], categories=categories)
    (tmp_path / 'ann.json').write_text(json.dumps(content))

    def write(name: str = 'small', **changes: str) -> Path:
        text = SMALL.replace('DATA', repr(str(tmp_path)))
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / f'{name}.py'
        path.write_text(text)
        return path

    return write


@dataclass(frozen=True)
class Stubs:
    """The folder of the stubs, and what they were called with."""

    folder: Path

    @property
    def calls(self) -> list[list]:
        path = self.folder / 'calls'
        lines = path.read_text().splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines]

    @property
    def steps(self) -> list[str]:
        """Such as ``train small seed_0 step_1``."""
        return [' '.join(call[:4]) for call in self.calls]

    def break_tool(self, tool: str, stage: str) -> Path:
        """Have it fail on a stage as long as this file is there."""
        path = self.folder / f'break_{tool}_{stage}'
        path.touch()
        return path


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Stubs:
    """Stubs in the place of tools; the current folder is empty."""
    folder = tmp_path / 'tools'
    folder.mkdir()
    for name in ('train', 'test'):
        (folder / f'{name}.py').write_text(STUB)
    monkeypatch.setattr(experiments.stage, 'TOOLS', folder)
    # The small config names parts that are not there.
    monkeypatch.setattr(trainings, 'build_parts', lambda cfg: None)
    monkeypatch.chdir(tmp_path)
    return Stubs(folder)
