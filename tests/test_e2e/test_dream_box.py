"""Paint, train and test: Dream-Box from end to end, tiny."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from helpers import ROOT, run_script
from mmood.generation.settings import Settings
from rank_helpers import train_on_ranks, without_chance

NAME = 'dream_box/dream-box_faster-rcnn_r18_fpn_shapes.py'
# Of so little training every box counts.
TINY = {
    'model.test_cfg.rcnn.score_thr': 0.0,
    'val_evaluator.score_threshold': 0.0,
}


@pytest.fixture(scope='module')
def painted(shapes, tmp_path_factory) -> Path:
    """The training images with painted objects, by the tool."""
    out = tmp_path_factory.mktemp('painted')
    run_script(
        'tools/dream_box/generate.py',
        '--config',
        ROOT / 'configs/dream_box/generation/shapes.py',
        '--out',
        out,
        '--cfg-options',
        f'data.ann_file={shapes}/annotations/train.json',
        f'data.img_root={shapes}',
        'min_area=60',
    )
    return out


@pytest.fixture
def config(tiny_config, shapes, painted):
    """Function: the shrunk config, in a folder."""

    def build(work_dir: Path, **options) -> Config:
        options = {'ood.painted.data_root': str(painted), **options}
        return tiny_config(NAME, shapes, work_dir, **TINY, **options)

    return build


@pytest.mark.parametrize('share', [0.5, None])
def test_trains_on_both_sets_and_tests(share, config, painted, tmp_path):
    options = {'ood.painted_share': share}
    runner = Runner.from_cfg(config(tmp_path, **options))
    runner.train()
    plain, other = runner.train_dataloader.dataset.datasets
    drawn = len(plain) if share else len(other)
    steps = -(-(len(plain) + drawn) // 4)
    assert abs(runner.iter - steps) <= 1  # two groups of aspect ratios
    loss = np.array(
        runner.message_hub.log_scalars['train/loss_uncertainty'].data[0]
    )
    assert (loss > 0).all() and np.isfinite(loss).all()
    loss = runner.model.roi_head.losses['EnergyOODLoss']
    a = loss.linear.weight.item()
    assert a != 1 and a > 0

    # `a` is positive: both scores rank alike, by either protocol.
    for protocol in ('vos', 'dreambox'):
        cfg = config(
            tmp_path / protocol,
            **{
                'test_evaluator.protocol': protocol,
                'test_evaluator.score_threshold': 0.05,
            },
        )
        cfg.load_from = str(tmp_path / 'epoch_1.pth')
        metrics = Runner.from_cfg(cfg).test()
        for name in ('AUROC', 'FPR95'):
            value = metrics[f'ood/near/dreambox/{name}']
            assert 0 <= value <= 1
            assert metrics[f'ood/near/energy/{name}'] == pytest.approx(value)


def test_flags_reach_the_losses(config, painted, tmp_path):
    flags = [
        annotation['ood']
        for annotation in json.loads(
            (painted / 'annotations.json').read_text()
        )['annotations']
    ]
    assert sum(flags) > 0
    cfg = config(tmp_path, **{'ood.painted_share': 1.0})
    runner = Runner.from_cfg(cfg)
    labels = []
    for batch in runner.build_dataloader(cfg.train_dataloader, seed=0):
        for sample in batch['data_samples']:
            gt = sample.gt_instances
            assert torch.equal(gt.ood, gt.labels < 0)
            labels.append(gt.labels)
    labels = torch.cat(labels)
    assert int((labels < 0).sum()) == sum(flags)
    assert int((labels >= 0).sum()) == len(flags) - sum(flags)


def test_two_processes_have_the_outlier_loss_of_one(config, tmp_path):
    """Of the first step: the parent's averages are those of each rank."""

    def build(work_dir, _):
        cfg = without_chance(config(work_dir))
        for part in cfg.train_dataloader.dataset.datasets:
            part.indices = 8
        return cfg

    values = {
        ranks: [part['losses'][0]['loss_uncertainty'] for part in parts]
        for ranks, parts in train_on_ranks(build, tmp_path).items()
    }
    assert np.mean(values[2]) == pytest.approx(values[1][0], abs=1e-4)
    assert values[2][0] != values[2][1]


def test_own_set_is_painted_as_the_docs_say(tmp_path):
    page = (ROOT / 'docs/en/new_dataset.md').read_text()
    blocks = [b.split('```')[0] for b in page.split('```python\n')[1:]]
    (paint,) = (b for b in blocks if 'num_images' in b)
    path = tmp_path / 'own.py'
    path.write_text(
        paint.replace('mmood::', f'{ROOT}/configs/').replace('1000', '7')
    )
    settings = Settings.from_config(Config.fromfile(path).to_dict())
    assert settings.num_images == 7
    assert settings.data['img_root'] == 'data/screws/'
