"""What the tool says of a DFDD detector, against its parts."""

import json
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
    mean, deviation, *_ = map(float, rows['F_0'].split('|'))
    expected = energies_of_plain_maps(runner)
    assert mean == pytest.approx(np.mean(expected), abs=0.006)
    assert deviation == pytest.approx(np.std(expected), abs=0.006)
    left = re.search(r'blur left, by level: (.*)', output)[1].split(', ')
    assert len(left) == 3


@torch.no_grad()
def energies_at_test(runner, origin, loader='test_dataloader'):
    """Of the annotated objects of a set, by the head's own way."""
    model, found = runner.model.eval(), []
    for batch in runner.build_dataloader(runner.cfg[loader]):
        data = model.data_preprocessor(batch)
        for i, sample in enumerate(data['data_samples']):
            if sample.origin != origin:
                continue
            maps = model.neck(model.backbone(data['inputs'][i : i + 1]))
            rois = bbox2roi([sample.gt_instances.bboxes])
            logits = model.roi_head._bbox_forward(maps, rois)['cls_score']
            found += (-logits[:, :-1].logsumexp(1)).tolist()
    return np.array(found)


def test_objects_of_ood_sets_are_seen_as_at_test(built, monkeypatch, capsys):
    runner, *rest = built(DFDD)
    torch.nn.init.normal_(runner.model.neck[1].psi.residual.weight, std=0.1)
    torch.save(dict(state_dict=runner.model.state_dict()), rest[1])
    run = ('analysis_tools/diagnose_dfdd', *rest)
    run_here(monkeypatch, *run)
    assert '| near ' not in capsys.readouterr().out
    run_here(monkeypatch, *run, '--ood-sets')
    output = capsys.readouterr().out
    rows = dict(re.findall(r'^\| (\S.*?) +\|(.*)\|$', output, re.M))
    for name in ('near', 'far'):
        energies = energies_at_test(runner, name)
        mean, deviation, area, _ = rows[name].split('|')
        assert float(mean) == pytest.approx(energies.mean(), abs=0.006)
        assert float(deviation) == pytest.approx(energies.std(), abs=0.006)
        known = energies_at_test(runner, 'id', 'val_dataloader')
        above = energies[:, None] > known
        assert float(area) == pytest.approx(100 * above.mean(), abs=0.5)


def test_outliers_are_those_of_the_source(built, monkeypatch, capsys):
    """A blur of nothing after pooling: they are the known objects."""
    runner, config, path = built(DFDD)
    key = 'model.roi_head.outliers.after_pooling.'
    values = ('type=blur', 'sigma_start=0.05', 'sigma_end=0.05')
    more = ('--cfg-options', *(key + value for value in values))
    run_here(monkeypatch, 'analysis_tools/diagnose_dfdd', config, path, *more)
    output = capsys.readouterr().out
    rows = dict(re.findall(r'^\| (\S.*?) +\|(.*)\|$', output, re.M))
    known, outliers = rows['E (as at test)'], rows['outliers']
    assert outliers.split('|')[:2] == known.split('|')[:2]
    assert float(outliers.split('|')[2]) == pytest.approx(50, abs=0.01)


def test_the_loss_in_the_course_of_the_training(
    built, monkeypatch, capsys, tmp_path
):
    """In nats: without the weight tau = 0.1, the later log's numbers."""
    _, *rest = built(DFDD)
    for name, iterations in (('a', range(15)), ('b', range(10, 20))):
        folder = tmp_path / name / 'vis_data'
        folder.mkdir(parents=True)
        rows = [dict(lr=0.1, iter=1), dict(coco=1.0)]
        rows += [
            dict(iter=i, loss_uncertainty=0.01 * (i + (name == 'b')))
            for i in iterations
        ]
        lines = (json.dumps(row) for row in rows)
        (folder / 'scalars.json').write_text('\n'.join(lines))
    run_here(monkeypatch, 'analysis_tools/diagnose_dfdd', *rest)
    output = capsys.readouterr().out
    parts = re.search(r'in nats, by 10 parts .*: (.*)', output)[1].split(', ')
    values = [0.1 * (i + (i >= 10)) for i in range(20)]
    expected = np.mean(np.reshape(values, (10, 2)), 1)
    assert [float(part) for part in parts] == pytest.approx(expected, abs=6e-4)


def test_a_detector_without_dfdd(built, monkeypatch):
    _, *rest = built(PLAIN)
    with pytest.raises(SystemExit, match='no DFDD: model.neck must be a list'):
        run_here(monkeypatch, 'analysis_tools/diagnose_dfdd', *rest)
