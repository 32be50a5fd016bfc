"""Somebody who knows all objects, in the place of the person who looks.

For measurements: names whole groups of mined boxes by what most of them show,
and puts boxes right one by one. Shapes: n boxes of an unknown.json.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from mmood.mining import Truth
from mmood.mining.groups import NOT_GROUPED
from mmood.mining.results import BACKGROUND, KNOWN, UNKNOWN


def shown_classes(mined: Mapping, truth: Truth) -> list[str]:
    """What each box shows by `Truth.matched`: a class or 'background'."""
    files = {i['id']: i['file_name'] for i in mined['images']}
    names = [files[a['image_id']] for a in mined['annotations']]
    boxes = []
    for x, y, width, height in (a['bbox'] for a in mined['annotations']):
        boxes.append([x, y, x + width, y + height])
    return truth.matched(names, boxes)[0]


def names_of_groups(
    mined: Mapping, shown: Sequence[str], number: int
) -> dict[int, str]:
    """Names of the groups of ``number`` new classes.

    A group is of what most of its boxes show. The new classes with the most
    boxes in groups of theirs are chosen, so by the groups' sizes alone.
    Raises ValueError if there are fewer.
    """
    members: dict[int, Counter] = defaultdict(Counter)
    for box, name in zip(mined['annotations'], shown):
        members[box['attributes']['group']][name] += 1
    members.pop(NOT_GROUPED, None)
    of = {g: count.most_common(1)[0][0] for g, count in members.items()}
    sizes: Counter = Counter()
    for group, name in of.items():
        if name not in (BACKGROUND, *mined['info']['classes']):
            sizes[name] += sum(members[group].values())
    if len(sizes) < number:
        raise ValueError(
            f'groups show {len(sizes)} new classes, and {number} are wanted: '
            'mine more boxes, make more groups, or learn fewer classes'
        )
    wanted = [name for name, _ in sizes.most_common(number)]
    return {g: name for g, name in sorted(of.items()) if name in wanted}


def corrected(
    mined: Mapping, shown: Sequence[str], names: Mapping[int, str]
) -> tuple[dict, int]:
    """The file with each box of a named group as what it shows.

    And the number of boxes whose name had to be changed for that.
    """
    content = copy.deepcopy(dict(mined))
    ids = {c['name']: c['id'] for c in content['categories']}
    changed = 0
    for box, name in zip(content['annotations'], shown):
        given = names.get(box['attributes']['group'])
        if given is None:
            continue
        if name in mined['info']['classes']:
            name = KNOWN + name
        elif name not in (BACKGROUND, *names.values()):
            name = UNKNOWN
        changed += name != given
        box['category_id'] = ids.setdefault(name, max(ids.values()) + 1)
    content['categories'] = [dict(id=i, name=n) for n, i in ids.items()]
    return content, changed
