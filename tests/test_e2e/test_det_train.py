"""Training and testing as users run them, on a tiny Shapes set."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from helpers import run_script, tiny_options
from mmood.checkpoint import allow_checkpoint_types
from mmood.det import OODDetInferencer
from mmood.visualization.report import build_report

DFDD = 'dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'
PLAIN = 'posthoc/faster-rcnn_r18_fpn_shapes.py'


def options(data: Path, **more) -> list:
    values = {**tiny_options(data), **more}
    return ['--cfg-options', *(f'{k}={v}' for k, v in values.items())]


def losses(work_dir: Path) -> dict:
    """Losses by iteration from the log's machine-readable file."""
    rows = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if 'loss' in row:
                rows[row['iter']] = row['loss']
    return rows


@pytest.fixture(scope='module')
def trained(shapes, tmp_path_factory):
    """DFDD after one tiny epoch, by the tool: its folder and output."""
    work_dir = tmp_path_factory.mktemp('dfdd')
    rest = (f'configs/{DFDD}', '--work-dir', work_dir, *options(shapes))
    return work_dir, run_script('tools/train.py', *rest)


def test_thresholds_are_calibrated_and_stored(trained):
    allow_checkpoint_types()
    state = torch.load(trained[0] / 'epoch_1.pth', weights_only=True)
    weights = state['state_dict']
    threshold = weights['roi_head.scores.thresholds.energy']
    assert 0 < weights['roi_head.score_threshold'] < 1
    # The last checkpoint and the last validation name the same number.
    logged = re.findall(r'ood/ood_threshold: (-?[\d.]+)', trained[1])
    assert threshold.item() == pytest.approx(float(logged[-1]), abs=1e-4)


def test_the_log_of_a_training_is_quiet(trained):
    _, output = trained
    for noise in ('pkg_resources', 'Failed to search', 'paramwise_options'):
        assert noise not in output
    assert len(re.findall('parameters: .* with lr', output)) == 1
    steps = [s for s in output.splitlines() if 'Epoch(train)' in s]
    assert steps and all(step.count('lr: ') == 1 for step in steps)


def test_test_tool_prints_the_table_and_dumps(trained, shapes, tmp_path):
    work_dir, _ = trained
    output = run_script(
        'tools/test.py',
        f'configs/{DFDD}',
        work_dir / 'epoch_1.pth',
        '--work-dir',
        tmp_path,
        '--out-dir',
        tmp_path / 'ood',
        '--show-dir',
        tmp_path / 'drawn',
        *options(shapes, **{'test_evaluator.score_threshold': 0.05}),
    )
    for origin in ('near', 'far'):
        for score in ('energy', 'msp'):
            assert re.search(rf'\| {origin} +\| {score} +\|', output)
    last = re.findall(r'Epoch\(test\) .*', output)[-1]
    assert 'ood/bbox_mAP: ' in last and 'AUROC' not in last
    scores = np.load(tmp_path / 'ood/ood_scores_energy.npz')
    assert sorted(scores) == ['far', 'id', 'near']
    assert all(len(scores[origin]) for origin in scores)
    drawn = [path.parent.name for path in tmp_path.glob('drawn/*/*.png')]
    assert Counter(drawn) == dict(id=6, near=4, far=4)
    content = (work_dir / 'epoch_1.pth').read_bytes()
    check_report(tmp_path, hashlib.sha256(content).hexdigest(), scores)


def check_report(folder, sha256, scores):
    """What the test left is what the page is made of."""
    text = build_report([folder])
    (run,) = json.loads(text.split('id="data">')[1].split('</script>')[0])[
        'runs'
    ]
    facts = dict(run['facts'])
    assert facts['SHA-256 of it'] == sha256
    assert facts['Trained until'].startswith('epoch 1, iteration ')
    for origin in ('near', 'far'):
        found = run['counted']['energy']['sets'][origin]
        assert found['num_id'] == len(scores['id'])
        assert found['num_ood'] == len(scores[origin])
    names = {row['name'] for row in found['classes']}
    classes = json.loads((folder / 'ood/details.json').read_text())['classes']
    assert names and names <= set(classes)
    assert {scene['picture'] for scene in run['scenes']} and 'null' not in (
        text.split('"pictures":')[1].split('"dropped"')[0]
    )


def test_inferencer_takes_the_threshold_of_the_checkpoint(
    trained, shapes, tiny_config, tmp_path
):
    cfg = tiny_config(DFDD, shapes, tmp_path)
    checkpoint = str(trained[0] / 'epoch_1.pth')
    path = str(tmp_path / 'config.py')
    cfg.dump(path)
    inferencer = OODDetInferencer(
        path, checkpoint, device='cpu', show_progress=False
    )
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    gamma = state['roi_head.scores.thresholds.energy'].item()
    result = inferencer(
        str(shapes / 'near/images'),
        out_dir=str(tmp_path / 'out'),
        no_save_pred=False,
    )
    boxes = 0
    for one in result['predictions']:
        scores = np.array(one['ood_scores'])
        np.testing.assert_array_equal(one['is_ood'], scores > gamma)
        boxes += len(scores)
    assert boxes > 0
    stored = json.loads((tmp_path / 'out/preds/near_00000.json').read_text())
    assert stored['ood_scores'] == result['predictions'][0]['ood_scores']
    assert len(list((tmp_path / 'out/vis').iterdir())) == 4

    strict = OODDetInferencer(
        path,
        checkpoint,
        device='cpu',
        show_progress=False,
        ood_threshold=-1e9,
    )
    image = str(shapes / 'near/images/near_00000.png')
    assert all(strict(image)['predictions'][0]['is_ood'])


def test_image_demo(trained, shapes, tmp_path, tiny_config):
    cfg = tiny_config(DFDD, shapes, tmp_path)
    cfg.dump(str(tmp_path / 'config.py'))
    tool = 'tools/image_demo.py'
    rest = (tmp_path / 'config.py', trained[0] / 'epoch_1.pth', '--limit', 2)
    out = ('--out-dir', tmp_path / 'out')
    run_script(tool, shapes / 'far/images', *rest, *out)
    assert len(list((tmp_path / 'out/vis').iterdir())) == 2
    missing = run_script(tool, tmp_path / 'none', *rest, check=False)
    assert 'none does not exist' in missing


def train_until(iteration: int, cfg) -> None:
    """Train and die before that iteration's successor."""

    class Killed(Hook):
        def before_train_iter(self, runner, *args, **kwargs):
            if runner.iter == iteration:
                raise KeyboardInterrupt

    runner = Runner.from_cfg(cfg)
    runner.register_hook(Killed())
    with pytest.raises(KeyboardInterrupt):
        runner.train()


def test_killed_training_resumes_and_ends_the_same(
    shapes, tiny_config, tmp_path
):
    """Killed in epoch 2 of 3, resumed from epoch 1's checkpoint.

    The data order of each epoch and its schedule follow from the seed, the
    augmentation and sampling do not: the resumed losses must continue the
    curve, not equal it.
    """
    more = {
        'max_epochs': 3,
        'warmup': '2/3',
    }
    whole = tmp_path / 'whole'
    Runner.from_cfg(tiny_config(DFDD, shapes, whole, **more)).train()
    expected = losses(whole)
    assert sorted(expected) == list(range(1, 28))

    work_dir = tmp_path / 'killed'
    train_until(13, tiny_config(DFDD, shapes, work_dir, **more))
    assert max(losses(work_dir)) == 13

    run_script(
        'tools/train.py',
        f'configs/{DFDD}',
        '--work-dir',
        work_dir,
        '--resume',
        *options(shapes, **more),
    )
    resumed = losses(work_dir)
    assert sorted(resumed) == sorted(expected)
    first = {k: v for k, v in resumed.items() if k <= 9}
    assert first == pytest.approx({k: expected[k] for k in first}, rel=0.01)
    tail = [resumed[k] for k in range(10, 28)]
    reference = [expected[k] for k in range(10, 28)]
    assert np.mean(tail) == pytest.approx(np.mean(reference), rel=0.15)
    state = torch.load(work_dir / 'epoch_3.pth', weights_only=True)
    assert state['meta']['iter'] == 27
    assert state['meta']['epoch'] == 3


@pytest.mark.gpu
def test_amp_trains_on_a_gpu(shapes, tiny_config, tmp_path):
    more = {'optim_wrapper.type': 'AmpOptimWrapper'}
    Runner.from_cfg(tiny_config(DFDD, shapes, tmp_path, **more)).train()
    assert np.isfinite(list(losses(tmp_path).values())).all()


def test_gradient_accumulation_steps_every_second_batch(
    shapes, tiny_config, tmp_path
):
    more = {'optim_wrapper.accumulative_counts': 2}
    runner = Runner.from_cfg(tiny_config(DFDD, shapes, tmp_path, **more))
    weight = runner.model.neck[1].unet.decoder[2].weight
    seen = []

    class Record(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            seen.append(weight.detach().clone())

    runner.register_hook(Record())
    runner.train()
    changed = [not torch.equal(a, b) for a, b in zip(seen, seen[1:])]
    # 9 batches: steps after 2, 4, 6, 8 and the last.
    assert changed == [True, False] * 3 + [True, True]


def test_non_finite_loss_stops_and_names_it(shapes, tiny_config, tmp_path):
    more = {'ood.losses.0.loss_weight': float('inf')}
    runner = Runner.from_cfg(tiny_config(DFDD, shapes, tmp_path, **more))
    with pytest.raises(FloatingPointError, match='loss_uncertainty not'):
        runner.train()
    assert not list(tmp_path.glob('*.pth'))


def test_images_without_ground_truth_train(shapes, tiny_config, tmp_path):
    cfg = tiny_config(DFDD, shapes, tmp_path)
    ann = json.loads((shapes / 'annotations/train.json').read_text())
    ann['annotations'] = ann['annotations'][:3]
    path = tmp_path / 'few.json'
    path.write_text(json.dumps(ann))
    cfg.train_dataloader.dataset.ann_file = str(path)
    cfg.train_dataloader.dataset.filter_cfg.filter_empty_gt = False
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 9
    assert np.isfinite(list(losses(tmp_path).values())).all()


def test_checkpoint_of_another_class_count(
    trained, shapes, tiny_config, tmp_path
):
    cfg = tiny_config(DFDD, shapes, tmp_path)
    cfg.model.roi_head.bbox_head.num_classes = 5
    cfg.load_from = str(trained[0] / 'epoch_1.pth')
    with pytest.raises(ValueError, match='set num_classes'):
        Runner.from_cfg(cfg).test()


def test_diagnosis_of_an_untrained_network(trained, shapes, tmp_path):
    tool = 'tools/analysis_tools/diagnose_dfdd.py'
    checkpoint = trained[0] / 'epoch_1.pth'
    rest = ('--work-dir', tmp_path, *options(shapes))
    output = run_script(tool, f'configs/{DFDD}', checkpoint, *rest)
    rows = re.findall(r'^\| (\S+) .*\| +(-?[\d.]+) \|', output, flags=re.M)
    assert [name for name, _ in rows] == ['E', 'outliers', 'F_0', 'F_T']
    # Nine steps undo next to nothing.
    left = re.findall(r'by level: (.*)', output)[0].split(', ')
    assert all(0.95 < float(value) < 1.05 for value in left)
    plain = run_script(
        tool, f'configs/{PLAIN}', checkpoint, *rest, check=False
    )
    assert 'has no DFDD' in plain
