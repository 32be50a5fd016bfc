"""Check that model, weights and data have the same classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmood.checkpoint import check_weights
from mmood.registry import HOOKS

from .after_training import unwrapped
from .check_neck import check_neck, put_into_chain

_HEADS: tuple[str, ...] = ('roi_head', 'bbox_head', 'mask_head')
_HEADS += ('decode_head', 'auxiliary_head')


@HOOKS.register_module()
class CheckDataHook(Hook):
    """Compare the classes of heads, data, weights and metrics.

    Before a training, validation or test: each set, also one that scores are
    fitted on, must have as many classes as the heads, those of the weights
    in the same order, and a metric of COCO must number them alike. Sets with
    classes of their own, as OOD ones, are left out. A checkpoint with no
    weight of the model is refused, and so is a neck whose maps and losses do
    not fit the rest, see `check_neck`; the neck of a plain detector's is
    loaded as the first in a list (`put_into_chain`). Outliers that are pasted
    must be what the losses on pixels learn from. Before a test it warns
    if the pipelines of its sets change images differently.
    Raises ValueError with both numbers, or the names, and the remedy.
    """

    def __init__(self) -> None:
        self._learned: Sequence[str] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        weights = checkpoint.get('state_dict', checkpoint)
        put_into_chain(unwrapped(runner), weights)
        check_weights(unwrapped(runner), checkpoint)
        meta = checkpoint.get('meta', {}).get('dataset_meta')
        self._learned = meta.get('classes') if isinstance(meta, dict) else None

    def before_train(self, runner: Runner) -> None:
        check_neck(unwrapped(runner))
        self._learned = None  # what is learned is that of the training set
        self._check(runner, runner.train_dataloader.dataset, 'train')
        check_flags(unwrapped(runner), runner.train_dataloader.dataset)
        note = check_outliers(
            unwrapped(runner), runner.train_dataloader.dataset
        )
        if note:
            runner.logger.warning(note)
        sets = list(sets_of(runner.train_dataloader.dataset))
        self._learned = classes_of(sets[0]) if sets else None
        if runner.val_loop is not None:  # it shows now, not at the end
            self.before_val(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Other hooks have built the loaders that they fit on by now."""
        for hook in runner.hooks:
            loader = getattr(hook, 'dataloader', None)
            dataset = getattr(loader, 'dataset', None)
            if dataset is not None:
                self._check(runner, dataset, 'fit')

    def before_val(self, runner: Runner) -> None:
        dataset = runner.val_dataloader.dataset
        self._check(runner, dataset, 'val')
        check_categories(runner.val_evaluator.metrics, dataset)

    def before_test(self, runner: Runner) -> None:
        dataset = runner.test_dataloader.dataset
        self._check(runner, dataset, 'test')
        check_categories(runner.test_evaluator.metrics, dataset)
        for text in pipeline_differences(list(sets_of(dataset))):
            runner.logger.warning(text)

    def _check(self, runner: Runner, dataset: object, part: str) -> None:
        for leaf in sets_of(dataset):
            classes = classes_of(leaf)
            if classes is not None:
                check_counts(unwrapped(runner), classes, part)
                note = check_order(self._learned, classes, part)
                if note:
                    runner.logger.warning(note)


def sets_of(dataset: object) -> Iterator[object]:
    """The sets that are in a wrapper, or in one of many."""
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from sets_of(part)
    elif hasattr(dataset, 'dataset'):
        yield from sets_of(dataset.dataset)
    else:
        yield dataset


def classes_of(dataset: object) -> Sequence[str] | None:
    """The classes that a set's labels count; None for its own or unknown.

    Of a panoptic set heads see a part.
    """
    metainfo = getattr(dataset, 'metainfo', {})
    if getattr(dataset, 'own_classes', False) or 'thing_classes' in metainfo:
        return None
    return metainfo.get('classes')


def head_classes(model: nn.Module) -> dict[str, int]:
    """Number of classes that each head of a model learns, by its name.

    A part with an ``unknown_class``, which is no class of the data, counts
    for the heads in it. Heads that see words, make their own labels or know
    no class do not count.
    """
    found: dict[str, int] = {}
    done: list[str] = []
    if hasattr(model, 'language_model'):
        return found
    for name, module in model.named_modules():
        last = [part for part in name.split('.') if not part.isdigit()][-1:]
        is_inside = any(name.startswith(f'{outer}.') for outer in done)
        if is_inside or not last or last[0] not in _HEADS:
            continue
        if getattr(module, 'unknown_class', False):
            done.append(name)
        count = getattr(module, 'num_classes', None)
        count = getattr(module, 'num_known', count)
        is_other = getattr(module, 'class_agnostic', False) or hasattr(
            module, 'boundary_threshold'
        )
        if isinstance(count, int) and not is_other:
            found[name] = count
    return found


def check_counts(model: nn.Module, classes: Sequence[str], part: str) -> None:
    """Raise ValueError if a head learns another number of classes."""
    for name, count in head_classes(model).items():
        if count != len(classes):
            raise ValueError(
                f'model.{name} has {count} classes (num_classes) and the '
                f'{part} set {len(classes)} (metainfo.classes: '
                f'{", ".join(map(str, list(classes)[:30]))}): set num_classes '
                'of the head to the number of classes of the data'
            )


def check_flags(model: nn.Module, dataset: object) -> None:
    """Raise ValueError for objects flagged OOD that a DINO would denoise."""
    if not hasattr(model, 'dn_query_generator'):
        return
    for leaf in sets_of(dataset):
        steps = getattr(getattr(leaf, 'pipeline', None), 'transforms', ())
        is_apart = any(getattr(step, 'apart', False) for step in steps)
        if getattr(leaf, 'has_flags', False) and not is_apart:
            raise ValueError(
                f'{type(model).__name__} makes queries to denoise of all '
                'gt_instances, and some of the training set are flagged OOD: '
                'end its pipeline with '
                "dict(type='mmood.PackOODInputs', apart=True)"
            )


def check_outliers(model: nn.Module, dataset: object) -> str | None:
    """Raise ValueError if outliers are pasted that no loss is for.

    What to say where losses wait for outliers and nothing pastes any; None
    if all is well.
    """
    pasted = {
        step.outlier_label
        for leaf in sets_of(dataset)
        for step in getattr(getattr(leaf, 'pipeline', None), 'transforms', ())
        if hasattr(step, 'outlier_label')
    }
    losses = getattr(model, 'pixel_losses', None) or {}
    if pasted and not losses:
        raise ValueError(
            f'the training pipeline labels outliers {sorted(pasted)}, which '
            'the losses of this model would take for a class: list '
            'pixel_losses, or leave out PasteOutliers'
        )
    label = getattr(model, 'outlier_label', None)
    if pasted and pasted != {label}:
        raise ValueError(
            f'the training pipeline labels outliers {sorted(pasted)}, and the '
            f'model has outlier_label={label}: give both the same'
        )
    waiting = [name for name, one in losses.items() if one.needs_outliers]
    if not waiting or pasted:
        return None
    return (
        f'{", ".join(waiting)} learn from outliers, and no transform of the '
        'training set pastes any: only pixels that have the label '
        f'{label} in the files count'
    )


def check_order(
    learned: Sequence[str] | None, classes: Sequence[str], part: str
) -> str | None:
    """Raise ValueError if weights have the classes in another order.

    What to say where the names are others; None if all is well.
    """
    if learned is None or list(learned) == list(classes):
        return None
    text = (
        f'the model learned the classes {list(learned)}, the {part} set has '
        f'{list(classes)}'
    )
    if sorted(learned) == sorted(classes):
        raise ValueError(
            f'{text}: label by label these are others; give metainfo.classes '
            'the same order'
        )
    return f'{text}: is label by label the same meant?'


def check_categories(metrics: Sequence[object], dataset: object) -> None:
    """Raise ValueError if a metric of COCO numbers classes in another way.

    mmdet's own goes by the order of its file, as mmdet's own sets do.
    """
    sets = [part for part in sets_of(dataset) if hasattr(part, 'origin')]
    classes = list(classes_of(sets[0]) or ()) if sets else []
    for metric in metrics if classes else ():
        coco = getattr(metric, '_coco_api', None)
        if coco is None:
            continue
        ids = coco.get_cat_ids(cat_names=classes)
        found = [coco.cats[i]['name'] for i in ids]
        if found != classes:
            raise ValueError(
                f'the ann_file of {type(metric).__name__} has the classes '
                f'{found}, label by label, and the set {classes}: '
                'leave out the ann_file of the evaluator, or use '
                'mmood.OODDetMetric, which goes by names'
            )


def pipeline_differences(datasets: Sequence[object]) -> list[str]:
    """Which sets are seen through other transforms than the first one."""
    steps = {i: _image_steps(dataset) for i, dataset in enumerate(datasets)}
    names = [
        getattr(d, 'origin', f'number {i}') for i, d in enumerate(datasets)
    ]
    return [
        f'the pipelines of the sets {names[0]!r} and {names[i]!r} differ: '
        f'{sorted(set(steps[0]) - set(own))} there and '
        f'{sorted(set(own) - set(steps[0]))} here. Scores depend on the size '
        'of images: what is measured may be that difference'
        for i, own in steps.items()
        if own != steps[0]
    ]


def _image_steps(dataset: object) -> list[str]:
    """The transforms that change images, as text."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    return [
        _text(transform)
        for transform in transforms
        if 'Annotations' not in type(transform).__name__
        and not hasattr(transform, 'meta_keys')
    ]


def _text(transform: object) -> str:
    kind = type(transform)
    says_all = kind.__repr__ is not object.__repr__
    return repr(transform) if says_all else kind.__name__
