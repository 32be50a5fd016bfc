"""What the class names that people gave mean, and which are one class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from coco_json import ALIASES, canonical, fail

from mmood.mining.results import BACKGROUND, KNOWN, UNKNOWN

# Meanings beside a class: no object, and one without a name yet.
NO_CLASS = (BACKGROUND, UNKNOWN)
_OTHER_WORDS = {'still unknown': UNKNOWN}


def forms(name: str) -> set[str]:
    """Spellings that stand for one class.

    Without case, spaces, hyphens and underscores, by `ALIASES`, and without
    an ending that may be that of a plural.
    """
    words = re.sub(r'[\s_-]+', ' ', name).strip().casefold()
    found = {canonical(words), *_singulars(words)}
    return {ALIASES.get(one, one).replace(' ', '') for one in found}


def _singulars(word: str) -> set[str]:
    found = {word}
    for ending, instead in (('s', ''), ('es', ''), ('ies', 'y')):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            found.add(word[: -len(ending)] + instead)
    return found


def same_class(name: str, others: Iterable[str]) -> str | None:
    """The first of the others that is this class, spelled so or otherwise."""
    own = forms(name)
    return next((other for other in others if own & forms(other)), None)


def meanings(
    names: Sequence[str],
    id_classes: Sequence[str],
    categories: Sequence[str],
) -> dict[str, str]:
    """What each name that a box has means: a class, or one of `NO_CLASS`.

    ``known: NAME`` is that ID class. Ends the tool for a new name that is an
    ID class, or that is one of the base's categories or another new name in
    other spelling.
    """
    found: dict[str, str] = {}
    new: list[str] = []
    for name in names:
        words = ' '.join(name.split())
        lower = words.casefold()
        if lower in (*NO_CLASS, *_OTHER_WORDS):
            found[name] = _OTHER_WORDS.get(lower, lower)
            continue
        if lower.startswith(KNOWN.strip()):
            known = words[len(KNOWN.strip()) :].strip()
            one = same_class(known, id_classes) if known else None
            if one is None:
                fail(
                    f'{name!r} names no ID class; they are '
                    f'{", ".join(id_classes)}'
                )
            found[name] = one
            continue
        one = same_class(words, id_classes)
        if one is not None:
            fail(
                f'the new class {name!r} is the ID class {one!r}: name the '
                f'box {KNOWN + one!r} if it shows one, else choose a name '
                'that is told from it'
            )
        one = same_class(words, [*categories, *new])
        if one not in (None, words):
            fail(
                f'the new class {name!r} is {one!r} in other spelling: give '
                'all its boxes one name'
            )
        new.append(words)
        found[name] = words
    return found


def group_names(texts: Sequence[str]) -> dict[int, str]:
    """``['0=cross', '3=background']`` -> names by group."""
    found: dict[int, str] = {}
    for text in texts:
        group, _, name = text.partition('=')
        if not group.isdecimal() or not name.strip() or int(group) in found:
            fail(f'--groups {text!r} should be GROUP=NAME, each group once')
        found[int(group)] = name.strip()
    return found


def new_classes(meant: Mapping[str, str], known: Sequence[str]) -> list[str]:
    """Those of the meanings that are neither known nor no class, sorted."""
    return sorted(set(meant.values()) - {*known, *NO_CLASS})
