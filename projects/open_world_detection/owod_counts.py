"""Numbers of images that the protocols were published with."""

from __future__ import annotations

from collections.abc import Mapping

# Images in the files that the published lists were made from.
COMPLETE = dict(
    coco_train=118287, coco_test=5000, voc_train=16551, voc_test=4952
)
# Lines of the published lists of the tasks. M-OWODB's test list has 10,246:
# the 4,952 of VOC, and 1,914, 1,642 and 1,738 with classes of task 2, 3 and
# 4, in which COCO's 5,000 images are several times.
TRAIN = {
    'm-owodb': (16551, 45520, 39402, 40260),
    's-owodb': (89490, 55870, 39402, 38903),
}
STORED = {'m-owodb': (1743, 2361, 2749), 's-owodb': (1679, 2345, 2664)}
TEST = {'m-owodb': None, 's-owodb': 4952}


def compare(
    protocol: str, counts: Mapping[str, dict], read: Mapping[str, int]
) -> tuple[list[str], list[str]]:
    """What to say of the numbers of images, and what is wrong with them.

    ``counts`` by file, ``read`` the numbers of images given by source. Only
    what is made from complete sources is compared.
    """
    if protocol not in TRAIN:
        return ['no numbers are published for these tasks'], []
    short = [
        f'{read[name]:,} of {COMPLETE[name]:,} ({name})'
        for name in read
        if read[name] != COMPLETE[name]
    ]
    notes = []
    if short:
        notes.append(
            'what is made from a part of the images is not compared with the '
            f'published numbers: {", ".join(short)}'
        )
    problems = []
    for number, published in enumerate(TRAIN[protocol], 1):
        is_voc = number == 1 and 'voc_train' in read
        source = 'voc_train' if is_voc else 'coco_train'
        if read[source] == COMPLETE[source]:
            problems += _difference(f't{number}_train', counts, published)
    if TEST[protocol] and read['coco_test'] == COMPLETE['coco_test']:
        problems += _difference('t1_test', counts, TEST[protocol])
    if not short:
        mine = [counts[f't{n}_ft']['images'] for n in (2, 3, 4)]
        notes.append(
            f'stored images: {mine}; the published lists, drawn without a '
            f'seed, have {list(STORED[protocol])}'
        )
    if protocol == 'm-owodb':
        notes.append(
            'each test image is there once; the published list names those '
            'that show classes of several tasks several times'
        )
    return notes, problems


def _difference(
    name: str, counts: Mapping[str, dict], published: int
) -> list[str]:
    found = counts[name]['images']
    if found == published:
        return []
    return [f'{name} has {found:,} images, the published one {published:,}']
