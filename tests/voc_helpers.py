"""Detections and objects for tests by the rules of VOC.

A detection is (box, score, label), an object (box, label, difficult).
"""

import multiprocessing

import numpy as np
import torch
import torch.distributed as dist

from mmood.metrics.voc import ImageDetections

CAT, DOG, UNKNOWN = 0, 1, 2


def image(detections=(), objects=()):
    boxes, scores, labels = zip(*detections) if detections else ((), (), ())
    gt, gt_labels, hard = zip(*objects) if objects else ((), (), ())
    return ImageDetections(
        np.array(boxes, dtype=float).reshape(-1, 4),
        np.array(scores, dtype=float),
        np.array(labels, dtype=int),
        np.array(gt, dtype=float).reshape(-1, 4),
        np.array(gt_labels, dtype=int),
        np.array(hard, dtype=bool),
    )


def golden():
    """Three images: WI 25, AOSE 3, mAP_K 91.6667 and AP_U 66.6667."""
    zebra, bear = (100, 10, 160, 60), (20, 100, 80, 150)
    first = image(
        [
            ((10, 10, 60, 60), 0.95, CAT),
            (zebra, 0.90, CAT),
            (zebra, 0.70, UNKNOWN),
        ],
        [((10, 10, 60, 60), CAT, 0), (zebra, UNKNOWN, 0)],
    )
    hard = (100, 100, 150, 150)
    second = image(
        [
            ((20, 20, 80, 80), 0.85, CAT),
            (hard, 0.80, CAT),
            ((22, 22, 80, 80), 0.60, CAT),
            ((20, 100, 80, 148), 0.40, DOG),
        ],
        [((20, 20, 80, 80), CAT, 0), (hard, CAT, 1), (bear, UNKNOWN, 0)],
    )
    third = image(
        [
            ((10, 10, 88, 90), 0.70, CAT),
            ((200, 200, 250, 250), 0.50, CAT),
            ((100, 100, 150, 150), 0.90, DOG),
            ((12, 12, 90, 90), 0.30, UNKNOWN),
        ],
        [((10, 10, 90, 90), UNKNOWN, 0), ((100, 100, 150, 150), DOG, 0)],
    )
    return [first, second, third]


def fmiyc_toy(unknown=1):
    """AP_U, P_U and R_U 50 %, AOSE 1, nOSE 50 %; dogs are of label 0."""
    a, b, far = (0, 0, 100, 100), (200, 0, 300, 100), (500, 500, 600, 600)
    detections = [(a, 0.9, unknown), (a, 0.8, unknown)]
    detections += [(b, 0.7, 0), (far, 0.6, 0)]
    return [image(detections, [(a, unknown, 0), (b, unknown, 0)])]


def random_images(seed, count=30, num_labels=4, decimals=9):
    """Objects, some difficult, and detections near to most of them."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        objects = [
            (_box(rng), rng.integers(num_labels), rng.random() < 0.2)
            for _ in range(rng.integers(6))
        ]
        near = [(b + rng.normal(0, 4, 4), label) for b, label, _ in objects]
        others = [(_box(rng), 0) for _ in range(rng.integers(3))]
        detections = []
        for box, label in near + near + others:
            if rng.random() < 0.3:
                label = rng.integers(num_labels)
            score = round(rng.random(), decimals)
            detections.append((box + rng.normal(0, 1, 4), score, label))
        images.append(image(detections, objects))
    return images


def _box(rng):
    low = rng.random(2) * 100
    return np.concatenate([low, low + 20 + rng.random(2) * 60])


def iou(a, b, offset=0.0):
    """Of two boxes, by its definition."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def voc_rule(images, label, unknown=None, threshold=0.5, offset=0.0):
    """(score, verdict, on unknown) of each detection, by plain loops."""
    rows = []
    for i, one in enumerate(images):
        for box, score, of in zip(one.boxes, one.scores, one.labels):
            if of == label:
                rows.append((-score, len(rows), i, box))
    taken, verdicts = set(), []
    for negative, _, i, box in sorted(rows, key=lambda row: row[:2]):
        one, best, largest, on_unknown = images[i], None, threshold, False
        for j, (gt, of) in enumerate(zip(one.gt_boxes, one.gt_labels)):
            overlap = iou(box, gt, offset)
            if of == label and overlap > largest:
                best, largest = j, overlap
            on_unknown |= of == unknown and overlap > threshold
        if best is None:
            verdict = 'fp'
        elif one.gt_difficult[best]:
            verdict = 'ignored'
        else:
            verdict = 'fp' if (i, best) in taken else 'tp'
            taken.add((i, best))
        verdicts.append((-negative, verdict, bool(on_unknown)))
    return verdicts


def as_sample(one, origin='id', ood_scores=None):
    """What an evaluator gets for an image."""
    pred = dict(
        bboxes=torch.tensor(one.boxes, dtype=torch.float),
        scores=torch.tensor(one.scores, dtype=torch.float),
        labels=torch.tensor(one.labels),
    )
    if ood_scores is not None:
        pred['ood_scores'] = torch.tensor(ood_scores, dtype=torch.float)
    objects = zip(one.gt_boxes, one.gt_labels, one.gt_difficult)
    return dict(
        pred_instances=pred,
        origin=origin,
        instances=[
            dict(bbox=b.tolist(), bbox_label=int(c), ignore_flag=int(d))
            for b, c, d in objects
        ],
    )


def two_processes(build, samples, tmp_path):
    """What each of two ranks returns, given every other sample.

    An odd number is made even by the first sample, as loaders do it.
    """
    url = f'file://{tmp_path}/rendezvous'
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    padded = samples + samples[: len(samples) % 2]

    def rank(number):
        torch.set_num_threads(1)  # a forked pool of threads is a dead one
        dist.init_process_group('gloo', url, rank=number, world_size=2)
        metric = build()
        metric.collect_dir = f'{tmp_path}/parts'
        for one in padded[number::2]:
            metric.process({}, [one])
        queue.put(metric.evaluate(len(samples)))
        dist.destroy_process_group()

    ranks = [
        context.Process(target=rank, args=(i,), daemon=True) for i in range(2)
    ]
    for process in ranks:
        process.start()
    results = [queue.get(timeout=60) for _ in ranks]
    for process in ranks:
        process.join(60)
        assert process.exitcode == 0
    return results
