"""The block of docs/en/deploy.md, on a file whose one box is constant."""

import json
import re

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from helpers import ROOT
from mmood.deploy.run import KEY

ABOUT = dict(
    task='detection',
    scores=['energy'],
    thresholds=dict(energy=-1.0),
    classes=['car'],
    steps=[],
    order='bgr',
    mean=None,
    std=None,
    divisor=1,
    pad_size=None,
    pad_value=0,
    size=None,
)
FOUND = dict(
    boxes=np.float32([[1, 2, 3, 4]]),
    labels=np.array([0]),
    scores=np.float32([0.5]),
    ood_scores_energy=np.float32([0.25]),
)


def test_it_prints_what_is_found(tmp_path, monkeypatch, capsys):
    image = helper.make_tensor_value_info(
        'image', TensorProto.FLOAT, [1, 3, 'h', 'w']
    )
    nodes = [
        helper.make_node(
            'Constant', [], [name], value=numpy_helper.from_array(value)
        )
        for name, value in FOUND.items()
    ]
    outputs = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in FOUND.items()
    ]
    graph = helper.make_graph(nodes, 'g', [image], outputs)
    opsets = [helper.make_opsetid('', 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    helper.set_model_props(model, {KEY: json.dumps(ABOUT)})
    onnx.save(model, tmp_path / 'model.onnx')
    cv2.imwrite(str(tmp_path / 'photo.jpg'), np.zeros((8, 8, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    page = (ROOT / 'docs/en/deploy.md').read_text()
    (code,) = re.findall('```python\n(.*?)```', page, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == "['car'] [0.5] [ True]\n"
