"""One-stage and DETR heads as users run them, on a tiny Shapes set."""

import json

import numpy as np
import pytest

from helpers import load_weights, run_script, tiny_options
from mmood.det import OODDetInferencer

SCORES = ['energy', 'msp', 'max_logit']
CONFIGS = (
    'retinanet_r18_fpn_shapes',
    'rtmdet_tiny_shapes',
    'dino_r18_shapes',
)


def options(data, name) -> list:
    common = {k: v for k, v in tiny_options(data).items() if k[:5] != 'model'}
    own = {
        **common,
        'model.test_cfg.score_thr': 0.0,
        'val_evaluator.score_threshold': 0.0,
        'test_evaluator.score_threshold': 0.0,
        'test_evaluator.open_set': True,
        'ood.scores': f'[{",".join(SCORES)}]',
    }
    if name == 'dino_r18_shapes':
        own.update({'model.decoder.num_layers': 1, 'model.num_queries': 20})
        own.update({'model.test_cfg.max_per_img': 20})
    return ['--cfg-options', *(f'{k}={v}' for k, v in own.items())]


@pytest.mark.parametrize('name', CONFIGS)
def test_a_head_is_trained_calibrated_tested_and_asked(name, shapes, tmp_path):
    config = f'configs/posthoc/{name}.py'
    rest = ('--work-dir', tmp_path, *options(shapes, name))
    run_script('tools/train.py', config, *rest)
    checkpoint = tmp_path / 'epoch_1.pth'
    weights = load_weights(checkpoint)
    for score in SCORES:
        limit = weights[f'bbox_head.scores.thresholds.{score}']
        assert np.isfinite(limit.item())
    assert np.isfinite(weights['bbox_head.score_threshold'].item())

    test = ('tools/test.py', config, checkpoint)
    for ranks, folder in ((0, 'one'), (2, 'two')):
        out = ('--out-dir', tmp_path / folder)
        run_script(*test, *out, *rest, ranks=ranks)
    metrics, two = (
        json.loads((tmp_path / f'{folder}/metrics.json').read_text())
        for folder in ('one', 'two')
    )
    assert set(metrics) == set(two)
    for key, value in metrics.items():
        assert two[key] == (value and pytest.approx(value, rel=1e-3, abs=1e-3))
    for score in SCORES:
        for place in ('near', 'far'):
            assert 0 <= metrics[f'{place}/{score}/AUROC'] <= 1
            assert metrics[f'{place}/{score}/AOSE'] >= 0

    resolved = next(tmp_path.glob(f'{name}.py'))
    ask = OODDetInferencer(str(resolved), str(checkpoint), device='cpu')
    image = next((shapes / 'near').glob('**/*.png'))
    out = tmp_path / 'drawn'
    found = ask(str(image), out_dir=str(out), pred_score_thr=0.0)
    box = found['predictions'][0]
    assert len(box['bboxes']) == len(box['is_ood']) == len(box['ood_scores'])
    assert len(box['bboxes']) > 0 and list(out.glob('**/*.png'))


def test_siren_shapes_the_queries_of_deformable_detr(shapes, tmp_path):
    """Its loss is learned, its own score is calibrated and measured."""
    config = 'configs/siren/siren_deformable-detr_r18_shapes.py'
    own = {
        **{k: v for k, v in tiny_options(shapes).items() if k[:5] != 'model'},
        'ood.scores': '[vmf,energy]',
        'model.decoder.num_layers': 2,
        'model.num_queries': 20,
        'model.test_cfg.max_per_img': 20,
        'val_evaluator.score_threshold': 0.0,
        'test_evaluator.score_threshold': 0.0,
    }
    own = ['--cfg-options', *(f'{k}={v}' for k, v in own.items())]
    rest = ('--work-dir', tmp_path, *own)
    run_script('tools/train.py', config, *rest)
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    losses = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [line['loss_vmf'] for line in losses if 'loss_vmf' in line]
    assert len(losses) > 1 and np.isfinite(losses).all() and max(losses) > 0
    weights = load_weights(tmp_path / 'epoch_1.pth')
    part = 'bbox_head.losses.SIRENLoss.'
    prototypes = weights[f'{part}prototypes']
    assert prototypes.shape == (8, 16)
    np.testing.assert_allclose(prototypes.norm(dim=1), 1, rtol=1e-5)
    for score in ('vmf', 'energy'):
        limit = weights[f'bbox_head.scores.thresholds.{score}']
        assert np.isfinite(limit.item())
    out = ('--out-dir', tmp_path / 'out')
    run_script('tools/test.py', config, tmp_path / 'epoch_1.pth', *out, *rest)
    metrics = json.loads((tmp_path / 'out/metrics.json').read_text())
    for place in ('near', 'far'):
        assert 0 <= metrics[f'{place}/vmf/AUROC'] <= 1
