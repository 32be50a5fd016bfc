"""The Python blocks of the pages run.

A block that only sets names is a config: it is loaded with its bases, or
executed where it is a piece of one, and the types in it are registered and
take its keys. Any other block is a program and is executed, in a folder with
small files of the names that it reads.
"""

from __future__ import annotations

import ast
import re

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import VOCDataset
from mmengine.config import Config
from mmengine.registry import DefaultScope

from doc_blocks import OOD_KEYS, blocks, check_types, here, write_configs
from helpers import ROOT, SEGMENTOR, tiny_options, tiny_seg_options
from mmood.recipe import load
from mmood.registry import PAINTERS

# Whose blocks are run, with a training, by a test of their own.
ELSEWHERE = {
    'docs/en/deploy.md': 'test_deploy.py',
    'docs/en/extend.md': 'test_extend.py',
}
BLOCKS = [b for b in blocks('python') if b.page not in ELSEWHERE]
CONFIGS = [block for block in BLOCKS if block.is_config]
PROGRAMS = [block for block in BLOCKS if not block.is_config]
DETECTOR = 'posthoc/faster-rcnn_r18_fpn_shapes.py'
# Of a page of its own that others name.
OWN_DATA = next(b for b in CONFIGS if b.file == 'my_data.py')


@pytest.mark.parametrize('page', ELSEWHERE)
def test_the_other_test_is_there(page):
    text = (ROOT / 'tests/test_docs' / ELSEWHERE[page]).read_text()
    assert page in text


@pytest.mark.parametrize('block', CONFIGS, ids=str)
def test_a_config_is_loaded(block, tmp_path):
    if "'my_data.py'" in block.code:
        code = here(OWN_DATA.code, OWN_DATA.page)
        (tmp_path / OWN_DATA.file).write_text(code)
    if '_base_' in block.code:
        write_configs(block.page, block.line, tmp_path)
        path = tmp_path / block.file
        cfg = Config.fromfile(path)
        # A tool's settings have no model.
        assert load(path) if 'model' in cfg else cfg
        check_names(block, tmp_path)
    else:
        execute_piece(block.code)
    check_types(block.code)


def check_names(block, folder):
    """What a block sets its bases have or look up, or the block uses."""
    tree = ast.parse(block.code)
    bases = next(node for node in tree.body if targets(node) == ['_base_'])
    path = folder / 'bases_alone.py'
    path.write_text(here(ast.unparse(bases), block.page))
    base = Config.fromfile(path)
    known = {*base, *re.findall(r'\$\{?(\w+)', str(base._cfg_dict))}
    known |= {'_base_', 'ood', 'load_from'}
    for name in [name for node in tree.body for name in targets(node)]:
        assert name in known or block.code.count(name) > 1, name


def targets(node):
    """Names that a statement sets."""
    found = ast.walk(ast.Tuple(node.targets)) if assigns(node) else ()
    return [part.id for part in found if isinstance(part, ast.Name)]


def assigns(node):
    return isinstance(node, ast.Assign)


def execute_piece(code):
    """A piece without bases: it runs, and a method's block has its keys."""
    values = dict(VOC_CLASSES=VOCDataset.METAINFO['classes'])
    exec(compile(code, 'piece', 'exec'), values)
    assert set(values.get('ood', ())) <= OOD_KEYS


def test_a_wrong_key_or_type_is_found():
    right = "dict(type='mmood.SIRENLoss', channels=16, loss_weight=1.5)"
    assert check_types(right) == 1
    with pytest.raises(AssertionError, match='takes no chanels'):
        check_types(right.replace('channels', 'chanels'))
    with pytest.raises(AssertionError, match='SIRENLos'):
        check_types(right.replace('SIRENLoss', 'SIRENLos'))


def save_model(cfg, classes, folder):
    """An untrained model's files, as the blocks name them."""
    from mmengine.registry import MODELS

    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    cfg.dump(folder / 'config.py')
    meta = dict(dataset_meta=dict(classes=classes, palette='random'))
    state = dict(state_dict=model.state_dict(), meta=meta)
    for name in ('checkpoint.pth', 'epoch_10.pth'):
        torch.save(state, folder / name)


@pytest.fixture
def folder(request, tmp_path, monkeypatch):
    """The current folder, with all that a program reads."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for name in ('images/1.png', 'image.png', 'image.jpg'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(name, pixels)
    track = tmp_path / 'data/dataset_AnomalyTrack/images'
    track.mkdir(parents=True)
    cv2.imwrite(str(track / '1.jpg'), pixels)
    scores = tmp_path / 'work_dirs/demo/ood/ood_scores_energy.npz'
    scores.parent.mkdir(parents=True)
    np.savez(scores, id=np.arange(20.0), near=np.arange(10.0, 30))
    return tmp_path


def model_of(code, data):
    """The small config whose files a program reads."""
    options = {'ood.scores': ['energy']}
    if 'from mmood.seg import' in code:
        options.update(tiny_seg_options(data, SEGMENTOR))
        return load(ROOT / 'configs' / SEGMENTOR, options)
    options.update(tiny_options(data))
    return load(ROOT / 'configs' / DETECTOR, options)


@pytest.mark.parametrize('block', PROGRAMS, ids=str)
def test_a_program_runs(block, folder):
    if '.pth' in block.code:
        cfg = model_of(block.code, folder)
        save_model(cfg, tuple('abcdefgh'), folder)
    before = dict(PAINTERS.module_dict)
    code = compile(block.code, str(block), 'exec')
    exec(code, dict(__name__='block'))
    for name in set(PAINTERS.module_dict) - set(before):
        del PAINTERS.module_dict[name]
