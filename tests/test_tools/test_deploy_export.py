"""tools/deploy/export.py on a small checkpoint."""

import re

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
    for name, size in dict(a=(96, 96), b=(64, 110)).items():
        cv2.imwrite(str(folder / f'{name}.png'), noise(*size))
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
    pictures = [folder / 'a.png', folder / 'b.png']
    export('model.pth', '-o', out, '--check', *pictures)
    printed = capsys.readouterr().out
    megabytes = out.stat().st_size / 1e6
    assert f'{out}, {megabytes:.1f} MB: for pictures of any size' in printed
    assert re.search(r'\n2 pictures with \d+ boxes: \d+ ms each with', printed)
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
    assert re.search(r'a.onnx, [.\d]+ MB: for 64 x 64 pixels alone\n', printed)
    words = printed.split('difference from PyTorch: ')[1].split(', ')
    found = {key: float(value) for key, value in map(str.split, words)}
    assert set(found) == {'energy', 'msp', 'classes'}
    assert max(found.values()) < 1e-3
    assert OnnxModel(out).about['task'] == 'segmentation'


@pytest.mark.filterwarnings('ignore:.*no ood_threshold')
def test_scores_that_are_left_out_are_named(
    folder, tmp_path, monkeypatch, capsys
):
    cfg = load(folder / 'config.py')
    cfg.model.bbox_head.scores = ['energy', 'knn']
    cfg.dump(tmp_path / 'config.py')
    files = tmp_path / 'config.py', folder / 'model.pth'
    out = tmp_path / 'a.onnx'
    with pytest.raises(SystemExit, match="'knn' is not fitted: run tools/fit"):
        run_here(
            monkeypatch, 'deploy/export', *files, '-o', out, '--scores', 'knn'
        )
    run_here(monkeypatch, 'deploy/export', *files, '-o', out)
    assert "left out: the score 'knn' is not fitted" in capsys.readouterr().out
    assert OnnxModel(out).about['scores'] == ['energy']


@pytest.mark.filterwarnings('ignore:.*no ood_threshold')
def test_another_score_than_the_models_first_may_decide(
    export, folder, tmp_path, capsys
):
    """PyTorch's is_ood is by the first one, and so is not compared."""
    out, names = tmp_path / 'a.onnx', ('--scores', 'max_logit')
    export('model.pth', '-o', out, *names, '--check', folder / 'a.png')
    *_, said = capsys.readouterr().out.strip().splitlines()
    assert 'max_logit' in said and 'is_ood' not in said
