"""Fits and thresholds in checkpoints: when they are made, whose they are."""

import copy
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from mmood.hooks import CalibrateOODHook, FitScoresHook
from mmood.scores import Samples, ScoreSet

STEPS = 4  # of one image each


class Images(Dataset):
    metainfo = dict(classes=('ant', 'bee'))

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        return dict(inputs=torch.full((2,), 1.0 + index), data_samples=index)


class Toy(BaseModel):
    """Its scores are its weight (`energy`), a kNN of weighted images."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        knn = dict(type='knn', k=1, normalize=False)
        self.scores = ScoreSet(['energy', knn], num_classes=2, channels=2)
        self.keeps_samples = False
        self.fails = None

    @property
    def knn(self):
        return self.scores.fitted['knn']

    def forward(self, inputs, data_samples=None, mode='loss'):
        x = inputs * self.weight
        if mode == 'loss':
            return dict(loss=x.sum())
        scores = dict(energy=self.weight.detach().mean())
        if self.knn.is_fitted:
            scores['knn'] = self.knn.bank.mean()
        return [dict(x=row, scores=scores) for row in x]

    def fit_samples(self, sample):
        if self.fails:
            raise self.fails
        yield Samples(features=sample['x'][None]), torch.zeros(1), None


class Metric(BaseMetric):
    """Thresholds that tell the weights they were made with."""

    default_prefix = 'ood'

    def __init__(self):
        super().__init__()
        self.calls = 0

    def process(self, data_batch, data_samples):
        self.results.extend(sample['scores'] for sample in data_samples)

    def compute_metrics(self, results):
        self.calls += 1
        found = {
            f'ood_threshold/{k}': float(results[0][k]) for k in results[0]
        }
        return dict(found, mAP=float(self.calls))


@pytest.fixture
def train(tmp_path):
    """Function: train a `Toy`; the runner."""

    def run(
        *hooks, model=None, by_epoch=True, checkpoint=None, resume=None, **loop
    ):
        loader = dict(
            dataset=Images(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=1,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
        )
        kind = 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop'
        length = dict(max_epochs=2) if by_epoch else dict(max_iters=2 * STEPS)
        saving = dict(
            type='CheckpointHook',
            by_epoch=by_epoch,
            interval=1 if by_epoch else STEPS,
        )
        runner = Runner(
            model or Toy(),
            str(tmp_path),
            train_dataloader=dict(
                loader, sampler=dict(type='InfiniteSampler', shuffle=False)
            )
            if not by_epoch
            else loader,
            val_dataloader=copy.deepcopy(loader),
            val_evaluator=Evaluator(Metric()),
            train_cfg=dict(type=kind, **{**length, **loop}),
            val_cfg=dict(type='ValLoop'),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_hooks=dict(checkpoint={**saving, **(checkpoint or {})}),
            custom_hooks=[
                *hooks,
                FitScoresHook(loader),
                CalibrateOODHook(),
            ],
            load_from=resume,
            resume=bool(resume),
            default_scope='mmengine',
            experiment_name=tmp_path.name,
            log_level='ERROR',
        )
        runner.train()
        return runner

    return run


def load(path):
    return torch.load(path, weights_only=True)


def assert_own(state, prefix=''):
    """The thresholds and the bank are those of the weights."""
    weight = state[f'{prefix}weight']
    limits = f'{prefix}scores.thresholds'
    torch.testing.assert_close(state[f'{limits}.energy'], weight.mean())
    bank = state[f'{prefix}scores.knn.bank'].sort(0).values
    images = torch.arange(1.0, STEPS + 1)[:, None]
    torch.testing.assert_close(bank, (images * weight).sort(0).values)
    assert state[f'{prefix}scores.knn.is_fitted']
    torch.testing.assert_close(state[f'{limits}.knn'], bank.mean())


def assert_none(state):
    assert state['scores.thresholds.energy'].isnan()
    assert not state['scores.knn.is_fitted']
    assert not len(state['scores.knn.bank'])


AVERAGES = [
    dict(momentum=0.3),
    dict(momentum=0.3, update_buffers=True),
    dict(ema_type='StochasticWeightAverage', update_buffers=True),
    dict(ema_type='StochasticWeightAverage', begin_iter=3),
]


@pytest.mark.parametrize('options', AVERAGES)
@pytest.mark.parametrize('priority', ['VERY_HIGH', 'NORMAL', 'LOW'])
@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_checkpoint_has_the_fits_of_the_average_it_holds(
    train, tmp_path, options, priority, by_epoch
):
    """In the loop's validations and in the last one, in the best one too."""
    hook = EMAHook(**options)
    hook.priority = priority
    unit = 1 if by_epoch else STEPS
    runner = train(
        hook,
        by_epoch=by_epoch,
        val_interval=unit,
        checkpoint=dict(save_best='ood/mAP', rule='greater'),
    )
    name = 'epoch_{}.pth' if by_epoch else 'iter_{}.pth'
    raw, average = runner.model.weight, hook.ema_model.module.weight
    assert not torch.allclose(raw, average)
    best = next(tmp_path.glob('best_*.pth'))
    for path in (tmp_path / name.format(2 * unit), best):
        checkpoint = load(path)
        assert torch.equal(checkpoint['state_dict']['weight'], average)
        assert_own(checkpoint['state_dict'])
    first = load(tmp_path / name.format(unit))
    assert_own(first['state_dict'])
    assert not torch.allclose(first['state_dict']['weight'], average)


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize(
    'loop', [dict(), dict(val_begin=99), dict(val_interval=10**9)]
)
def test_one_validation_after_the_last_step(train, tmp_path, by_epoch, loop):
    runner = train(by_epoch=by_epoch, **loop)
    each = by_epoch and not loop  # mmengine's default is every epoch
    assert runner.val_loop.evaluator.metrics[0].calls == 1 + each
    last = 'epoch_2.pth' if by_epoch else f'iter_{2 * STEPS}.pth'
    assert_own(load(tmp_path / last)['state_dict'])


def test_between_validations_there_are_none(train, tmp_path):
    """A checkpoint of weights that no validation has seen."""
    train(by_epoch=False, val_interval=3, checkpoint=dict(interval=1))
    for step in range(1, 2 * STEPS + 1):
        state = load(tmp_path / f'iter_{step}.pth')['state_dict']
        if step % 3 and step < 2 * STEPS:
            assert_none(state)
        else:
            assert_own(state)


def test_a_new_training_forgets_what_it_was_given(train, tmp_path):
    model = Toy()
    model.scores.thresholds['energy'].fill_(5)
    model.knn.load_state_dict(
        dict(
            bank=torch.ones(7, 2),
            is_fitted=torch.tensor(True),
            class_code=torch.tensor(0),
        )
    )
    average = EMAHook(update_buffers=True)
    train(average, model=model, val_begin=9, checkpoint=dict(interval=1))
    assert_none(load(tmp_path / 'epoch_1.pth')['state_dict'])
    assert_own(load(tmp_path / 'epoch_2.pth')['state_dict'])


@pytest.mark.parametrize('error', [IndexError('9'), RuntimeError('9')])
def test_a_fit_that_fails_keeps_the_training(train, tmp_path, error):
    model = Toy()
    model.fails = error
    train(model=model, val_begin=9)
    state = load(tmp_path / 'epoch_2.pth')['state_dict']
    assert torch.equal(state['weight'], model.weight)
    torch.testing.assert_close(
        state['scores.thresholds.energy'], state['weight'].mean()
    )
    assert not state['scores.knn.is_fitted']
    assert state['scores.thresholds.knn'].isnan()
    assert not model.scores.skips_unfitted


def test_a_validation_that_fails_keeps_the_training(
    train, tmp_path, monkeypatch
):
    def fail(self, results):
        raise IndexError('no such class')

    monkeypatch.setattr(Metric, 'compute_metrics', fail)
    model = Toy()
    with pytest.raises(IndexError, match='no such class'):
        train(model=model, val_begin=9)
    state = load(tmp_path / 'epoch_2.pth')['state_dict']
    assert torch.equal(state['weight'], model.weight)


def test_an_average_behind_the_saving_is_refused(train):
    hook = EMAHook()
    hook.priority = 'LOWEST'
    with pytest.raises(ValueError, match='EMAHook.*priority to .NORMAL'):
        train(hook)


@pytest.mark.parametrize('options', [None, *AVERAGES[:2]])
@pytest.mark.parametrize('ended', [True, False])
def test_a_resumed_training_has_them_in_the_end(
    train, tmp_path, options, ended
):
    """Also one that was killed between its end and the calibration."""

    def hooks():
        return [] if options is None else [EMAHook(**options)]

    train(*hooks(), val_interval=1)
    path = tmp_path / 'epoch_2.pth'
    whole = load(path)['state_dict']
    if ended:
        checkpoint = load(path)
        for prefix, state in (
            ('', checkpoint['state_dict']),
            ('module.', checkpoint.get('ema_state_dict', {})),
        ):
            for name in [n for n in state if '.thresholds.' in n]:
                if not name.endswith('.arguments'):
                    state[name] = torch.tensor(float('nan'))
            if state:
                knn = f'{prefix}scores.knn'
                state[f'{knn}.is_fitted'] = torch.tensor(False)
                state[f'{knn}.bank'] = torch.zeros(0, 2)
        torch.save(checkpoint, path)
    else:
        path.unlink()
    start = path if ended else tmp_path / 'epoch_1.pth'
    train(*hooks(), resume=str(start), val_interval=1)
    state = load(path)['state_dict']
    torch.testing.assert_close(state['weight'], whole['weight'])
    assert_own(state)


def test_the_best_checkpoint_may_be_the_only_one(train, tmp_path):
    saving = dict(interval=-1, save_last=False, save_best='auto')
    train(checkpoint=dict(saving, rule='greater'), val_begin=9)
    (path,) = tmp_path.glob('*.pth')
    assert path.name.startswith('best_')
    assert_own(load(path)['state_dict'])


def test_a_resumed_checkpoint_that_was_moved_is_updated(train, tmp_path):
    """It says itself where it lay, and that place is no more."""
    model = Toy()
    model.fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        train(model=model, val_begin=9)
    path = (tmp_path / 'epoch_2.pth').rename(tmp_path / 'moved.pth')
    assert_none(load(path)['state_dict'])
    train(resume=str(path), val_begin=9)
    assert_own(load(path)['state_dict'])
    assert not (tmp_path / 'epoch_2.pth').exists()


def test_without_a_last_checkpoint_it_says_so(train, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmengine.logging.MMLogger.warning',
        lambda self, text, *args, **kwargs: lines.append(text),
    )
    train(checkpoint=dict(interval=5, save_last=False), val_begin=9)
    assert not [*tmp_path.glob('*.pth')]
    assert 'no checkpoint has the weights' in lines[-1]


def test_a_test_says_why_nothing_is_called_ood(caplog):
    """Not if there never was a threshold, nor if there is one by now."""
    given = ScoreSet(['msp'], num_classes=2)
    given.thresholds['msp'].fill_(1.0)
    state = {f'scores.{k}': v for k, v in given.state_dict().items()}
    runner = SimpleNamespace(model=Toy(), logger=logging.getLogger('test'))
    hook = CalibrateOODHook()
    for checkpoint, value, count in (
        (state, float('nan'), 1),
        (state, 2.0, 0),
        ({}, float('nan'), 0),
    ):
        caplog.clear()
        runner.model.load_state_dict(checkpoint, strict=False)
        runner.model.scores.thresholds['energy'].fill_(value)
        hook.before_test_epoch(runner)
        assert len(caplog.messages) == count
        for message in caplog.messages:
            assert 'for msp, not for energy' in message
            assert 'tools/fit_scores.py' in message
