"""The runner, without torch and MMEngine."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from helpers import ROOT
from mmood.deploy.run import KEY, OnnxModel

ABOUT = dict(
    task='segmentation',
    scores=['energy', 'msp'],
    thresholds=dict(energy=100.0),
    classes=['a', 'b'],
    steps=[dict(step='resize', scale=[6, 4], keep_ratio=False)],
    order='rgb',
    mean=None,
    std=None,
    divisor=4,
    pad_size=None,
    pad_value=0,
    size=None,
)


def save(path, about):
    """A graph whose scores are the sums of red, and of green."""
    types = dict(image=TensorProto.FLOAT, inner=TensorProto.INT64)
    shapes = dict(image=[1, 3, 'h', 'w'], inner=[2])
    inputs = [
        helper.make_tensor_value_info(name, types[name], shapes[name])
        for name in types
    ]
    names = ('classes', 'ood_scores_energy', 'ood_scores_msp')
    kinds = (TensorProto.INT64, TensorProto.FLOAT, TensorProto.FLOAT)
    outputs = [
        helper.make_tensor_value_info(name, kind, [1, 'h', 'w'])
        for name, kind in zip(names, kinds)
    ]
    zero, one = (
        helper.make_tensor(name, TensorProto.INT64, [], [value])
        for name, value in (('zero', 0), ('one', 1))
    )
    nodes = [
        helper.make_node('ArgMax', ['image'], ['classes'], axis=1, keepdims=0),
        helper.make_node('Gather', ['image', 'zero'], [names[1]], axis=1),
        helper.make_node('Gather', ['image', 'one'], [names[2]], axis=1),
    ]
    graph = helper.make_graph(nodes, 'g', inputs, outputs, [zero, one])
    opsets = [helper.make_opsetid('', 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    if about is not None:
        helper.set_model_props(model, {KEY: json.dumps(about)})
    onnx.save(model, path)
    return path


@pytest.fixture
def path(tmp_path):
    return save(tmp_path / 'a.onnx', ABOUT)


def picture():
    x = np.zeros((8, 12, 3), np.uint8)
    x[:4], x[4:, 6:] = (0, 0, 200), (0, 50, 90)
    return x


def test_a_map_is_judged_by_the_threshold(path):
    found = OnnxModel(path, threads=1)(picture())
    assert found['ood_scores']['energy'][0].tolist() == [200] * 6 + [0, 0]
    assert found['ood_scores']['msp'].shape == (4, 8)
    assert found['is_ood'].sum() == 12
    assert (found['score'], found['threshold']) == ('energy', 100)


def test_another_score_and_threshold(path):
    model = OnnxModel(path)
    assert 'is_ood' not in model(picture(), score='msp')
    found = model(picture(), score='msp', threshold=49.0)
    assert found['is_ood'].sum() == 6
    assert model(picture(), threshold=0.0)['is_ood'].sum() == 18
    turned = model(picture()[..., ::-1], order='rgb')
    np.testing.assert_array_equal(turned['classes'], found['classes'])
    with pytest.raises(ValueError, match=r"of \['energy', 'msp'\], got 'x'"):
        model(picture(), score='x')


def test_files_that_are_none(tmp_path, path):
    with pytest.raises(FileNotFoundError, match=r'there is no file .*b.onnx'):
        OnnxModel(tmp_path / 'b.onnx')
    with pytest.raises(ValueError, match='says nothing about its prepro'):
        OnnxModel(save(tmp_path / 'c.onnx', None))
    path.write_bytes(b'broken')
    with pytest.raises(ValueError, match='is no ONNX file that onnxruntime'):
        OnnxModel(path)


def test_a_file_of_one_size(tmp_path):
    model = OnnxModel(save(tmp_path / 'a.onnx', dict(ABOUT, size=[4, 4])))
    with pytest.raises(ValueError, match=r'for 4 x 4 .* 8 x 12 becomes 4 x 8'):
        model(picture())


BLOCKED = """
import sys
for name in ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'cv2', 'onnx'):
    sys.modules[name] = None
import numpy as np
from mmood.deploy.run import OnnxModel
found = OnnxModel(sys.argv[1])(np.full((8, 12, 3), 150, np.uint8))
print(found['is_ood'].sum())
"""


def test_it_needs_onnxruntime_and_numpy_alone(path):
    command = [sys.executable, '-c', BLOCKED, str(path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == '24', done.stderr[-2000:]


def test_without_onnxruntime_it_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ImportError, match='pip install onnxruntime'):
        OnnxModel(path)
