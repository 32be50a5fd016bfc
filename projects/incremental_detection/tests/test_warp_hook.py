"""Gradient preconditioning against stochastic gradient descent by hand."""

import pytest
import torch
from mmengine.runner import Runner

from helpers import assert_near
from projects.incremental_detection.incremental_detection import (
    WarpGradientHook,
)
from projects.incremental_detection.incremental_detection.warp_hook import (
    warp_parameters,
)
from projects.incremental_detection.tests.warped_toy import (
    BATCH,
    DECAY,
    LR,
    MOMENTUM,
    STORED,
    STORED_BATCH,
    WarpedToy,
    by_hand,
)


def loader(seed, count, batch, **more):
    return dict(
        batch_size=batch,
        num_workers=0,
        dataset=dict(type='ToySamples', seed=seed, count=count),
        **more,
    )


def hook(layers=('warp',), **more):
    return dict(
        type='mmood.WarpGradientHook',
        layers=list(layers),
        dataloader=loader(2, STORED, STORED_BATCH),
        **{'interval': 2, **more},
    )


def train(folder, hooks, iterations=9, **more):
    runner = Runner(
        model=dict(type='mmood.WarpedToy'),
        work_dir=str(folder),
        experiment_name=f'{folder.name}{len(more)}{iterations}',
        train_dataloader=loader(
            1, 4, BATCH, sampler=dict(type='InfiniteSampler', shuffle=False)
        ),
        train_cfg=dict(by_epoch=False, max_iters=iterations),
        optim_wrapper=dict(
            optimizer=dict(
                type='SGD', lr=LR, momentum=MOMENTUM, weight_decay=DECAY
            ),
            clip_grad=dict(max_norm=1e6),
            **more.pop('optim_wrapper', {}),
        ),
        param_scheduler=dict(
            type='MultiStepLR', by_epoch=False, milestones=[4], gamma=0.5
        ),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=5, by_epoch=False)
        ),
        custom_hooks=hooks,
        default_scope='mmengine',
        log_level='WARNING',
        **more,
    )
    runner.train()
    return runner


def logged(runner, name):
    values, _ = runner.message_hub.get_scalar(f'train/{name}').data
    return values.tolist()


@pytest.mark.parametrize('layer', ['warp', 'warp.1'])
def test_training_is_the_descent_by_hand(tmp_path, layer):
    runner = train(tmp_path, [hook([layer])])
    expected = by_hand(layer=f'{layer}.')
    state = runner.model.state_dict()
    for name, value in expected.values.items():
        torch.testing.assert_close(state[name], value, atol=1e-5, rtol=1e-4)
    assert logged(runner, 'loss') == pytest.approx(expected.losses, rel=1e-4)


def test_a_warp_step_is_no_iteration(tmp_path):
    """Statistics, counts, rates and logs are those of the task steps."""
    runner = train(tmp_path, [hook()])
    expected = by_hand()
    norm = runner.model.norm
    torch.testing.assert_close(norm.running_mean, expected.mean)
    torch.testing.assert_close(norm.running_var, expected.var)
    assert norm.num_batches_tracked == 9
    assert runner.iter == 9
    assert len(logged(runner, 'grad_norm')) == 9
    rates = logged(runner, 'lr')
    assert rates == pytest.approx([LR] * 4 + [LR / 2] * 5)


def test_each_step_changes_its_own_parameters_alone(tmp_path):
    seen = []

    class Watch(WarpGradientHook):
        def before_train_iter(self, runner, *args, **kwargs):
            self.keep(runner)

        def after_train_iter(self, runner, *args, **kwargs):
            self.compare(runner, 'task')
            self.keep(runner)
            super().after_train_iter(runner, *args, **kwargs)
            self.compare(runner, 'warp step')

        def keep(self, runner):
            state = runner.model.state_dict()
            self.state = {n: v.clone() for n, v in state.items()}

        def compare(self, runner, step):
            changed = [
                name
                for name, value in runner.model.state_dict().items()
                if not torch.equal(value, self.state[name])
            ]
            seen.append((step, {name.split('.')[0] for name in changed}))

    config = hook()
    config.pop('type')
    train(tmp_path, [Watch(**config)], iterations=4)
    task, warp = ('task', {'task', 'norm'}), ('warp step', {'warp'})
    nothing = ('warp step', set())
    assert seen == [task, nothing, task, warp] * 2


@pytest.mark.parametrize('interval', [1, 2])
def test_a_resumed_training_goes_on_alike(tmp_path, interval):
    hooks = [hook(interval=interval)]
    whole = train(tmp_path / 'whole', hooks).model.state_dict()
    folder = tmp_path / 'parts'
    train(folder, [hook(interval=interval)], iterations=5)
    parts = train(
        folder,
        [hook(interval=interval)],
        resume=True,
        load_from=str(folder / 'iter_5.pth'),
    ).model.state_dict()
    for name, value in whole.items():
        assert_near(parts[name], value)


def test_after_the_training_the_optimizer_is_as_before(tmp_path):
    runner = train(tmp_path, [hook()], iterations=2)
    before = {n: v.clone() for n, v in runner.model.state_dict().items()}
    data = next(iter(runner.train_dataloader))
    runner.model.train_step(data, runner.optim_wrapper)
    for name, value in runner.model.named_parameters():
        moved = not name.startswith('frozen')
        assert torch.equal(value, before[name]) != moved, name


def test_a_name_is_that_of_a_module_or_parameter():
    model = WarpedToy()
    assert warp_parameters(model, ['warp.1', 'warp.1.bias', 'task.bias']) == [
        model.warp[1].weight,
        model.warp[1].bias,
        model.task.bias,
    ]


@pytest.mark.parametrize(
    'layer', ['module.warp', 'war', 'warp.', '', 'frozen', 'norm.running_mean']
)
def test_a_name_without_parameters_is_refused(tmp_path, layer):
    with pytest.raises(ValueError, match=f"layers has '{layer}', and the"):
        train(tmp_path, [hook(['task', layer])])


def test_no_stored_images_are_refused(tmp_path):
    config = hook()
    config['dataloader'].update(batch_size=STORED + 1, drop_last=True)
    with pytest.raises(ValueError, match=f'no batch.*{STORED} images'):
        train(tmp_path, [config])


def test_accumulated_gradients_are_refused(tmp_path):
    more = dict(optim_wrapper=dict(accumulative_counts=2))
    with pytest.raises(ValueError, match='accumulative_counts=1'):
        train(tmp_path, [hook()], **more)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(layers=[]), r'layers .* got \[\]'),
        (dict(layers='warp'), "layers .* got 'warp'"),
        (dict(interval=0), 'interval must be at least 1, got 0'),
        (dict(dataloader=dict(sampler='any')), 'sampler=any: leave it out'),
    ],
)
def test_refuses_what_cannot_be(arguments, message):
    arguments = {**hook(), **arguments}
    arguments.pop('type')
    with pytest.raises(ValueError, match=message):
        WarpGradientHook(**arguments)
