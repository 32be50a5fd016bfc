"""A backbone that stays as it is, and runs once for each picture.

Shapes: B images, C channels, H x W pixels, h x w cells of a feature map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmood.ops import full_products
from mmood.registry import MODELS

from .store import (
    Maps,
    OutputStore,
    T,
    digest,
    map_tensors,
    picture_key,
    split,
    stack,
)

_DTYPES = ('float16', 'bfloat16', 'float32')
Recorder = Callable[[], AbstractContextManager]


@MODELS.register_module()
class FrozenBackbone(BaseModule):
    """Any backbone in eval mode and without gradients, (B, 3, H, W) -> maps.

    With a ``cache`` its outputs are kept on disk, under the content of the
    picture that the backbone is given, in a folder of the backbone's config
    and weights: another picture, size, config or checkpoint can never find
    them. Whatever shows a picture again, in any training of heads, fit,
    calibration or test, in any process or rank, reads them. Pictures that
    are drawn anew each time, as by random crops, never come again; a flip
    makes two.

    Keys of the state are those of the wrapped backbone. Outputs have the
    rounding of ``dtype`` with and without a hit, and are float32; mixed
    precision and that of torch's products do not change them. Gradients with
    respect to the pictures pass: then the cache is left alone.

    Args:
        backbone: config of the backbone.
        cache: folder, made when needed; None: nothing is kept.
        dtype: of what is kept: float16, bfloat16 or float32.
        probes: arguments of features to keep from the same pass, where the
            model has probes, e.g. ``[dict(keys=8), dict(keys=-1)]``.
        max_gigabytes: of the folder; when it is full no more is written.

    Raises ValueError for another dtype.
    """

    def __init__(
        self,
        backbone: dict,
        cache: str | None = None,
        *,
        dtype: str = 'float16',
        probes: Sequence[dict] = (),
        max_gigabytes: float = 100.0,
    ) -> None:
        super().__init__()
        if dtype not in _DTYPES:
            raise ValueError(f'dtype must be one of {_DTYPES}, got {dtype!r}')
        self.config = {**backbone, 'dtype': dtype}
        self.body: nn.Module = MODELS.build(backbone)
        self.requires_grad_(False)
        self.dtype, self.probes = getattr(torch, dtype), list(probes)
        # Features to keep from each pass, by name.
        self.recorders: dict[str, Recorder] = {}
        self._asked: dict[str, list[Tensor]] = {}
        self.fills_cache = True  # or reads it only
        self._store = OutputStore(cache, max_gigabytes) if cache else None
        self._seen: tuple = ()
        self.prefix = ''  # of its keys in the last state that was loaded
        self.register_load_state_dict_post_hook(_name_as_before)
        super().train(False)

    def train(self, mode: bool = True) -> FrozenBackbone:
        return super().train(False)

    @property
    def has_cache(self) -> bool:
        return self._store is not None

    def drop_cache(self) -> None:
        """Run for each picture from now on."""
        self._store = None

    @contextmanager
    def record(self, name: str, recorder: Recorder) -> Iterator[list[Tensor]]:
        """The list that each forward pass inside appends its map to.

        ``recorder`` is a context of such a list around a pass of the
        backbone, which is run only for pictures that are not kept.
        """
        recorders = self.recorders
        self.recorders = {**recorders, name: recorder}
        self._asked[name] = []
        try:
            yield self._asked[name]
        finally:
            self.recorders = recorders
            del self._asked[name]

    def forward(self, inputs: Tensor) -> Maps:
        if inputs.requires_grad or self._store is None:
            outputs, features = self._run(inputs)
        else:
            outputs, features = self._remembered(inputs, self._store)
        for name, maps in self._asked.items():
            maps.append(features[name])
        return outputs

    def _remembered(
        self, inputs: Tensor, store: OutputStore
    ) -> tuple[Maps, dict[str, Tensor]]:
        folder = self._folder(store)
        keys = [picture_key(picture) for picture in inputs]
        found: list[Any] = [store.read(folder, key) for key in keys]
        missing = [
            i
            for i, kept in enumerate(found)
            if kept is None or not set(self.recorders) <= set(kept[1])
        ]
        if missing:
            new: list[Any] = split(self._run(inputs[missing]), len(missing))
            for i, made in zip(missing, new):
                if found[i] is not None:
                    made[1].update({**found[i][1], **made[1]})
                if self.fills_cache:
                    store.write(folder, keys[i], made, self.dtype)
                found[i] = made
        names = set.intersection(*(set(kept[1]) for kept in found))
        features: Any = {
            n: stack([kept[1][n] for kept in found]) for n in names
        }
        outputs = stack([kept[0] for kept in found])
        return map_tensors(lambda x: x.to(inputs), (outputs, features))

    def _run(self, inputs: Tensor) -> tuple[Maps, dict[str, Tensor]]:
        """The outputs, and the features by name, rounded."""
        kind = inputs.device.type
        with ExitStack() as contexts:
            contexts.enter_context(torch.autocast(kind, enabled=False))
            contexts.enter_context(full_products())
            maps = {
                name: contexts.enter_context(recorder())
                for name, recorder in self.recorders.items()
            }
            outputs = self.body(inputs.float())
        features = {name: found[-1] for name, found in maps.items()}
        return self._rounded(outputs), self._rounded(features)

    def _rounded(self, maps: T) -> T:
        return map_tensors(lambda x: x.to(self.dtype).float(), maps)

    def _folder(self, store: OutputStore) -> str:
        """Of this config and these weights; anew when they have changed."""
        state = self.body.state_dict()
        seen = tuple((v.data_ptr(), v._version) for v in state.values())
        if seen != self._seen:
            name = digest(self.config, state)
            store.open(name, self.config)
            self._seen, self._name = seen, name
        return self._name

    def state_dict(self, *args, **kwargs) -> dict:
        return self.body.state_dict(*args, **kwargs)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args, **kwargs
    ) -> None:
        """Take the keys of the backbone alone."""
        self.prefix = prefix
        for key in [k for k in state_dict if k.startswith(prefix)]:
            name = f'{prefix}body.{key[len(prefix) :]}'
            state_dict[name] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _name_as_before(
    model: FrozenBackbone, keys: tuple[list[str], list[str]]
) -> None:
    """Missing and unexpected keys have the names that the file has."""
    own = f'{model.prefix}body.'
    for names in keys:
        names[:] = [
            model.prefix + key[len(own) :] if key.startswith(own) else key
            for key in names
        ]
