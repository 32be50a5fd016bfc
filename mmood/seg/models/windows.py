"""Parts of an image: its windows, rows of pixels, what scores are fitted on.

Shapes: B images, H x W pixels of the image that the network sees, with its
padding, h x w cells of a feature map, n of them with a label.
"""

from __future__ import annotations

import hashlib
import os.path as osp
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor

from mmood.losses.denoising import downsample
from mmood.scores import Samples, ScoreSet
from mmood.scores.fitted import rows

Box = tuple[int, int, int, int]

# Logits that are scored at once: what fits a cache, or keeps a GPU busy.
_TILE = dict(cpu=2**19, cuda=2**24)


def window_boxes(size: Sequence[int], test_cfg: Mapping) -> list[Box]:
    """(top, left, bottom, right) of the windows of an image (H, W).

    Those of mmseg's `EncoderDecoder.slide_inference`, in its order; in whole
    mode one that has the size of the image.
    """
    if test_cfg.get('mode', 'whole') == 'whole':
        height, width = size
        return [(0, 0, height, width)]
    crops, strides = test_cfg['crop_size'], test_cfg['stride']
    down, across = map(_spans, size, crops, strides)
    return [
        (top, left, bottom, right)
        for top, bottom in down
        for left, right in across
    ]


def _spans(length: int, crop: int, stride: int) -> list[tuple[int, int]]:
    """Ends of the windows along one side; the last one is moved inside."""
    count = max(length - crop + stride - 1, 0) // stride + 1
    ends = [min(i * stride + crop, length) for i in range(count)]
    return [(max(end - crop, 0), end) for end in ends]


def mean_of_windows(
    maps: Sequence[Tensor], boxes: Sequence[Box], resize: Callable
) -> Tensor:
    """Maps (B, h, w) of the windows -> their mean at each place, (B, 1, H, W).

    ``resize`` brings (B, 1, h, w) to a window's size. As mmseg's, of logits.
    Raises ValueError for another number of windows.
    """
    if len(maps) != len(boxes):
        raise ValueError(
            f'the segmentor looked at {len(maps)} windows, and there are '
            f'{len(boxes)} by its test_cfg: it must slide as mmseg does'
        )
    size = boxes[-1][2:]
    total = torch.zeros(len(maps[0]), 1, *size, device=maps[0].device)
    count = total.new_zeros(size)
    for part, (top, left, bottom, right) in zip(maps, boxes):
        window = resize(part[:, None].float(), (bottom - top, right - left))
        total[..., top:bottom, left:right] += window
        count[top:bottom, left:right] += 1
    return total / count


def both_classes(logits: Tensor) -> Tensor:
    """(B, 1, H, W) of a segmentor of one channel -> those of two classes."""
    if logits.shape[1] > 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], 1)


def row_scores(
    scores: ScoreSet, samples: Samples, names: Iterable[str] | None = None
) -> dict[str, Tensor]:
    """Scores (1, H, W) of logits (1, K, H, W) and values, float32.

    Some rows at a time, so that what is made on the way is small.
    """
    logits, values = samples.logits, samples.values
    _, classes, height, width = logits.shape
    tile = _TILE.get(logits.device.type, 2**24)
    step = max(1, tile // (classes * width))
    found: dict[str, Tensor] = {}
    for top in range(0, height, step):
        rows = slice(top, top + step)
        here = {name: value[:, rows] for name, value in values.items()}
        seen = replace(samples, logits=logits[:, :, rows], values=here)
        for name, part in scores(seen, names).items():
            if name not in found:
                size = (1, height, width)
                found[name] = logits.new_empty(size, dtype=torch.float32)
            found[name][:, rows] = part
    return found


def padding_of(meta: Mapping) -> tuple[int, int, int, int]:
    """Left, right, top and bottom padding of the image at test."""
    padding = meta.get('padding_size', [0] * 4)
    return tuple(meta.get('img_padding_size', padding))


def flip_dim(meta: Mapping) -> int | None:
    """The dimension of (*, H, W) that was flipped; None: neither."""
    if not meta.get('flip'):
        return None
    return -2 if meta['flip_direction'] == 'vertical' else -1


def unpadded(maps: Tensor, meta: Mapping) -> Tensor:
    """Maps (*, H, W) of the image without its padding and flip."""
    left, right, top, bottom = padding_of(meta)
    height, width = maps.shape[-2:]
    maps = maps[..., top : height - bottom, left : width - right]
    dim = flip_dim(meta)
    return maps if dim is None else maps.flip(dim)


def label_as_seen(
    label: Tensor, meta: Mapping, size: Sequence[int], ignore_index: int
) -> Tensor:
    """A label of the original image, resized, flipped and padded, (H, W)."""
    left, right, top, bottom = padding_of(meta)
    inner = (size[0] - top - bottom, size[1] - left - right)
    label = downsample(label[None], inner)[0]
    dim = flip_dim(meta)
    label = label if dim is None else label.flip(dim)
    return F.pad(label, (left, right, top, bottom), value=ignore_index)


def noise_key(meta: Mapping, image: Tensor) -> str | int:
    """The file's name; without a file the content."""
    if meta.get('img_path'):
        return osp.basename(meta['img_path'])
    return zlib.crc32(image.detach().cpu().contiguous().numpy().tobytes())


def image_key(name: object, label: Tensor) -> int:
    """A number for an image, the same on any machine: 64 bits, signed.

    Of its name and its label, because images of two folders may have one
    name.
    """
    content = hashlib.blake2b(repr(name).encode(), digest_size=8)
    content.update(label.cpu().numpy().tobytes())
    return int.from_bytes(content.digest(), 'big', signed=True)


def labelled_windows(
    sample: SegDataSample, label: Tensor, ignore_index: int
) -> Iterator[tuple[Samples, Tensor]]:
    """What was kept of each window of an image, and its label (h, w)."""
    size = sample.windows[-1][0][2:]
    whole = label_as_seen(label, sample.metainfo, size, ignore_index)
    for (top, left, bottom, right), seen in sample.windows:
        yield seen, whole[top:bottom, left:right]


def labelled_rows(
    seen: Samples, label: Tensor, ignore_index: int, key: int, number: int = 0
) -> tuple[Samples, Tensor, Tensor]:
    """Rows (n, *) of maps (1, *, h, w) where there is a label.

    Also their classes (n,) and identities (n,), which follow from the
    image's ``key``, the window's number and the place. ``label`` (H, W) is
    that of the window; a cell has the one of its centre.
    """
    maps = (seen.features, seen.logits, *seen.values.values())
    shape = next(part.shape[-2:] for part in maps if part is not None)
    here = downsample(label[None], shape).flatten()
    chosen = here != ignore_index
    logits, features = (
        None if part is None else rows(part)[chosen]
        for part in (seen.logits, seen.features)
    )
    values = {name: x.flatten()[chosen] for name, x in seen.values.items()}
    places = torch.arange(len(here), device=here.device)
    keys = places + number * len(here) + key
    found = Samples(
        logits,
        features,
        kind=seen.kind,
        classifier=seen.classifier,
        values=values,
    )
    return found, here[chosen], keys[chosen]
