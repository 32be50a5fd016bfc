"""What the tool says of a DFDD detector, against its parts."""

import re

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import bbox2roi
from mmengine.runner import Runner

from helpers import run_here

DFDD = 'dfdd/dfdd_faster-rcnn_r18_fpn_shapes.py'
PLAIN = 'posthoc/faster-rcnn_r18_fpn_shapes.py'


@pytest.fixture
def built(shapes, tiny_config, tmp_path):
    """Function: a runner with random weights, its config, a checkpoint."""

    def build(name):
        torch.manual_seed(0)
        runner = Runner.from_cfg(tiny_config(name, shapes, tmp_path / 'work'))
        runner.cfg.dump(tmp_path / 'config.py')
        path = tmp_path / 'a.pth'
        torch.save(dict(state_dict=runner.model.state_dict()), path)
        return runner, tmp_path / 'config.py', path

    return build


@torch.no_grad()
def energies_of_plain_maps(runner):
    model, found = runner.model.eval(), []
    for batch in runner.build_dataloader(runner.cfg.val_dataloader):
        data = model.data_preprocessor(batch)
        rois = bbox2roi([s.gt_instances.bboxes for s in data['data_samples']])
        maps = model.neck[0](model.backbone(data['inputs']))
        logits = model.roi_head._bbox_forward(maps, rois)['cls_score'][:, :-1]
        found += (-np.log(np.exp(logits.double().numpy()).sum(1))).tolist()
    return found


def test_the_energy_of_each_kind_of_maps(built, monkeypatch, capsys):
    runner, *rest = built(DFDD)
    run_here(monkeypatch, 'analysis_tools/diagnose_dfdd', *rest)
    output = capsys.readouterr().out
    rows = dict(re.findall(r'^\| (\S.*?) +\|(.*)\|$', output, re.M))
    assert {'E (as at test)', 'outliers', 'F_0', 'F_T'} <= set(rows)
    mean, deviation, _ = map(float, rows['F_0'].split('|'))
    expected = energies_of_plain_maps(runner)
    assert mean == pytest.approx(np.mean(expected), abs=0.006)
    assert deviation == pytest.approx(np.std(expected), abs=0.006)
    left = re.search(r'blur left, by level: (.*)', output)[1].split(', ')
    assert len(left) == 3


def test_a_detector_without_dfdd(built, monkeypatch):
    _, *rest = built(PLAIN)
    with pytest.raises(SystemExit, match='no DFDD: model.neck must be a list'):
        run_here(monkeypatch, 'analysis_tools/diagnose_dfdd', *rest)
