"""A classifier whose classes join step by step.

Shapes: N samples, C features, K classes of all steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmood.registry import MODELS

# Far below every logit, and finite in half precision.
UNSEEN = -1e4


@MODELS.register_module()
class GrowingLinear(nn.Linear):
    """Linear layer (N, C) -> (N, M) that has seen ``num_seen`` of K classes.

    The logits of the classes from ``num_seen`` on are -10^4, without a
    gradient; the last ``num_rest`` = M - K are kept: background, or
    unknown and background. So a step neither predicts nor unlearns
    the classes of later ones, and a checkpoint fits the layer of any step. One
    of fewer classes fits too: the rows of the others stay as they are.
    In training the first ``num_old`` classes are shut as well, so that
    images without labels of them do not teach that they are background.
    Use it as ``cls_predictor_cfg=dict(type='mmood.GrowingLinear',
    num_seen=...)`` of a box head.

    Raises ValueError if ``num_seen`` is not from 1 to K, or ``num_old`` not
    from 0 to ``num_seen``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        num_seen: int,
        num_rest: int = 1,
        bias: bool = True,
        *,
        num_old: int = 0,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        self.num_classes = out_features - num_rest
        if not 1 <= num_seen <= self.num_classes:
            raise ValueError(
                f'num_seen must be from 1 to {self.num_classes}, the number '
                f'of classes of all steps, got {num_seen}'
            )
        if not 0 <= num_old <= num_seen:
            raise ValueError(
                f'num_old must be from 0 to num_seen={num_seen}, got {num_old}'
            )
        self.num_seen, self.num_old = num_seen, num_old

    def forward(self, inputs: Tensor) -> Tensor:
        logits = super().forward(inputs)
        index = torch.arange(self.out_features, device=logits.device)
        shut = (index >= self.num_seen) & (index < self.num_classes)
        if self.training:
            shut |= index < self.num_old
        return logits.masked_fill(shut, UNSEEN)

    def _classes_in(self, given: Tensor | None, own: Tensor) -> int:
        """How many classes a layer of fewer has; 0 if it is no such one."""
        if given is None or given.shape[1:] != own.shape[1:]:
            return 0
        rest = self.out_features - self.num_classes
        return max(len(given) - rest, 0) if len(given) < len(own) else 0

    def knows(self, weight: Tensor | None) -> bool:
        """Whether this weight of a layer of fewer classes has all seen."""
        return self._classes_in(weight, self.weight) >= self.num_seen

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args
    ) -> None:
        for name, own in self.named_parameters():
            given = state_dict.get(prefix + name)
            number = self._classes_in(given, own)
            if given is not None and number:
                grown = own.detach().clone()
                grown[:number] = given[:number]
                grown[self.num_classes :] = given[number:]
                state_dict[prefix + name] = grown
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        own = f'num_seen={self.num_seen}, num_old={self.num_old}'
        return f'{super().extra_repr()}, {own}'
