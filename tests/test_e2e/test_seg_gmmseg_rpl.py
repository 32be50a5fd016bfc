"""GMMSeg and RPL from their configs, on a tiny Shapes set."""

import pytest
import torch
from mmengine.runner import Runner

from helpers import ROOT, load_weights, run_script, tiny_seg_options
from shared_fixtures import shrink

PLAIN = 'posthoc/fcn_lite0_1k_shapes.py'
GMMSEG = 'gmmseg/gmmseg_fcn_lite0_1k_shapes.py'
RPL = 'rpl/rpl_fcn_lite0_1k_shapes.py'
SCRIPT = ROOT / 'tests/test_e2e/train_cpu_ranks.py'
MIXTURES = 'decode_head.conv_seg.mixtures.'


def config(name, data, work_dir, **options):
    """Four steps from random weights, without a flip."""
    tiny = {
        key: value
        for key, value in tiny_seg_options(data).items()
        if not key.startswith(('model.backbone', 'probed', 'ood'))
    }
    more = dict(weights=None, train_pipeline='$val_pipeline')
    return shrink(name, tiny, work_dir, {**more, **options})


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.fixture(scope='module')
def gmmseg(shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp('gmmseg')
    return folder, train(config(GMMSEG, shapes, folder))


def test_gmmseg_trains_and_tests(gmmseg):
    folder, runner = gmmseg
    mixtures = runner.model.decode_head.conv_seg.mixtures
    assert mixtures.iteration == 4 and mixtures.seen.any()
    metrics = runner.test()
    for name in ('near', 'far'):
        assert 0 <= metrics[f'ood/{name}/gmmseg/AUROC'] <= 1
    state = load_weights(folder / 'iter_4.pth')
    most = int(state[f'{MIXTURES}queues.seen'].max())
    held = state[f'{MIXTURES}queues.memory']
    assert held.dtype == torch.float16 and held.shape[1] <= 2 * most < 200


def test_gmmseg_resumes_as_if_it_had_not_stopped(gmmseg, shapes, tmp_path):
    folder, runner = gmmseg
    cfg = config(GMMSEG, shapes, tmp_path)
    cfg.resume, cfg.load_from = True, str(folder / 'iter_2.pth')
    found = train(cfg).model.state_dict()
    for name, value in runner.model.state_dict().items():
        if name.startswith('decode_head.'):
            torch.testing.assert_close(found[name], value, msg=name)


def test_gmmseg_on_two_processes_is_gmmseg_on_one(shapes, tmp_path):
    """But for a pixel that rounding gives to another component.

    `tests/test_losses/test_gaussian_mixtures.py` has them exactly, of the
    same embeddings.
    """
    results = {}
    for ranks in (1, 2):
        options = {
            'norm_cfg': None,  # else of the images of a process
            'train_dataloader.batch_size': 4 // ranks,
        }
        cfg = config(GMMSEG, shapes, tmp_path / f'{ranks}', **options)
        cfg.custom_hooks, path = [], tmp_path / f'config{ranks}.py'
        cfg.launcher = 'pytorch' if ranks > 1 else 'none'
        cfg.dump(path)
        out = tmp_path / f'result{ranks}'
        run_script(SCRIPT, path, out, ranks=ranks if ranks > 1 else 0)
        results[ranks] = [
            torch.load(f'{out}.{rank}', weights_only=True)['state']
            for rank in range(ranks)
        ]
    (one,), two = results[1], results[2]
    seen, memory = (f'{MIXTURES}queues.{n}' for n in ('seen', 'memory'))
    assert (two[0][seen] - one[seen]).abs().sum() <= 0.05 * one[seen].sum()
    for name, value in one.items():
        if not name.startswith('decode_head.'):
            continue
        assert torch.equal(two[0][name], two[1][name]), name
        if name not in (seen, memory):
            close = 0.02 if name.startswith(MIXTURES) else 2e-3
            torch.testing.assert_close(
                two[0][name], value, atol=close, rtol=close, msg=name
            )


def test_rpl_learns_beside_a_trained_segmentor(shapes, tmp_path):
    plain = train(config(PLAIN, shapes, tmp_path / 'plain'))
    options = dict(load_from=str(tmp_path / 'plain/iter_4.pth'))
    runner = train(config(RPL, shapes, tmp_path / 'rpl', **options))
    before, after = plain.model.state_dict(), runner.model.state_dict()
    for name, value in before.items():
        if name.startswith(('backbone.', 'decode_head.')):
            assert torch.equal(after[name], value), name
    assert after['pixel_losses.RPLLoss.block.out.weight'].any()
    metrics = runner.test()
    for score in ('rpl', 'energy'):
        assert 0 <= metrics[f'ood/far/{score}/AUROC'] <= 1
