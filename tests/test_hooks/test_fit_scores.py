"""FitScoresHook and CalibrateOODHook on a model that has scores.

Shapes: an image is n samples with logits (n, 3).
"""

import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.parallel import DataParallel

from helpers import assert_near
from mmood.hooks import CalibrateOODHook, FitScoresHook, fit_scores
from mmood.scores import (
    MaskQueries,
    Samples,
    ScoreSet,
    energy,
    fit_temperature,
    max_logit,
    msp,
)

COMPOUND = dict(type='compound', of=['energy', 'max_logit'])


class Toy(nn.Module):
    """An adapter without a detector: predictions are the batch itself."""

    def __init__(self, scores=(COMPOUND, 'energy', 'max_logit')):
        super().__init__()
        self.scores = ScoreSet(scores, num_classes=3, channels=3)
        self.keeps_samples = False

    def test_step(self, batch):
        if not self.keeps_samples:
            return [self.scores(Samples(logits=x, features=x)) for x in batch]
        assert not self.training
        return batch

    def fit_samples(self, x):
        samples = self.scores.with_values(Samples(logits=x, features=x))
        labels = torch.zeros(len(x), dtype=torch.long)
        keys = x.double().sum(1).mul(1e6).long()  # of its own each
        yield samples, labels, keys


class Loader:
    """A loader that counts the batches that it was asked for."""

    def __init__(self, images, size=1, of=None):
        self.images, self.size, self.count = images, size, 0
        self.dataset = range(len(images) if of is None else of)

    def __iter__(self):
        for i in range(0, len(self.images), self.size):
            self.count += 1
            yield self.images[i : i + self.size]


def images(count=4):
    """Each with one sample more than the one before."""
    torch.manual_seed(3)
    return [torch.randn(5 + i, 3) * (1 + i) for i in range(count)]


def check(model, taken):
    """Mean and deviation of both scores over the samples of the images."""
    rows = torch.cat(list(taken)).double()
    both = torch.stack([energy(rows), max_logit(rows)])
    score = model.scores.fitted['compound']
    assert score.is_fitted
    assert_near(score.mean, both.mean(1))
    assert_near(score.std, both.std(1))


def test_no_sample():
    for loader in ([], Loader([torch.zeros(0, 3)])):
        model = Toy()
        with pytest.raises(ValueError, match='0 ID samples to fit'):
            fit_scores(model, loader)
        assert not model.scores.fitted['compound'].is_fitted
        assert not model.keeps_samples


def test_nothing_to_fit():
    for model in (Toy(['energy']), nn.Linear(2, 2)):
        with pytest.raises(ValueError, match='has no score to fit: add one'):
            fit_scores(model, Loader(images()))


@pytest.mark.parametrize('size', [1, 2, 4])
def test_statistics_are_of_all_samples(size):
    model, data = Toy(), images()
    said = fit_scores(model, Loader(data, size))
    check(model, data)
    assert said == 'compound fitted on 26 samples a rank'
    # The compound score of the same samples is centred.
    found = [x for batch in Loader(data) for x in model.test_step(batch)]
    assert torch.cat([x['compound'] for x in found]).mean().abs() < 1e-5


@pytest.mark.parametrize('size', [1, 2, 4])
@pytest.mark.parametrize('limit', [1, 3, 4, 99, None])
def test_at_most_so_many_images(limit, size):
    """And no batch more than needed."""
    model, loader = Toy(), Loader(images(8), size)
    fit_scores(model, loader, limit)
    taken = min(limit or 8, 8)
    check(model, loader.images[:taken])
    assert loader.count == -(-taken // size)


@pytest.mark.parametrize(('limit', 'size'), [(3, 2), (None, 3), (99, 1)])
def test_the_bar_ends_full(monkeypatch, limit, size):
    bars, module = [], sys.modules['mmood.hooks.fit_scores']
    whole = module.tqdm

    def tqdm(*args, **kwargs):
        bars.append(whole(*args, **kwargs))
        return bars[-1]

    monkeypatch.setattr(module, 'tqdm', tqdm)
    fit_scores(Toy(), Loader(images(8), size), limit)
    (bar,) = bars
    assert bar.n == bar.total == min(limit or 8, 8)


def test_a_compound_of_fitted_scores_takes_a_second_pass():
    scores = [
        dict(type='compound', of=['energy', 'knn']),
        'energy',
        dict(type='knn', k=1),
    ]
    model, loader = Toy(scores), Loader(images(3))
    said = fit_scores(model, loader)
    assert said == (
        'knn fitted on 18 samples a rank; compound fitted on 18 samples a rank'
    )
    assert loader.count == 6
    rows = torch.cat(loader.images)
    values = model.scores(Samples(logits=rows, features=rows))
    both = torch.stack([values['energy'], values['knn']]).double()
    compound = model.scores.fitted['compound']
    assert_near(compound.mean, both.mean(1))
    assert_near(compound.std, both.std(1))


@pytest.mark.parametrize(('rank', 'share'), [(0, [0, 2, 4]), (1, [1, 3])])
@pytest.mark.parametrize('limit', [5, None])
def test_images_that_a_sampler_repeats_do_not_count(
    monkeypatch, rank, share, limit
):
    """Two processes with five images: the second repeats the first one."""
    model, data = Toy(), images(8 if limit else 5)
    own = [data[i] for i in range(rank, len(data), 2)]
    if len(own) < 3:
        own.append(data[0])
    module = sys.modules['mmood.hooks.fit_scores']
    monkeypatch.setattr(module, 'get_world_size', lambda: 2)
    monkeypatch.setattr(module, 'get_rank', lambda: rank)
    fit_scores(model, Loader(own, of=len(data)), limit)
    check(model, [data[i] for i in share])


@pytest.mark.parametrize('training', [True, False])
def test_the_model_is_left_as_it_was(training):
    model = Toy().train(training)
    fit_scores(model, Loader(images()))
    assert model.training == training and not model.keeps_samples
    model.fit_samples = None
    with pytest.raises(TypeError):
        fit_scores(model, Loader(images()))
    assert model.training == training and not model.keeps_samples


def runner(model, data=(), **more):
    lines = []
    logger = SimpleNamespace(info=lines.append, warning=lines.append)
    built = dict(build_dataloader=lambda cfg: data, logger=logger)
    more = dict(hooks=[], **more)
    return SimpleNamespace(model=model, lines=lines, **built, **more)


def test_the_hook_fits_before_validation_in_training_alone():
    model, data = Toy(), Loader(images(2))
    score = model.scores.fitted['compound']
    hook, run = FitScoresHook(dict(batch_size=1)), runner(model, data)
    hook.before_val_iter(run, 0)
    assert not score.is_fitted and not run.lines
    hook.before_train(run)
    hook.before_val_iter(run, 1)
    assert not score.is_fitted and not run.lines
    hook.before_val_iter(run, 0)
    check(model, data.images)
    assert run.lines[0] == 'fitting scores on 2 images'
    assert run.lines[1] == 'compound fitted on 11 samples a rank'


def test_the_hook_takes_a_wrapped_model_and_its_limit():
    model, data = Toy(), Loader(images(3))
    hook = FitScoresHook(dict(batch_size=1), max_images=2)
    run = runner(DataParallel(model), data)
    hook.before_train(run)
    hook.before_val_iter(run, 0)
    check(model, data.images[:2])


def of_validation(count=3, sharp=3.0):
    """Images whose labels, class 0, are often and not always right."""
    data = images(count)
    for x in data:
        x[:, 0] += x[:, 1:].amax(1) / 2
        x *= sharp
    return Loader(data)


def temperature_of(data):
    rows = torch.cat(list(data.images))
    return fit_temperature(rows, torch.zeros(len(rows), dtype=torch.long))


WITH_TEMPERATURE = (
    dict(type='compound', of=['temperature', 'energy']),
    'temperature',
    'energy',
    dict(type='knn', k=1),
)


def test_validation_images_have_a_pass_of_their_own():
    """Before compounds, which see the training images."""
    model, train, validation = (
        Toy(WITH_TEMPERATURE),
        images(4),
        of_validation(),
    )
    stages = model.scores.stages()
    assert stages == [['knn'], ['temperature'], ['compound']]
    loader = Loader(train)
    said = fit_scores(model, loader, None, validation)
    assert said.count('fitted on 26 samples') == 2
    assert 'temperature fitted on 18 samples' in said
    assert (loader.count, validation.count) == (8, 3)
    score = model.scores.fitted['temperature']
    expected = temperature_of(validation)
    assert score.temperature.item() == pytest.approx(expected, rel=1e-4)
    rows = torch.cat(train)
    both = torch.stack([msp(rows / expected), energy(rows)]).double()
    assert_near(model.scores.fitted['compound'].mean, both.mean(1), 1e-3)


def test_without_validation_images_the_others_are_fitted():
    model = Toy(WITH_TEMPERATURE)
    message = 'temperature is fitted on ID validation .* set val_dataloader'
    with pytest.raises(ValueError, match=message):
        fit_scores(model, Loader(images()))
    found = {k: bool(v.is_fitted) for k, v in model.scores.fitted.items()}
    assert found == dict(compound=False, temperature=False, knn=True)


class Prediction(torch.Tensor):
    """Samples of a set that says what it is."""


def test_ood_images_among_those_of_the_validation_do_not_count():
    model, validation = Toy(['temperature']), of_validation()
    expected = temperature_of(validation)
    for origin, x in zip(('id', 'ood'), images(2)):
        more = validation.images[0] / 2 if origin == 'id' else 5 * x
        validation.images.append(more.as_subclass(Prediction))
        validation.images[-1].origin = origin
    validation.dataset = range(5)
    fit_scores(model, Loader(images()), None, validation)
    found = model.scores.fitted['temperature'].temperature.item()
    validation.images.pop()
    assert found == pytest.approx(temperature_of(validation), rel=1e-4)
    assert found != pytest.approx(expected, rel=1e-4)


def test_the_hook_builds_the_validation_loader_for_those_who_want_it():
    """Another one than the runner's, which may be in use."""
    model, train, validation = Toy(['temperature']), images(2), of_validation()
    cfg = dict(val_dataloader=dict(of='val'), fit_dataloader=dict(of='fit'))
    loaders = dict(val=validation, fit=Loader(train))
    hook, run = FitScoresHook(), runner(model, cfg=cfg)
    run.build_dataloader = lambda one: loaders[one['of']]
    hook.before_train(run)
    hook.before_val_iter(run, 0)
    assert run.lines == [
        'fitting scores on 2 images',
        'temperature fitted on 18 samples a rank',
    ]
    found = model.scores.fitted['temperature'].temperature.item()
    assert found == pytest.approx(temperature_of(validation), rel=1e-4)


def test_the_hook_wants_images_with_outliers_for_those_who_do():
    """Before the training; the loader is built when it is fitted."""

    class Masks(Toy):
        def __init__(self):
            nn.Module.__init__(self)
            self.scores = ScoreSet(['maskomaly'], num_classes=3, kind='mask')
            self.keeps_samples = False

        def fit_samples(self, x):
            queries = MaskQueries(torch.zeros(1, 2, 4), x[None], (2, 3))
            labels = torch.tensor([[[254, 254, 0], [0, 1, -1]]])
            yield Samples(kind='mask', queries=queries), labels, None

    model, hook = Masks(), FitScoresHook()
    cfg = dict(fit_dataloader=dict(of='fit'))
    message = 'maskomaly is fitted on .* outliers: set ood.outlier_fit'
    with pytest.raises(ValueError, match=message):
        hook.before_train(runner(model, cfg=cfg))
    # The first query finds two of three pixels, one where nothing is known.
    masks = torch.tensor([[[5.0, -5, 5], [-5, -5, 5]], [[-5.0] * 3] * 2])
    loaders = dict(fit=Loader(images(2)), val=Loader([masks]))
    cfg['outlier_dataloader'] = dict(of='val')
    hook, run = FitScoresHook(), runner(model, cfg=cfg)
    run.build_dataloader = lambda one: loaders[one['of']]
    hook.before_train(run)
    hook.before_val_iter(run, 0)
    assert run.lines[-1] == 'maskomaly fitted on 1 samples a rank'
    assert loaders['fit'].count == 0
    score = model.scores.fitted['maskomaly']
    assert_near(score.mean_iou, torch.tensor([1 / 3, 0]).double())
    assert score.kept.tolist() == [0]


def test_a_fit_that_fails_on_another_rank_fails_here(monkeypatch):
    """So that no rank waits for it in a collective call."""
    module = sys.modules['mmood.hooks.fit_scores']
    monkeypatch.setattr(module, 'all_reduce', lambda failed: failed.add_(1))
    model = Toy()
    with pytest.raises(RuntimeError, match='failed on 1 other ranks'):
        fit_scores(model, Loader(images(1)))
    assert not model.scores.fitted['compound'].is_fitted


def test_a_fit_that_fails_leaves_the_other_scores():
    model, data = Toy(), Loader([torch.zeros(0, 3)])
    hook, run = FitScoresHook(dict(batch_size=1)), runner(model, data)
    hook.before_train(run)
    hook.before_val_iter(run, 0)
    assert '0 ID samples to fit' in run.lines[-1]
    found = model.test_step(images(1))[0]
    assert set(found) == {'energy', 'max_logit'}
    hook.after_val_epoch(run, {})  # a test is stricter
    with pytest.raises(RuntimeError, match='not fitted'):
        model.test_step(images(1))


@pytest.mark.parametrize('wrap', [DataParallel, lambda model: model])
def test_the_thresholds_of_the_validation_are_stored(wrap):
    model = Toy()
    metrics = {
        'ood/ood_threshold': 7.0,
        'ood/ood_threshold/max_logit': -0.5,
        'ood/ood_threshold/compound': 1.25,
        'ood/ood_threshold/energy': -3.0,
    }
    CalibrateOODHook().after_val_epoch(runner(wrap(model)), metrics)
    limits = model.scores.thresholds
    assert (limits['compound'], limits['energy']) == (1.25, -3.0)
    assert limits['max_logit'] == -0.5


def test_no_id_sample_leaves_the_threshold():
    model = Toy()
    model.scores.thresholds['compound'].fill_(3)
    run = runner(model)
    nan = {'ood/ood_threshold/compound': float('nan')}
    CalibrateOODHook().after_val_epoch(run, nan)
    assert model.scores.thresholds['compound'] == 3
    start = 'ood_threshold/compound stays uncalibrated'
    assert run.lines[0].startswith(start)


@pytest.mark.parametrize(
    'metrics', [None, {}, {'mIoU': 3.0}, {'ood/ood_threshold': 1.0}]
)
def test_a_metric_without_a_threshold(metrics):
    message = r'calibrate ood_threshold/compound, .*mmood.OODSegMetric'
    with pytest.raises(ValueError, match=message):
        CalibrateOODHook().after_val_epoch(runner(Toy()), metrics)


def test_a_model_without_a_threshold():
    with pytest.raises(ValueError, match='an mmood.OODEncoderDecoder has'):
        CalibrateOODHook().after_val_epoch(
            runner(nn.Linear(2, 2)), {'ood/ood_threshold': 1.0}
        )


def test_calibration_needs_a_validation_set():
    run = runner(Toy(), val_loop=None)
    with pytest.raises(ValueError, match='set val_dataloader'):
        CalibrateOODHook().before_train(run)


def test_a_test_is_told_of_thresholds_that_do_not_fit():
    """A training that starts from such a checkpoint makes its own."""
    source, model = Toy(['max_logit']), Toy(['energy'])
    source.scores.thresholds['max_logit'].fill_(1.0)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model.load_state_dict(source.state_dict(), strict=False)
    hook, run = CalibrateOODHook(), runner(model, val_loop=1)
    hook.before_train(run)
    assert not run.lines
    hook.before_test_epoch(run)
    (line,) = run.lines
    assert 'not for energy, the first score: nothing is called OOD' in line
