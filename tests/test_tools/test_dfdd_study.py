"""The study of DFDD and VOS: each row changes what it says, and no more."""

import pytest
from experiments import spec

from helpers import ROOT
from mmood.changes import difference
from mmood.necks import DFDDNeck
from mmood.outliers import BlurredOutliers
from mmood.recipe import load
from mmood.registry import MODELS

SPEC = 'configs/tables/dfdd_study_voc-animals.yaml'
PUBLISHED = ('plain', 'DFDD as published', 'VOS as published')
HELD_OUT = ['horse', 'cow']


@pytest.fixture
def table(monkeypatch):
    monkeypatch.chdir(ROOT)
    return spec.load_table(ROOT / SPEC)


@pytest.fixture
def rows(table):
    """Resolved configs by the rows' names, as the tools make them."""
    return {row.name: load(row.config, row.cfg_options) for row in table.rows}


def test_options_reach_the_tools_as_they_are(table):
    for row in table.rows:
        assert spec.to_arguments(row.cfg_options)
        if row.load_from:
            assert row.load_from.stem == table.rows[3].folder
            assert row.cfg_options['max_epochs'] == 2


def test_a_row_differs_from_the_published_one_by_its_options_alone(
    table, rows
):
    for row in table.rows:
        method = row.name.split()[0].rstrip(',')
        if row.name in PUBLISHED or 'epochs' in row.name:
            continue
        published = f'{method} as published'
        base = next(r for r in table.rows if r.name == published)
        own = set(row.cfg_options) - set(base.cfg_options)
        assert own, row.name
        changes = difference(
            rows[published]._cfg_dict, rows[row.name]._cfg_dict
        )
        of_model = [path for path, _ in changes if path[0] == 'model']
        assert len(of_model) == len(own), row.name
        assert {path[0] for path, _ in changes} <= {'model', 'recipe', 'ood'}


def test_no_image_to_learn_or_calibrate_from_has_a_held_out_object(rows):
    for cfg in rows.values():
        assert not set(HELD_OUT) & set(cfg.classes)
        assert cfg.model.roi_head.bbox_head.num_classes == 6
        own, *others, painted = cfg.test_dataloader.dataset.datasets
        known = [cfg.train_dataloader.dataset, cfg.val_dataloader.dataset]
        known += [own, cfg.get('fit_dataloader', cfg.val_dataloader).dataset]
        for dataset in known:
            assert dataset.type == 'mmood.IDCocoDataset'
            assert list(dataset.without) == HELD_OUT
        assert [d.name for d in others] == ['held_out_train', 'held_out_val']
        for dataset in others:
            assert list(dataset.with_any) == HELD_OUT
            assert list(dataset.without) == list(cfg.classes)
        assert painted.name == 'painted'


def test_the_published_rows_are_the_methods_of_the_configs(rows):
    head = rows['DFDD as published'].model.roi_head
    assert head.outliers == dict(type='mmood.BlurredOutliers')
    assert [loss.loss_weight for loss in head.losses] == [0.1, 0.001]
    neck = rows['DFDD as published'].model.neck[1]
    assert neck.diffusion.sigma_end == 0.8
    assert 'enhance_outliers' not in neck
    assert rows['VOS as published'].model.roi_head.outliers == dict(
        type='mmood.VirtualOutlierSynthesis',
        queue_size=300,
        start_share=2 / 3,
    )


def test_the_parts_of_some_rows_are_built(rows):
    neck = MODELS.build(
        rows['DFDD, sigma_T 1.6 0.8 0.4 by level'].model.neck[1]
    )
    ends = [diffusion.sigmas[-1] for diffusion in neck.diffusions]
    assert ends == pytest.approx([1.6, 0.8, 0.4])
    last = rows['DFDD, after pooling, detached, from 2/3 on']
    outliers = MODELS.build(last.model.roi_head.outliers)
    assert outliers.detach and outliers.maps == ()
    assert outliers.start_share == 0.6667
    assert outliers.diffusion.sigmas[-1] == pytest.approx(0.8)
    none = rows['DFDD, no outliers (tau 0)'].model.roi_head.losses[0]
    assert MODELS.build(none).loss_weight == 0


def test_the_method_of_outliers_after_pooling(tmp_path, rows):
    """It is the last of the study's rows of DFDD."""
    bases = ('faster-rcnn_r18_fpn_shapes', 'methods/dfdd_roi')
    names = [f'{ROOT}/configs/_base_/{name}.py' for name in bases]
    (tmp_path / 'a.py').write_text(f'_base_ = {names}')
    model = load(tmp_path / 'a.py').model
    outliers = MODELS.build(model.roi_head.outliers)
    assert isinstance(outliers, BlurredOutliers) and outliers.detach
    assert outliers.start_share == 2 / 3
    row = rows['DFDD, after pooling, detached, from 2/3 on'].model.roi_head
    same = MODELS.build(row.outliers)
    assert outliers.diffusion.sigmas == same.diffusion.sigmas
    assert model.roi_head.losses == row.losses
    assert MODELS.get(model.neck[1].type) is DFDDNeck
