"""Maps and losses that travel with the levels of a neck."""

import gc
import weakref

import pytest
import torch

from mmood.necks import Pyramid, collect_losses


def levels(grad=True):
    return [torch.randn(2, 3, n, n, requires_grad=grad) for n in (4, 2)]


def test_it_is_the_tuple_of_its_levels():
    maps = levels()
    pyramid = Pyramid(maps, dict(blurred=maps[:1]), dict(loss_a=maps[0].sum()))
    assert len(pyramid) == 2 and all(a is b for a, b in zip(pyramid, maps))
    assert pyramid.maps == dict(blurred=(maps[0],))
    assert type(pyramid[:1]) is tuple  # what heads cut off is plain


def test_heads_collect_the_losses():
    loss = torch.tensor(2.0)
    assert collect_losses(Pyramid(levels(), losses=dict(loss_a=loss))) == (
        dict(loss_a=loss)
    )
    assert collect_losses(tuple(levels())) == collect_losses(levels()) == {}
    assert collect_losses(Pyramid(levels())) == {}


@pytest.mark.parametrize('grad', [True, False])
def test_losses_that_no_head_takes_stop_the_training(grad):
    loss = torch.tensor(2.0)
    pyramid = Pyramid(levels(grad), losses=dict(loss_a=loss, loss_b=loss))
    with pytest.raises(RuntimeError, match='takes loss_a, loss_b of its'):
        pyramid[1].sum().backward()
    collect_losses(pyramid)
    pyramid[1].sum().backward()


def test_without_losses_nothing_is_changed():
    maps = levels(grad=False)
    pyramid = Pyramid(maps, dict(blurred=maps))
    assert not any(x.requires_grad for x in pyramid)
    loss = torch.tensor(2.0)
    assert all(x.requires_grad for x in Pyramid(maps, {}, dict(loss_a=loss)))


def test_a_step_leaves_no_maps_behind():
    """Without the garbage collector, which does not see autograd's hooks."""
    kept, maps = [], levels()
    gc.disable()
    try:
        for _ in range(3):
            grown = [x * 2 for x in maps]
            pyramid = Pyramid(grown, losses=dict(loss_a=grown[0].sum()))
            kept.append(weakref.ref(grown[0]))
            sum(collect_losses(pyramid).values()).backward()
            del pyramid, grown
            assert not any(one() is not None for one in kept)
    finally:
        gc.enable()
