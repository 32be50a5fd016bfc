"""FitScoresHook and CalibrateOODHook on a segmentor."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from torch.nn.parallel import DataParallel

from mmood.hooks import CalibrateOODHook, FitScoresHook, fit_scores
from mmood.scores import energy
from seg_helpers import build_segmentor, seg_batch


@pytest.fixture(autouse=True)
def _mmseg_scope(_scope_and_seed):
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def unfitted():
    model = build_segmentor()
    model.ood_head.score_mean.fill_(float('nan'))
    model.ood_head.score_std.fill_(float('nan'))
    return model


def batches(count=4, size=1):
    """Batches of ``size`` noise images, each in part without a label."""
    images, samples = seg_batch(count)
    for number, sample in enumerate(samples):
        sample.gt_sem_seg.data[0, : 5 * number] = 255
    return [
        dict(
            inputs=list(images[i : i + size]),
            data_samples=samples[i : i + size],
        )
        for i in range(0, count, size)
    ]


def by_hand(model, data, pick=lambda scores: scores):
    """Mean and deviation of both scores over the valid pixels."""
    model.compound, values = False, []
    with torch.no_grad():
        for sample in (s for batch in data for s in model.test_step(batch)):
            uncertainty = energy(sample.seg_logits.data, dim=0)
            both = torch.stack([uncertainty, sample.pred_ood.diffusion[0]])
            valid = sample.gt_sem_seg.data[0] != 255
            values.append(pick(both)[:, valid].double().numpy())
    model.compound = True
    values = np.concatenate(values, 1)
    return values.mean(1), values.std(1, ddof=1)


def fit(model, *arguments):
    """The statistics that the model has after the fit."""
    fit_scores(model, *arguments)
    return model.ood_head.score_mean, model.ood_head.score_std


def check(found, expected):
    for mine, other in zip(found, expected):
        np.testing.assert_allclose(mine, other, rtol=1e-4)


def test_no_valid_pixel():
    model, data = unfitted(), batches(1)
    data[0]['data_samples'][0].gt_sem_seg.data.fill_(255)
    for loader in ([], data):
        with pytest.raises(ValueError, match='no valid pixel to fit'):
            fit_scores(model, loader)
    assert model.ood_head.score_mean.isnan().all()
    assert model.compound


@pytest.mark.parametrize('size', [1, 2, 4])
def test_statistics_of_all_valid_pixels(size):
    model, data = unfitted(), batches(size=size)
    expected = by_hand(model, data)
    check(fit(model, data), expected)
    head = model.ood_head
    check((head.score_mean, head.score_std), expected)
    # The compound score of the same pixels is centred.
    samples = [s for batch in data for s in model.test_step(batch)]
    compound = torch.cat(
        [s.pred_ood.compound[0][s.gt_sem_seg.data[0] != 255] for s in samples]
    )
    assert compound.mean().abs() < 1e-4


def test_a_single_pixel_has_no_deviation():
    model, data = unfitted(), batches(1)
    data[0]['data_samples'][0].gt_sem_seg.data.fill_(255)[0, 3, 4] = 0
    _, std = fit(model, data)
    assert (std < 1e-6).all()
    sample = model.test_step(data[0])[0]
    assert torch.isfinite(sample.pred_ood.compound).all()


def test_labels_of_the_resized_image():
    """The scores have the original's size, the label half of it."""
    model, data = unfitted(), batches(2)
    for batch in data:
        batch['data_samples'][0].set_metainfo(dict(ori_shape=(64, 64)))
    expected = by_hand(model, data, lambda scores: scores[:, 1::2, 1::2])
    check(fit(model, data), expected)


class Loader:
    """A loader that counts the batches that it was asked for."""

    def __init__(self, batches, images):
        self.batches, self.dataset, self.count = batches, range(images), 0

    def __iter__(self):
        for batch in self.batches:
            self.count += 1
            yield batch


@pytest.mark.parametrize('size', [1, 2, 4])
@pytest.mark.parametrize('limit', [1, 3, 4, 99, None])
def test_at_most_so_many_images(limit, size):
    """And no batch more than needed."""
    model, data = unfitted(), batches(8)
    taken = min(limit or 8, 8)
    expected = by_hand(model, data[:taken])
    loader = Loader(rebatch(data, size), 8)
    check(fit(model, loader, limit), expected)
    assert loader.count == -(-taken // size)


def rebatch(data, size):
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    return [
        {key: [value for one in part for value in one[key]] for key in part[0]}
        for part in parts
    ]


@pytest.mark.parametrize(('rank', 'share'), [(0, [0, 2, 4]), (1, [1, 3])])
@pytest.mark.parametrize('limit', [5, None])
def test_images_that_a_sampler_repeats_do_not_count(
    monkeypatch, rank, share, limit
):
    """Two processes with five images: the second repeats the first one."""
    model, data = unfitted(), batches(8 if limit else 5)
    own = [data[i] for i in range(rank, len(data), 2)]
    if len(own) < 3:
        own.append(data[0])
    expected = by_hand(model, [data[i] for i in share])
    module = sys.modules['mmood.hooks.fit_scores']
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    monkeypatch.setattr(module, 'get_rank', lambda: rank)
    check(fit(model, Loader(own, len(data)), limit), expected)


@pytest.mark.parametrize('training', [True, False])
def test_the_model_is_left_as_it_was(training):
    model = unfitted().train(training)
    model.compound = training
    fit_scores(model, batches(1))
    assert model.training == training and model.compound == training
    assert model.ood_head.training == training
    with pytest.raises(KeyError):
        fit_scores(model, [dict()])
    assert model.training == training and model.compound == training


def runner(model, data=(), **more):
    lines = []
    logger = SimpleNamespace(info=lines.append, warning=lines.append)
    built = dict(build_dataloader=lambda cfg: data, logger=logger)
    more = dict(hooks=[], **more)
    return SimpleNamespace(model=model, lines=lines, **built, **more)


def test_the_hook_fits_before_validation_in_training_alone():
    model, data = unfitted(), batches(2)
    hook, run = FitScoresHook(dict(batch_size=1)), runner(model, data)
    hook.before_val_iter(run, 0)
    assert model.ood_head.score_mean.isnan().all() and not run.lines
    hook.before_train(run)
    hook.before_val_iter(run, 1)
    assert model.ood_head.score_mean.isnan().all() and not run.lines
    hook.before_val_iter(run, 0)
    mean, std = by_hand(model, data)
    check((model.ood_head.score_mean, model.ood_head.score_std), (mean, std))
    assert f'diffusion {mean[1]:.4f} ± {std[1]:.4f}' in run.lines[0]


def test_the_hook_takes_a_wrapped_model_and_its_limit():
    model, data = unfitted(), batches(3)
    hook = FitScoresHook(dict(batch_size=1), max_images=2)
    run = runner(DataParallel(model), data)
    hook.before_train(run)
    hook.before_val_iter(run, 0)
    expected = by_hand(model, data[:2])
    check((model.ood_head.score_mean, model.ood_head.score_std), expected)


def test_a_fit_that_fails_on_another_rank_fails_here(monkeypatch):
    """So that no rank waits for it in a collective call."""
    module = sys.modules['mmood.hooks.fit_scores']
    monkeypatch.setattr(module, 'all_reduce', lambda failed: failed.add_(1))
    model = unfitted()
    with pytest.raises(RuntimeError, match='failed on 1 other ranks'):
        fit_scores(model, batches(1))
    assert model.compound and model.ood_head.score_mean.isnan().all()


def test_a_fit_that_fails_leaves_the_other_score(monkeypatch):
    model, data = unfitted(), batches(1)
    data[0]['data_samples'][0].gt_sem_seg.data.fill_(255)
    hook, run = FitScoresHook(dict(batch_size=1)), runner(model, data)
    hook.before_train(run)
    hook.before_val_iter(run, 0)
    assert 'no valid pixel to fit' in run.lines[-1]
    assert 'compound' not in model.test_step(data[0])[0].pred_ood
    hook.after_val_epoch(run, {})  # a test is stricter
    with pytest.raises(RuntimeError, match='no statistics of the ID scores'):
        model.test_step(data[0])


# ----------------------------------------------------------- threshold
@pytest.mark.parametrize('wrap', [DataParallel, lambda model: model])
def test_the_threshold_of_the_validation_is_stored(wrap):
    model = build_segmentor()
    metrics = {
        'ood/ood_threshold': 7.0,
        'ood/ood_threshold/diffusion': -0.5,
        'ood/ood_threshold/compound': 1.25,
        'ood/ood_threshold/energy': -3.0,
    }
    CalibrateOODHook().after_val_epoch(runner(wrap(model)), metrics)
    assert model.ood_threshold == model.ood_thresholds['compound'] == 1.25
    assert model.ood_thresholds['diffusion'] == -0.5
    sample = model.test_step(batches(1)[0])[0].pred_ood
    assert torch.equal(sample.is_ood, sample.data > 1.25)


def test_no_id_pixel_leaves_the_threshold():
    model = build_segmentor()
    model.ood_threshold.fill_(3)
    run = runner(model)
    nan = {'ood/ood_threshold/compound': float('nan')}
    CalibrateOODHook().after_val_epoch(run, nan)
    assert model.ood_threshold == 3
    start = 'ood_threshold/compound stays uncalibrated'
    assert run.lines[0].startswith(start)


@pytest.mark.parametrize(
    'metrics', [None, {}, {'mIoU': 3.0}, {'ood/ood_threshold': 1.0}]
)
def test_a_metric_without_a_threshold(metrics):
    message = r'calibrate ood_threshold/compound, .*mmood.OODSegMetric'
    with pytest.raises(ValueError, match=message):
        CalibrateOODHook().after_val_epoch(runner(build_segmentor()), metrics)


def test_a_model_without_a_threshold():
    model = build_segmentor().backbone
    with pytest.raises(ValueError, match='be an mmood.OODEncoderDecoder'):
        CalibrateOODHook().after_val_epoch(
            runner(model), {'ood/ood_threshold': 1.0}
        )


def test_calibration_needs_a_validation_set():
    run = runner(build_segmentor(), val_loop=None)
    with pytest.raises(ValueError, match='set val_dataloader'):
        CalibrateOODHook().before_train(run)
