"""tools/deploy/export.py on a small checkpoint."""

import cv2
import pytest
import torch

from deploy_helpers import CLASSES, noise
from helpers import ROOT, SEGMENTOR, run_here, tiny_seg_options
from mmood.deploy.run import OnnxModel
from mmood.recipe import load
from mmood.registry import MODELS


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A config with its checkpoint, one of other classes, a picture."""
    folder = tmp_path_factory.mktemp('model')
    path = ROOT / 'configs/posthoc/retinanet_r18_fpn_shapes.py'
    options = dict(classes=CLASSES, width=16)
    cfg = load(path, options)
    cfg.model.bbox_head.scores = ['energy', 'max_logit']
    cfg.model.bbox_head.stacked_convs = 1
    cfg.model.test_cfg.update(score_thr=0.005, nms_pre=50, max_per_img=20)
    cfg.dump(folder / 'config.py')
    torch.manual_seed(0)
    state = MODELS.build(cfg.model).state_dict()
    save(folder / 'model.pth', state)
    weight = 'bbox_head.retina_cls.weight'
    save(folder / 'other.pth', {**state, weight: state[weight][:-2]})
    cv2.imwrite(str(folder / 'a.png'), noise(96, 96))
    return folder


def save(path, state):
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=state, meta=meta), path)


@pytest.fixture
def export(folder, monkeypatch):
    def run(checkpoint, *options):
        config, path = folder / 'config.py', folder / checkpoint
        run_here(monkeypatch, 'deploy/export', config, path, *options)

    return run


@pytest.mark.filterwarnings('ignore:.*no ood_threshold')
def test_it_writes_checks_and_says_what_is_missing(
    export, folder, tmp_path, capsys
):
    out = tmp_path / 'new' / 'a.onnx'
    export('model.pth', '-o', out, '--check', folder / 'a.png')
    printed = capsys.readouterr().out
    assert f'{out}: for pictures of any size' in printed
    assert 'no threshold of energy: is_ood is left out' in printed
    *_, said = printed.strip().splitlines()
    assert 'largest difference from PyTorch: unmatched 0, boxes' in said
    about = OnnxModel(out).about
    assert about['scores'] == ['energy', 'max_logit']
    assert about['classes'] == [*CLASSES]


@pytest.mark.filterwarnings('ignore')
def test_a_checkpoint_of_other_classes_is_refused(export, tmp_path):
    with pytest.raises(SystemExit, match=r'1 of \d+ weights .*retina_cls'):
        export('other.pth', '-o', tmp_path / 'a.onnx')
    assert not list(tmp_path.iterdir())


def test_a_missing_checkpoint_and_a_folder(export, tmp_path, capsys):
    with pytest.raises(SystemExit, match='there is no checkpoint'):
        export('none.pth', '-o', tmp_path / 'a.onnx')
    with pytest.raises(SystemExit):
        export('model.pth', '-o', tmp_path)
    assert 'is a folder: name a file' in capsys.readouterr().err


@pytest.mark.filterwarnings('ignore:.*no ood_threshold')
def test_an_unknown_score_is_refused(export, tmp_path):
    with pytest.raises(SystemExit, match=r"scores must be of .* got \['x'\]"):
        export('model.pth', '-o', tmp_path / 'a.onnx', '--scores', 'x')


@pytest.mark.filterwarnings('ignore')
def test_a_segmentor(tmp_path, monkeypatch, capsys):
    """Its position embedding is of one size, that of the config."""
    options = tiny_seg_options(tmp_path, SEGMENTOR)
    cfg = load(ROOT / 'configs' / SEGMENTOR, options)
    cfg.dump(tmp_path / 'config.py')
    torch.manual_seed(0)
    torch.save(
        dict(state_dict=MODELS.build(cfg.model).state_dict()),
        tmp_path / 'model.pth',
    )
    cv2.imwrite(str(tmp_path / 'a.png'), noise(64, 64))
    files = (tmp_path / name for name in ('config.py', 'model.pth'))
    out, rest = tmp_path / 'a.onnx', ('--scores', 'energy', 'msp')
    rest += ('--size', 64, 64, '--check', tmp_path / 'a.png')
    run_here(monkeypatch, 'deploy/export', *files, '-o', out, *rest)
    printed = capsys.readouterr().out
    assert f'{out}: for 64 x 64 pixels alone\n' in printed
    words = printed.split('difference from PyTorch: ')[1].split(', ')
    found = {key: float(value) for key, value in map(str.split, words)}
    assert set(found) == {'energy', 'msp', 'classes'}
    assert max(found.values()) < 1e-3
    assert OnnxModel(out).about['task'] == 'segmentation'
