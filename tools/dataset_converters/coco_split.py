"""Parts of a COCO json, drawn at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from coco_json import fail, number
from coco_ood import take_images


def parse_shares(texts: Sequence[str]) -> dict[str, float]:
    """``['train=0.8', 'val=0.2']`` -> shares by name, which add up to 1."""
    shares = {}
    for text in texts:
        name, _, share = text.partition('=')
        if not name or '/' in name or name in shares:
            fail(f'--shares {text!r} should be PART=SHARE, each part once')
        shares[name] = number(share, f'--shares: the share of {name!r}')
    if min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        fail(
            f'--shares must be positive and add up to 1, got '
            f'{" ".join(texts)}; their sum is {sum(shares.values()):g}'
        )
    return shares


def part_path(out: str | Path, part: str) -> Path:
    """``OUT.json`` -> ``OUT_part.json``."""
    out = Path(out)
    return out.with_name(f'{out.stem}_{part}{out.suffix}')


def deal(coco: dict, shares: dict[str, float], seed: int) -> dict[str, dict]:
    """Parts with these shares of the images; ids stay as they are.

    The same file names, shares and seed give the same parts. Ends the tool
    if there are too few images for one in each part.
    """
    images = sorted(coco['images'], key=lambda image: image['file_name'])
    random.Random(seed).shuffle(images)
    categories = {category['id'] for category in coco['categories']}
    parts, start, total = {}, 0, 0.0
    for name, share in shares.items():
        total += share
        end = round(total * len(images))
        if start == end:
            fail(f'--shares: {len(images)} images are too few for {name!r}')
        ids = {image['id'] for image in images[start:end]}
        parts[name] = take_images(coco, ids, categories)
        start = end
    return parts
