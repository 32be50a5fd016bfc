"""Training and testing segmentors as users do, on a tiny Shapes set."""

import json
import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from sklearn.metrics import average_precision_score, roc_auc_score

from helpers import (
    DOOD,
    ROOT,
    SEGMENTOR,
    equal_weights,
    load_weights,
    run_here,
    shell_options,
    tiny_seg_options,
)
from mmood.seg import OODSegInferencer
from mmood.visualization.report.runs import find_runs
from mmood.visualization.report.segmentation import (
    pixel_cases,
    pixel_summary,
)

SCORES = ('compound', 'diffusion', 'energy')


def test_training_fits_all_that_a_test_needs(segmentor, dood):
    path, output = dood
    state, before = load_weights(path), load_weights(segmentor)
    for part in ('backbone.', 'decode_head.'):
        assert equal_weights(state, before, part)
    earlier = load_weights(path.with_name('iter_2.pth'))
    assert not equal_weights(state, earlier, 'losses.DenoisingLoss.denoiser')
    assert not earlier['scores.compound.is_fitted']
    assert state['scores.compound.is_fitted']
    # 16 images of 64 x 64 pixels.
    assert 'compound fitted on 65536 samples a rank' in output
    threshold = re.findall(r'ood/ood_threshold: (-?[\d.]+)', output)
    assert state['scores.thresholds.compound'].item() == pytest.approx(
        float(threshold[-1]), abs=1e-4
    )


def test_test_tool_prints_the_table_and_writes_files(
    dood, shapes, tmp_path, monkeypatch, capsys
):
    """Its numbers are those of the maps and labels in the files."""
    more = {'test_evaluator.save_maps': True, 'visualizer.name': tmp_path}
    options = shell_options({**tiny_seg_options(shapes), **more})
    rest = (dood[0], '--work-dir', tmp_path, '--out-dir', tmp_path / 'ood')
    pictures = ('--show-dir', tmp_path / 'drawn')
    rest = (ROOT / 'configs' / DOOD, *rest, *pictures, *options)
    run_here(monkeypatch, 'test', *rest)
    output = capsys.readouterr().out
    rows = re.findall(r'^\| (near|far) +\| (\w+) +\| +([\d.]+)', output, re.M)
    pairs = [(origin, s) for origin in ('near', 'far') for s in SCORES]
    assert [row[:2] for row in rows] == pairs
    metrics = json.loads((tmp_path / 'ood/metrics.json').read_text())
    for origin, score, precision in rows:
        value = metrics[f'{origin}/{score}/AP']
        assert float(precision) == pytest.approx(100 * value, abs=0.006)
    for origin in ('near', 'far'):
        files = sorted((tmp_path / f'ood/maps/{origin}').iterdir())
        assert len(files) == 4
        folder = shapes / origin / 'semantic'
        labels = np.stack(
            [cv2.imread(str(folder / f'{f.stem}.png'), -1) for f in files]
        )
        scores = np.stack([np.load(f) for f in files])
        for name, measure in (
            ('AP', average_precision_score),
            ('AUROC', roc_auc_score),
        ):
            expected = measure(labels.ravel() > 8, scores.ravel())
            found = metrics[f'{origin}/compound/{name}']
            assert found == pytest.approx(expected)
    drawn = [path.parent.name for path in tmp_path.glob('drawn/*/*.png')]
    assert sorted(drawn) == 4 * ['far'] + 4 * ['near']
    (run,) = find_runs([tmp_path])
    assert run.facts['checkpoint']['path'] == str(dood[0])
    shown = pixel_summary(run)
    assert list(shown) == list(SCORES)
    far = shown['compound']['sets']['far']
    assert far['num_ood'] == (labels.ravel() > 8).sum()
    cases = pixel_cases(run, shown)
    assert len(cases) == 2 * 3 * 3 * 4  # sets, scores, kinds, images


def test_a_plain_segmentor_is_tested_too(
    segmentor, shapes, tmp_path, tiny_seg_config
):
    cfg = tiny_seg_config(SEGMENTOR, shapes, tmp_path)
    cfg.load_from = str(segmentor)
    metrics = Runner.from_cfg(cfg).test()
    names = {tuple(name.split('/')[1:3]) for name in metrics}
    scores = ('energy', 'msp', 'max_logit', 'entropy')
    assert names == {(o, s) for o in ('near', 'far') for s in scores}
    assert 0 < metrics['ood/far/energy/AUROC'] < 1


def test_without_a_segmentor(shapes, tmp_path, tiny_seg_config):
    cfg = tiny_seg_config(DOOD, shapes, tmp_path)
    with pytest.raises(RuntimeError, match='no trained weights: pass load_f'):
        Runner.from_cfg(cfg).train()
    assert not list(tmp_path.glob('*.pth'))


def test_testing_a_diffusion_model_that_was_not_trained(
    segmentor, shapes, tmp_path, tiny_seg_config
):
    cfg = tiny_seg_config(DOOD, shapes, tmp_path)
    cfg.load_from = str(segmentor)
    with pytest.raises(RuntimeError, match='range of the features'):
        Runner.from_cfg(cfg).test()


def test_fit_scores_tool(dood, shapes, tmp_path, monkeypatch, capsys):
    """It finds what the training's own hooks found.

    The config's load_from, which training needs, must not come in between,
    nor what a training does with its best validation.
    """
    checkpoint = torch.load(dood[0], weights_only=True)
    state = checkpoint['state_dict']
    fitted = {f'scores.compound.{n}' for n in ('mean', 'std', 'fitted_for')}
    fitted |= {f'scores.thresholds.{n}' for n in SCORES}
    expected = {name: state.pop(name) for name in fitted}
    path = tmp_path / 'bare.pth'
    torch.save(checkpoint, path)
    other = {'scores.compound.mean': torch.full((2,), 99.0)}
    torch.save(dict(state_dict={**state, **other}), tmp_path / 'other.pth')
    config = ROOT / 'configs' / DOOD
    more = {
        'load_from': tmp_path / 'other.pth',
        'default_hooks.checkpoint.save_best': 'auto',
        'default_hooks.checkpoint.rule': 'greater',
    }
    options = shell_options({**tiny_seg_options(shapes), **more})
    rest = (config, path, '--work-dir', tmp_path, *options)
    run_here(monkeypatch, 'fit_scores', *rest)
    out = tmp_path / 'bare_fitted.pth'
    assert f'fitted checkpoint: {out}' in capsys.readouterr().out
    found = load_weights(out)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    assert equal_weights(found, state)


def test_inferencer_and_image_demo(
    dood, shapes, tmp_path, tiny_seg_config, monkeypatch
):
    cfg = tiny_seg_config(DOOD, shapes, tmp_path)
    config, out = tmp_path / 'config.py', tmp_path / 'out'
    cfg.dump(config)
    images = shapes / 'near/images'
    rest = (images, config, dood[0], '--limit', 3, '--out-dir', out)

    def demo(*more):
        run_here(monkeypatch, 'image_demo', *rest, *more)

    demo('--device', 'cpu')
    assert sorted(path.name for path in (out / 'vis').iterdir()) == [
        f'near_{i:05d}.png' for i in range(3)
    ]
    inferencer = OODSegInferencer(str(config), str(dood[0]), device='cpu')
    threshold = load_weights(dood[0])['scores.thresholds.compound'].item()
    for i in range(3):
        result = inferencer(str(images / f'near_{i:05d}.png'))
        stored = np.load(out / f'pred/near_{i:05d}_ood.npy')
        scores = result['ood_scores']
        np.testing.assert_allclose(scores, stored, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(result['is_ood'], scores > threshold)
    demo('--ood-threshold', 1e9, '--score-range', -1, 1)
    mask = cv2.imread(str(out / 'pred/near_00000_ood.png'), -1)
    assert not mask.any()
