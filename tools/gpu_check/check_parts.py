"""What ``gpu_check.py`` runs: commands, how long each may take, its numbers.

Each part is a process of its own: an error on a GPU spoils the process that
it happens in.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
METHODS = (
    'configs/[!_]*/*faster-rcnn_r18_fpn_shapes.py',
    'configs/posthoc/retinanet_*shapes.py',
    'configs/posthoc/rtmdet_*shapes.py',
    'configs/posthoc/dino_*shapes.py',
    'configs/dream_box/dream-box_[dr]*shapes.py',
    'configs/siren/siren_deformable-detr_*shapes.py',
    'projects/open_set_detection/configs/*faster-rcnn_r18_fpn_shapes.py',
)
INCREMENTAL = 'projects/incremental_detection/configs'
# Those that start from the same first step share its training.
INCREMENTAL_SETS = (('finetune', 'faster-ilod', 'iod'), ('iod-dfdd',))
# For parts that no method's config stands for.
OWN = 'tools/gpu_check/configs'
SEGMENTOR = 'configs/posthoc/segmenter_vit_1500_shapes.py'
FITTED = f'{OWN}/fitted_segmenter_vit_shapes.py'
DOOD = 'configs/dood/dood_segmenter_vit_1k_shapes.py'
SEGFORMER = 'configs/posthoc/segformer_mit_1800_camvid.py'
# Fewer runs than a benchmark that is to be published; no metrics on the CPU.
SPEED = dict(
    det=['--runs', '5'],
    scores=['--runs', '5'],
    heads=['--runs', '15'],
    seg=['--runs', '3', '--parts', 'scoring', 'training'],
)


@dataclass(frozen=True)
class Part:
    """A command with its time in seconds.

    ``read`` makes numbers of what the command left; ``after`` is a part that
    must have passed; ``alone`` says that nothing else may run meanwhile.
    """

    name: str
    command: list[str]
    budget: int
    read: Callable[[], dict] = dict
    after: str | None = None
    alone: bool = False


def all_parts(folder: Path, device: str) -> list[Part]:
    """Everything, longest first; results go to ``folder``."""
    return [
        *incremental_parts(folder, device),
        tests(folder),
        *method_parts(folder, device),
        *segmentation_parts(folder, device),
        *speed_parts(folder, device),
    ]


def tests(folder: Path) -> Part:
    """Those marked ``gpu``; other files are not even read."""
    path = folder / 'tests.xml'
    files = [
        str(file.relative_to(ROOT))
        for room in ('tests', 'projects')
        for file in sorted((ROOT / room).rglob('test_*.py'))
        if '@pytest.mark.gpu' in file.read_text(encoding='utf-8')
    ]
    command = [sys.executable, '-m', 'pytest', *files, '-m', 'gpu']
    command += ['-o', 'addopts=--import-mode=importlib -q -rfE']
    command += [f'--junitxml={path}', '-p', 'no:cacheprovider']
    return Part('tests', command, 150, lambda: read_tests(path))


def training(
    name: str,
    config: str,
    folder: Path,
    device: str,
    *more: str,
    after: str | None = None,
) -> Part:
    """A method; ``after`` is the one whose checkpoint it starts from."""
    out = folder / f'{name}.json'
    tool = ROOT / 'tools/gpu_check/train_method.py'
    command = [sys.executable, str(tool), config, '--device', device, *more]
    command += ['--data', str(folder / 'data'), '--out', str(out)]
    command += ['--work-dir', str(folder / name)]
    if after:
        command += ['--load-from', str(folder / f'{after}.json')]
    return Part(name, command, 100, lambda: json.loads(out.read_text()), after)


def method_parts(folder: Path, device: str) -> list[Part]:
    """Detectors of the tables and of open-set detection, and a cascade."""
    parts = []
    for pattern in METHODS:
        room = '' if pattern.startswith('configs') else 'open-set '
        for path in sorted(ROOT.glob(pattern)):
            if path.parent.name == '_base_':
                continue
            method = path.stem.split('_faster')[0].split('_r18')[0]
            config = str(path.relative_to(ROOT))
            name = (room + method).replace(' ', '_')
            parts.append(training(name, config, folder, device))
    cascade = f'{OWN}/vos_cascade-rcnn_r18_fpn_shapes.py'
    return [*parts, training('vos_cascade', cascade, folder, device)]


def segmentation_parts(folder: Path, device: str) -> list[Part]:
    """Segmentors, and DOoD on one, with single vectors and with maps."""
    segformer = ('--model-of', SEGFORMER)
    maps = ('--denoiser', 'mmood.DenoisingUNet')
    rows = [
        ('segmenter', SEGMENTOR, (), None),
        ('segmenter_fitted', FITTED, (), None),
        ('segformer', SEGMENTOR, segformer, None),
        ('dood', DOOD, (), 'segmenter'),
        ('dood_unet', DOOD, maps, 'segmenter'),
    ]
    return [
        training(name, config, folder, device, *more, after=after)
        for name, config, more, after in rows
    ]


def incremental_parts(folder: Path, device: str) -> list[Part]:
    """All stages of incremental detection, trained and tested by run.py."""
    options = [
        'incremental.exemplars=2',
        'incremental.base.train_cfg.max_epochs=1',
        'incremental.increment.train_cfg.max_epochs=1',
        'incremental.increment.param_scheduler=[]',
        'model.test_cfg.rcnn.score_thr=0.0',
        'default_hooks.logger.interval=1',
        'train_dataloader.persistent_workers=False',
        *(f'{s}_dataloader.num_workers=0' for s in ('train', 'val', 'test')),
        *(
            f'{s}_dataloader.dataset.data_root={folder}/data/shapes'
            for s in ('train', 'val', 'test')
        ),
    ]
    if device == 'cuda':
        options.append('optim_wrapper.type=AmpOptimWrapper')
    parts = []
    for methods in INCREMENTAL_SETS:
        out = folder / f'incremental_{methods[-1]}'
        configs = [
            f'{INCREMENTAL}/{m}_faster-rcnn_r18_fpn_shapes-4-2.py'
            for m in methods
        ]
        command = [sys.executable, f'{INCREMENTAL[:-8]}/run.py', *configs]
        command += ['--seeds', '0', '--out', str(out)]
        command += ['--stages', 'step_0', 'step_1', '--cfg-options', *options]
        parts.append(
            Part(out.name, command, 240, lambda out=out: read_stages(out))
        )
    return parts


def speed_parts(folder: Path, device: str) -> list[Part]:
    """The benchmark's ratios; each alone, as nothing may slow it down."""
    tool = str(ROOT / 'tools/analysis_tools/benchmark.py')
    parts = []
    for task, more in SPEED.items():
        out = folder / f'speed_{task}.json'
        command = [sys.executable, tool, task, '--device', device, *more]
        parts.append(
            Part(
                out.stem,
                [*command, '--out', str(out)],
                60,
                lambda out=out: json.loads(out.read_text()),
                alone=True,
            )
        )
    return parts


def read_tests(path: Path) -> dict:
    """Counts and, of each comparison, difference and tolerance."""
    counts = dict(passed=0, failed=0, skipped=0)
    compared, failed = {}, {}
    for case in ElementTree.parse(path).iter('testcase'):
        name = case.get('name')
        faults = [*case.iter('failure'), *case.iter('error')]
        if faults:
            failed[name] = faults[0].get('message', '')[:500]
        skipped = case.find('skipped') is not None
        state = 'failed' if faults else 'skipped' if skipped else 'passed'
        counts[state] += 1
        found = {p.get('name'): p.get('value') for p in case.iter('property')}
        if found:
            compared[name] = {k: float(v) for k, v in found.items()}
    return dict(counts=counts, failed=failed, compared=compared)


def read_stages(out: Path) -> dict:
    """AP50 and its like of each stage of each method."""
    found = {}
    for path in sorted(out.glob('*/seed_0/*/metrics.json')):
        metrics = json.loads(path.read_text())
        method = path.parts[-4].split('_')[0]
        found[f'{method}/{path.parts[-2]}'] = metrics.get('AP50')
    return dict(AP50=found)
