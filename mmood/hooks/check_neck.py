"""Whether what a neck makes is what losses and heads want."""

from __future__ import annotations

from torch import Tensor, nn


def check_neck(model: nn.Module) -> None:
    """Raises ValueError for maps and losses that nobody makes, or takes.

    A neck that brings more than its levels says so in ``makes``, maps and
    losses by name; a loss or source of outliers names the ``maps`` that it
    looks at; a head that adds a neck's losses to its own has
    ``collects_losses``. Another neck behind it would drop both.
    """
    parts = list(model.modules())
    made = {name: part for part in parts for name in _names(part, 'makes')}
    chains = [list(part) for part in parts if isinstance(part, nn.Sequential)]
    for part in (part for chain in chains for part in chain[:-1]):
        if _names(part, 'makes'):
            name = type(part).__name__
            raise ValueError(
                f'the neck behind {name} drops its maps and losses: put '
                f'{name} last in the list of necks'
            )
    for part in parts:
        for name in _names(part, 'maps'):
            if name not in made:
                raise ValueError(
                    f'{type(part).__name__} looks at {name} maps, and no '
                    'neck makes them: put an mmood.DFDDNeck behind the FPN '
                    '(deblur=True for deblurred ones), or leave it out'
                )
    if any(getattr(part, 'collects_losses', False) for part in parts):
        return
    for name, neck in made.items():
        if name.startswith('loss'):
            raise ValueError(
                f'no head of {type(model).__name__} takes the {name} of '
                f'{type(neck).__name__}: set roi_head.type to '
                'mmood.OODRoIHead, or deblur=False in the neck'
            )


def put_into_chain(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Rename, in place, a plain neck's weights to those of a list's first.

    So a detector starts from one without the necks behind its FPN.
    """
    if not isinstance(getattr(model, 'neck', None), nn.Sequential):
        return
    for key in list(weights):
        part, _, name = key.partition('.')
        if part == 'neck' and not name.split('.')[0].isdigit():
            weights[f'neck.0.{name}'] = weights.pop(key)


def _names(part: nn.Module, attribute: str) -> tuple[str, ...]:
    """What a part of ours says; others may mean something else by it."""
    names = getattr(part, attribute, ())
    return names if isinstance(names, tuple) else ()
