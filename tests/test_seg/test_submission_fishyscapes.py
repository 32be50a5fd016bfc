"""What the folder for Fishyscapes is made of; run in test_submission.py."""

import importlib
import json
import re
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.datasets import CityscapesDataset

from helpers import ROOT
from mmood.seg.submission import fishyscapes
from mmood.seg.submission.run import Method
from seg_helpers import build_segmentor, tiny_segmentor

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
LOGITS = dict(scores=['energy', 'msp'], losses=[])


def config(**model):
    cfg = dict(
        default_scope='mmseg',
        load_from='/secret/place.pth',
        model=tiny_segmentor(**{**LOGITS, **model}),
        test_dataloader=dict(
            dataset=dict(
                type='mmood.OODSegDataset',
                data_root='/secret/data',
                pipeline=PIPELINE,
            )
        ),
    )
    return Config(cfg)


@pytest.fixture
def checkpoint(tmp_path):
    """Function: the file of a model of so many classes, by their names."""

    def write(classes):
        head = tiny_segmentor().decode_head
        head.num_classes = len(classes)
        model = build_segmentor(**LOGITS, decode_head=head)
        meta = dict(dataset_meta=dict(classes=list(classes), palette=None))
        state = dict(state_dict=model.state_dict(), meta=meta)
        torch.save(state, tmp_path / 'model.pth')
        return str(tmp_path / 'model.pth'), dict(decode_head=head)

    return write


def test_what_is_in_the_folder(checkpoint, tmp_path, log):
    path, head = checkpoint(CityscapesDataset.METAINFO['classes'])
    folder = fishyscapes.write_package(
        config(**head), path, str(tmp_path / 'out'), method='ours', score='msp'
    )
    assert folder == tmp_path / 'out/ours'
    assert list(folder.parent.iterdir()) == [folder]
    assert {p.name for p in folder.iterdir()} == {
        *('run.py', 'requirements.txt', 'container.def', 'config.py'),
        *('checkpoint.pth', 'submission.json', 'mmood'),
    }
    about = json.loads((folder / 'submission.json').read_text())
    assert (about['method'], about['score']) == ('ours', 'msp')
    text = (folder / 'config.py').read_text()
    assert 'secret' not in text and 'LoadOODAnnotations' not in text
    sources = {
        str(p.relative_to(folder))
        for p in folder.rglob('*.py')
        if p.parts[len(folder.parts)] == 'mmood'
    }
    assert sources == {
        str(p.relative_to(ROOT)) for p in (ROOT / 'mmood').rglob('*.py')
    }
    assert not list(folder.rglob('__pycache__'))
    assert not log['warning']

    recipe = (folder / 'container.def').read_text()
    sections = re.findall(r'^%(\w+)$', recipe, re.M)
    assert sections == ['files', 'post', 'runscript']
    assert recipe.startswith('# apptainer build ours.simg container.def')
    assert 'exec python /submission/run.py' in recipe
    pinned = (folder / 'requirements.txt').read_text().splitlines()
    assert pinned == fishyscapes.requirements()
    assert pinned[0] == f'torch=={torch.__version__.split("+")[0]}'


def test_other_classes_are_a_warning(checkpoint, tmp_path, log):
    path, head = checkpoint('abcd')
    folder = fishyscapes.write_package(
        config(**head), path, str(tmp_path), method='ours'
    )
    assert "['a', 'b', 'c', 'd'], and not those of City" in log['warning'][0]
    with pytest.raises(ValueError, match=r'uint8 in RGB, got \(4, 6, 2\)'):
        method = Method(folder, 'cpu')
        method.predict(np.zeros((4, 6, 2), np.uint8))
    for wrong in (np.zeros((4, 6, 3)), np.zeros((4, 6), np.uint8)):
        with pytest.raises(ValueError, match='uint8 in RGB'):
            method.predict(wrong)


def test_scores_that_are_no_numbers(checkpoint, tmp_path):
    path, head = checkpoint('abcd')
    content = torch.load(path, weights_only=True)
    content['state_dict']['decode_head.conv_seg.bias'].fill_(float('nan'))
    torch.save(content, path)
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match="8192 of 8192 .* score 'energy' are"):
        fishyscapes.write_package(
            config(**head), path, str(out), method='ours'
        )
    assert not list(out.iterdir())


def test_the_models_caches_stay_here():
    backbone = dict(type='mmood.FrozenBackbone', cache='/x', backbone={})
    cfg = config(backbone=backbone, more=[dict(backbone=dict(backbone))])
    model = fishyscapes.portable(cfg).model
    assert model.backbone.cache is None
    assert model.more[0].backbone.cache is None
    assert cfg.model.backbone.cache == '/x'


def test_modules_of_ones_own_come_along(checkpoint, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / 'own_score.py').write_text('name = 1\n')
    (tmp_path / 'own_parts').mkdir()
    (tmp_path / 'own_parts/deep.py').write_text('name = 2\n')
    path, head = checkpoint('abcd')
    cfg = config(**head)
    imports = ['own_score', 'own_parts.deep', 'scipy.ndimage', 'mmood.scores']
    cfg.custom_imports = dict(imports=imports)
    importlib.invalidate_caches()
    folder = fishyscapes.write_package(
        cfg, path, str(tmp_path / 'out'), method='ours'
    )
    assert (folder / 'own_score.py').is_file()
    assert (folder / 'own_parts/deep.py').is_file()
    assert not (folder / 'scipy').exists()


def test_requirements_have_all_that_the_package_asks_for(monkeypatch):
    asked = set()
    for name in ('runtime', 'mminstall'):
        text = (ROOT / f'requirements/{name}.txt').read_text()
        asked |= set(re.findall(r'^([\w-]+)', text, re.M))
    found = fishyscapes.requirements()
    assert asked <= {one.split('==')[0] for one in found}
    assert all('+' not in one for one in found)
    monkeypatch.setitem(sys.modules, 'faiss', None)
    assert any(
        one.startswith('faiss-cpu') for one in fishyscapes.requirements()
    )
