"""Writing a file: sizes, errors, what is left of a failure."""

import sys

import onnx
import pytest
import torch
from torch import nn

from mmood.deploy.export import Plan, check_packages, write
from mmood.deploy.run import OnnxModel

ABOUT = dict(
    divisor=4, pad_size=None, steps=[], task='segmentation', scores=['e']
)


class OfOneSize(nn.Module):
    """Its weights have the size of the picture."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, 12))

    def forward(self, image, inner):
        return (image * self.weight,)


class Branching(nn.Module):
    def forward(self, image, inner):
        return (image if image.sum() > 0 else -image,)


def planned(graph):
    return Plan(graph, ('image', 'inner'), ['x'], dict(ABOUT))


def test_what_cannot_have_any_size_has_one(tmp_path):
    path = tmp_path / 'a.onnx'
    said = write(planned(OfOneSize()), path, (8, 12))
    assert said.startswith(
        f'{path}, 0.0 MB: for 8 x 12 pixels alone, as no graph'
    )
    assert OnnxModel(path).about == dict(ABOUT, size=[8, 12])
    onnx.checker.check_model(onnx.load(path), full_check=True)


def test_what_cannot_be_traced_leaves_nothing(tmp_path):
    path = tmp_path / 'a.onnx'
    path.write_text('as it was')
    with pytest.raises(ValueError, match='the model cannot be exported: .*'):
        write(planned(Branching()), path, (8, 12))
    assert path.read_text() == 'as it was'
    assert [p.name for p in tmp_path.iterdir()] == ['a.onnx']


def test_a_size_must_be_padded(tmp_path):
    with pytest.raises(ValueError, match=r'multiples of 4, .* got \(8, 13\)'):
        write(planned(nn.Identity()), tmp_path / 'a.onnx', (8, 13))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    with pytest.raises(
        ImportError, match=r'onnxscript: pip .*mmood\[deploy\]'
    ):
        check_packages()


class Growing(nn.Module):
    """Its trace computes something else for pictures of another height."""

    def forward(self, image, inner):
        if torch.compiler.is_exporting() or image.shape[2] == 8:
            return (image,)
        return (-image,)


def test_what_another_size_shows_to_be_wrong_has_one_size(tmp_path):
    said = write(planned(Growing()), tmp_path / 'a.onnx', (8, 12))
    assert 'for 8 x 12 pixels alone' in said
    assert '(x would not be what PyTorch computes)' in said


class Wrong(nn.Module):
    def forward(self, image, inner):
        return (image if torch.compiler.is_exporting() else -image,)


def test_a_graph_that_computes_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match='x would not be what PyTorch comp'):
        write(planned(Wrong()), tmp_path / 'a.onnx', (8, 12), is_fixed=True)
    assert not list(tmp_path.iterdir())


class Noisy(nn.Module):
    def forward(self, image, inner):
        return (image + torch.randn(image.shape),)


def test_noise_has_the_size_of_the_picture(tmp_path):
    said = write(planned(Noisy()), tmp_path / 'a.onnx', (8, 12))
    assert '8 x 12 pixels alone, as no graph of any size' in said
    assert 'its noise has the size of a map' in said
