"""Half precision raised to float32, the rest left alone."""

import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData

from mmood.ops import full_products, raised, to_float32


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_raised_with_its_graph(dtype):
    x = torch.tensor([0.5, -3.0, 1000.0], dtype=dtype, requires_grad=True)
    y = raised(x)
    assert y.dtype == torch.float32
    assert y.tolist() == [0.5, -3.0, 1000.0]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.int64])
def test_what_is_wide_enough_is_the_same_tensor(dtype):
    x = torch.zeros(0, 2, dtype=dtype)
    assert raised(x) is x


def test_products_are_full_inside_alone_also_after_an_error():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision('medium')
        with pytest.raises(KeyError), full_products():
            assert torch.get_float32_matmul_precision() == 'highest'
            raise KeyError
        assert torch.get_float32_matmul_precision() == 'medium'
    finally:
        torch.set_float32_matmul_precision(before)


def test_full_precision_at_any_depth():
    sample = BaseDataElement(metainfo=dict(img_path='a.png'))
    sample.pred_instances = InstanceData(
        scores=torch.tensor([0.5], dtype=torch.bfloat16),
        labels=torch.tensor([3]),
        is_ood=torch.tensor([True]),
    )
    to_float32(sample)
    kinds = {k: v.dtype for k, v in sample.pred_instances.items()}
    expected = (torch.float32, torch.int64, torch.bool)
    assert kinds == dict(zip(('scores', 'labels', 'is_ood'), expected))
    assert sample.pred_instances.numpy().scores.tolist() == [0.5]
