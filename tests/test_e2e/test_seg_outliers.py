"""Outlier exposure from its configs, on a tiny Shapes set."""

import pytest
import torch
from mmengine.runner import Runner

from helpers import ROOT, load_weights, run_script, tiny_seg_options
from mmood.registry import MODELS
from shared_fixtures import shrink

HINGE = 'energy_hinge/energy-hinge_fcn_lite0_300_shapes.py'
# What learns of a segmentor, by the config.
TRAINED = {
    'rba/rba_mask2former_lite0_300_shapes.py':
        ('decode_head.cls_embed', 'decode_head.mask_embed'),
    'mask2anomaly/mask2anomaly_mask2former_lite0_300_shapes.py':
        ('decode_head',),
    HINGE: ('backbone', 'decode_head'),
}  # fmt: skip
SCRIPT = ROOT / 'tests/test_e2e/train_cpu_ranks.py'


def config(name, data, work_dir, **options):
    """Four steps, every image with an object, without a flip."""
    tiny = {
        key: value
        for key, value in tiny_seg_options(data).items()
        if not key.startswith(('model.backbone', 'probed', 'ood', 'width'))
    }
    more = {
        'weights': None,
        'train_pipeline': '$val_pipeline',
        'paste.prob': 1.0,
        'fit_dataloader.num_workers': 0,
    }
    return shrink(name, {**tiny, **more}, work_dir, options)


@pytest.fixture(scope='module', params=TRAINED, ids=lambda n: n.split('/')[0])
def trained(request, shapes, tmp_path_factory):
    """Name of the config, work folder, runner and the weights before."""
    folder = tmp_path_factory.mktemp('outliers')
    cfg = config(request.param, shapes, folder)
    torch.manual_seed(0)
    before = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=before), folder / 'segmentor.pth')
    cfg.load_from = str(folder / 'segmentor.pth')
    runner = Runner.from_cfg(cfg)
    runner.train()
    return request.param, folder, runner, before


def test_what_the_config_says_learns(trained):
    name, _, runner, before = trained
    model = runner.model
    # Objects are in all of 4 x 6 images, from 0.5 to 5 % of one.
    least, most = (24 * share * 96 * 96 for share in (0.003, 0.055))
    assert least < model.outlier_pixels.count < most
    changed = {
        name
        for name, value in model.named_parameters()
        if not torch.equal(value, before[name])
    }
    assert changed
    assert all(n.startswith(TRAINED[name]) for n in changed)
    for part in TRAINED[name]:
        assert any(n.startswith(part) for n in changed)
    assert not [n for n, p in model.named_parameters()
                if not p.requires_grad and n in changed]  # fmt: skip


def test_it_is_tested_on_unknown_objects(trained):
    _, _, runner, _ = trained
    metrics = runner.test()
    for score in runner.model.scores.names:
        for origin in ('near', 'far'):
            assert 0 <= metrics[f'ood/{origin}/{score}/AUROC'] <= 1


def test_a_resumed_training_counts_on(trained, shapes, tmp_path):
    name, folder, runner, _ = trained
    cfg = config(name, shapes, tmp_path)
    cfg.resume, cfg.load_from = True, str(folder / 'iter_2.pth')
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    state = load_weights(folder / 'iter_4.pth')
    found = resumed.model.state_dict()
    # The same objects in the same images.
    count = 'outlier_pixels.count'
    assert found[count] == state[count] == runner.model.outlier_pixels.count
    if name == HINGE:  # masks are compared at random points
        for key, value in state.items():
            if key.startswith('decode_head.'):
                torch.testing.assert_close(
                    found[key], value, atol=1e-3, rtol=1e-3, msg=key
                )


def test_two_processes_learn_what_one_does(shapes, tmp_path):
    results = {}
    for ranks in (1, 2):
        options = {
            'norm_cfg': None,  # else of the images of a process
            'train_dataloader.batch_size': 4 // ranks,
        }
        cfg = config(HINGE, shapes, tmp_path / f'{ranks}', **options)
        cfg.custom_hooks, path = [], tmp_path / f'config{ranks}.py'
        cfg.launcher = 'pytorch' if ranks > 1 else 'none'
        cfg.dump(path)
        out = tmp_path / f'result{ranks}'
        run_script(SCRIPT, path, out, ranks=ranks if ranks > 1 else 0)
        results[ranks] = [
            torch.load(f'{out}.{rank}', weights_only=True)
            for rank in range(ranks)
        ]
    (one,), two = results[1], results[2]
    for step, expected in enumerate(one['losses']):
        mean = sum(rank['losses'][step]['loss_energy_hinge'] for rank in two)
        expected = expected['loss_energy_hinge']
        assert mean / 2 == pytest.approx(expected, rel=1e-2)
    pixels = [rank['state']['outlier_pixels.count'] for rank in two]
    assert sum(pixels) == one['state']['outlier_pixels.count']
    for rank in two:
        for name, value in one['state'].items():
            if name.startswith('decode_head.'):
                torch.testing.assert_close(
                    rank['state'][name], value, atol=2e-3, rtol=2e-3, msg=name
                )
