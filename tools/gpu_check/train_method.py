"""Train, validate and test a method for some steps, on a small Shapes set.

Run by ``gpu_check.py``; prints the losses and writes numbers as JSON. With a
GPU in mixed precision, without one in full, to try the script.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner, find_latest_checkpoint

from mmood.launch import build_runner
from mmood.ops import write_json
from mmood.recipe import load
from mmood.scores import FittedScore

ROOT = Path(__file__).resolve().parents[2]
# Of the test's measures these go into the report.
SHOWN = ('AUROC', 'AP_U', 'WI', 'mAP_K', 'bbox_mAP_50')
LENGTH = dict(max_epochs=1, max_iters=12)
# So few that one epoch has them of each class.
QUEUE, NEIGHBOURS = 4, 1


def redirect(value: object, folders: dict[str, str]) -> object:
    """A config's value with other folders in front of its paths."""
    if isinstance(value, dict):
        return {k: redirect(v, folders) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(redirect(v, folders) for v in value)
    if isinstance(value, str):
        for old, new in folders.items():
            if value.startswith(f'{old}/'):
                return f'{new}/{value[len(old) + 1 :]}'
    return value


def shrink(cfg: Config, work_dir: Path, data: Path) -> Config:
    """A resolved config on the small data, in one process."""
    folders = {
        'data/shapes': str(data / 'shapes'),
        'data/shapes_dream': str(data / 'shapes_dream'),
    }
    cfg = Config(redirect(cfg.to_dict(), folders))
    loaders = [cfg[k] for k in cfg if k.endswith('_dataloader') and cfg[k]]
    for loader in loaders:
        loader.update(num_workers=0, persistent_workers=False)
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir, cfg.launcher = str(work_dir), 'none'
    if {'roi_head', 'bbox_head'} & set(cfg.model):
        shrink_detector(cfg)
    return cfg


def shrink_detector(cfg: Config) -> None:
    """Outliers from the first step, and boxes that count however unsure."""
    test_cfg = cfg.model.test_cfg
    test_cfg.get('rcnn', test_cfg).score_thr = 0.0
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        if evaluator.type == 'mmood.OODDetMetric':
            evaluator.score_threshold = 0.0
    head = cfg.model.get('roi_head') or cfg.model.bbox_head
    outliers = head.get('outliers') or {}
    if 'start_share' in outliers:
        outliers.start_share = 0.0
    if 'queue_size' in outliers:
        outliers.queue_size = QUEUE
    for loss in head.get('losses') or ():
        if loss.type == 'mmood.UnknownProbabilityLoss':
            loss.start = 1
    if 'scores' in head:  # else the head's own
        head.scores = [few_neighbours(score) for score in head.scores]


def few_neighbours(score: str | dict) -> str | dict:
    config = dict(type=score) if isinstance(score, str) else score
    if config.get('type') in ('knn', 'siren_knn'):
        return dict(config, k=NEIGHBOURS)
    return score


def numbers(metrics: dict) -> dict[str, float | None]:
    """For JSON, which has no nan."""
    values = {k: float(v) for k, v in metrics.items()}
    return {k: v if math.isfinite(v) else None for k, v in values.items()}


def check(runner: Runner, metrics: dict) -> dict[str, float]:
    """The last losses; ValueError for what is not as it should be."""
    scalars = runner.message_hub.log_scalars
    losses = {
        key.split('/', 1)[1]: float(buffer.data[0][-1])
        for key, buffer in scalars.items()
        if key.startswith('train/') and 'loss' in key
    }
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad or not losses:
        raise ValueError(f'losses are not finite: {bad or "there are none"}')
    if not any(math.isfinite(float(value)) for value in metrics.values()):
        raise ValueError(f'the test gave no number, but {metrics}')
    unfitted = [
        name
        for name, part in runner.model.named_modules()
        if isinstance(part, FittedScore) and not part.is_fitted
    ]
    if unfitted:
        raise ValueError(f'scores were not fitted: {unfitted}')
    return losses


def train_and_test(cfg: Config, device: str) -> dict:
    """Both, from the checkpoint in between; what was found."""
    if device == 'cuda':
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    start = time.perf_counter()
    runner = build_runner(cfg)
    place = next(runner.model.parameters()).device.type
    if place != device:
        raise ValueError(f'the model lies on {place}, wanted was {device}')
    runner.train()
    steps, trained = runner.iter, time.perf_counter() - start
    checkpoint = find_latest_checkpoint(cfg.work_dir)
    cfg.load_from = checkpoint
    cfg.experiment_name = f'{Path(cfg.work_dir).name}_test'
    metrics = build_runner(cfg).test()
    losses = check(runner, metrics)
    result = dict(
        optim_wrapper=cfg.optim_wrapper.type,
        steps=steps,
        train_s=round(trained, 2),
        test_s=round(time.perf_counter() - start - trained, 2),
        losses=numbers(losses),
        metrics=numbers({k: metrics[k] for k in metrics if k.endswith(SHOWN)}),
        checkpoint=checkpoint,
    )
    if device == 'cuda':
        result['peak_gpu_mib'] = torch.cuda.max_memory_allocated() // 2**20
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        result['loss_scale'] = scaler.get_scale() if scaler else None
    return result


def with_model_of(cfg: Config, path: Path) -> Config:
    """The data of the one config, the model of the other."""
    model = load(path).model
    classes = cfg.model.decode_head.num_classes
    size = cfg.model.data_preprocessor.size
    cfg.model = model
    cfg.model.data_preprocessor.size = size
    cfg.model.decode_head.num_classes = classes
    return cfg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', type=Path)
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--work-dir', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True, help='JSON file')
    parser.add_argument('--device', default='cuda', choices=['cuda', 'cpu'])
    parser.add_argument('--load-from', help="another result's JSON file")
    parser.add_argument('--model-of', type=Path, help='config with a model')
    parser.add_argument('--denoiser', help='type of one')
    args = parser.parse_args()
    sys.path.append(str(ROOT))  # configs import from projects/
    cfg = load(args.config, LENGTH)
    if args.model_of:
        cfg = with_model_of(cfg, args.model_of)
    cfg = shrink(cfg, args.work_dir, args.data)
    if args.denoiser:
        cfg.model.losses[0].denoiser.type = args.denoiser
        cfg.train_dataloader.dataset.pop('vectors', None)
    if args.load_from:
        cfg.load_from = json.loads(Path(args.load_from).read_text())[
            'checkpoint'
        ]
    result = train_and_test(cfg, args.device)
    write_json(args.out, result, indent=1)


if __name__ == '__main__':
    main()
