"""Finished tests, made up: what a report is built from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mmood.det.evaluation.details import write_details, write_scores
from mmood.det.evaluation.kept_boxes import by_origin, measure, threshold_at
from mmood.det.evaluation.records import write_metrics
from mmood.ops import write_json

CLASSES = ('cat', 'dog', 'horse')
SIZE = (48, 64)  # height, width


def write_picture(path: Path, seed: int = 0) -> str:
    """A file of coarse noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    size = SIZE[::-1]
    cv2.imwrite(str(path), cv2.resize(noise, size, interpolation=0))
    return str(path)


def box_records(
    rng: np.random.Generator,
    origin: str,
    paths: list[str],
    boxes: int,
    shift: float,
    classes: tuple[str, ...] = CLASSES,
) -> list[dict]:
    """An image per path with so many boxes; every other one on an object."""
    records = []
    for path in paths:
        corner = rng.uniform(0, (SIZE[1] - 24, SIZE[0] - 24), (boxes, 2))
        found = np.concatenate(
            [corner, corner + rng.uniform(8, 24, (boxes, 2))], 1
        )
        found = found.astype(np.float32)
        energy = rng.normal(shift, 1, boxes).astype(np.float32)
        msp = (energy / 10 + rng.normal(0, 0.05, boxes)).astype(np.float32)
        lost = np.float32([[0, 0, 5, 5]])
        objects = np.concatenate([found[::2], lost])
        records.append(
            dict(
                origin=origin,
                path=path,
                classes=classes,
                scores={'': energy, 'energy': energy, 'msp': msp},
                boxes=found,
                own=rng.uniform(0.5, 1, boxes).astype(np.float32),
                best=np.ones(boxes, np.float32),
                labels=rng.integers(0, len(CLASSES), boxes),
                objects=objects,
                object_labels=rng.integers(0, len(classes), len(objects)),
                is_crowd=np.zeros(len(objects), bool),
            )
        )
    return records


def write_box_test(
    folder: Path, records: list[dict], classes: tuple[str, ...] = CLASSES
) -> dict:
    """Leave what a test of boxes leaves; returns its sets."""
    sets = by_origin(records, 0.5, 'vos')
    sets['id']['scores'].pop('')
    names = sorted(sets['id']['scores'])
    metrics = dict(bbox_mAP=0.25)
    for name in names:
        known = sets['id']['scores'][name]
        gamma = metrics[f'ood_threshold/{name}'] = threshold_at(known, 0.95)
        for origin, kept in sets.items():
            if origin != 'id':
                row = measure(known, kept, name, 'vos', 0.95, gamma)
                metrics.update(
                    {f'{origin}/{name}/{k}': v for k, v in row.items()}
                )
    write_scores(str(folder), sets, names)
    write_details(
        str(folder),
        sets,
        classes=list(classes),
        scores=names,
        protocol='vos',
        tpr=0.95,
        score_threshold=0.5,
    )
    write_metrics(str(folder), metrics)
    return sets


def write_run_facts(folder: Path, **more: object) -> None:
    checkpoint = dict(
        path='/models/a.pth', sha256='ab' * 32, seed=7, epoch=2, iter=90
    )
    facts = dict(
        config_file='configs/a.py',
        config='max_epochs = 2\n',
        checkpoint=dict(checkpoint, classes=list(CLASSES)),
        seed=3,
        processes=1,
        versions=dict(mmood='0.2.0', torch='2.13.0'),
        finished='2026-01-01 10:00',
    )
    write_json(folder / 'run.json', {**facts, **more})
