"""What is frozen, and what only keeps its statistics."""

from torch import nn

from mmood.backbones.freezing import freeze, keep_statistics


def test_only_what_a_module_holds_itself_is_frozen():
    inner, outer = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))
    outer.append(inner)
    outer.register_parameter('own', nn.Parameter(inner.bias.detach().clone()))
    assert freeze([outer]) == [outer]
    frozen = {n for n, p in outer.named_parameters() if not p.requires_grad}
    assert frozen == {'own'}


def test_statistics_of_fixed_modules_or_of_all_norms_are_kept():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(), nn.BatchNorm2d(2))
    keep_statistics(model, [model[0]], norm_eval=False)
    assert [m.training for m in model] == [False, True, True]
    keep_statistics(model, [model[1]], norm_eval=True)
    assert [m.training for m in model] == [False, False, False]
