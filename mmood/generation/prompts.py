"""Prompts for what is painted in place of a known object.

A prompt source turns the object's class into a `Prompt`: ``GenericPrompts``
words it as an odd variant of the class, ``ClassEmbeddings`` asks for the
class itself and leaves its embedding to be shifted by noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mmood.registry import PAINTERS

# Variants that nobody meets: of a wrong material, build or origin.
TEMPLATES = (
    'a {} knitted from thick coloured wool',
    'a {} folded out of crumpled metal foil',
    'a {} made of clear jelly with bubbles inside',
    'a {} overgrown with moss and small mushrooms',
    'a {} built of mismatched clockwork and brass pipes',
    'a {} carved from blue ice, half molten',
    'a {} with the scales and fins of a tropical fish',
    'a {} assembled from stacked pebbles',
    'a {} blown up like a rubber balloon, all parts swollen',
    'a {} of tangled wire and glowing threads',
    'a {} turned inside out, soft and wrinkled',
    'a {} covered in long shaggy purple fur',
    'a {} grown together with the roots of a tree',
    'a {} of cracked porcelain with golden seams',
    'a {} that splits into crystals and sharp prisms',
    'a {} with six legs and a shiny beetle shell',
    'a {} poured out of black tar, dripping',
    'a {} made of coral, sponges and sea shells',
    'a {} cut into slices that float apart',
    'a {} of an unknown planet, smooth and without a face or wheels',
)
NEGATIVE = (
    'empty background, plain surface, blurry, low resolution, text, '
    'watermark, frame'
)


@dataclass(frozen=True)
class Prompt:
    """What to paint.

    Attributes:
        negative: what to stay away from; '' for nothing.
        std: deviation of the noise on the embeddings of ``text[span]``, in
            their unit; None: no noise.
        span: first character of the class name in ``text``, and the one
            after its last.
    """

    text: str
    negative: str = ''
    std: float | None = None
    span: tuple[int, int] | None = None


class PromptSource(Protocol):
    """What turns the class of an object into a prompt."""

    def check_classes(self, classes: Sequence[str]) -> None: ...

    def __call__(self, label: str, rng: np.random.Generator) -> Prompt: ...


@PAINTERS.register_module()
class GenericPrompts:
    """A template, drawn for each object, with the class name filled in.

    Underscores of a class name become spaces.

    Args:
        templates: texts with ``{}`` for the class name; None: twenty odd
            variants of an object, `TEMPLATES`.
        negative: the negative prompt, ``{}`` as above if there is one.
        classes: a table instead of ``templates``: class -> its own template
            or templates, which may do without ``{}``. Other classes are
            refused.

    Raises ValueError for an empty list or table, a template without ``{}``,
    or ``templates`` and ``classes`` at once.
    Source: Dream-Box (CVPRW 2025); the templates are our own.
    """

    def __init__(
        self,
        templates: Sequence[str] | None = None,
        negative: str = NEGATIVE,
        classes: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        if templates is not None and classes is not None:
            raise ValueError(
                'give either templates, for all classes, or classes, a table '
                'of templates for each class, not both'
            )
        self.templates = _as_list(
            'templates', TEMPLATES if templates is None else templates
        )
        if bare := [text for text in self.templates if '{}' not in text]:
            raise ValueError(
                'templates need a {} where the class name goes, got '
                f'{", ".join(map(repr, bare))}'
            )
        self.negative = negative
        self.classes = None
        if classes is not None:
            self.classes = {
                name: _as_list(f'classes[{name!r}]', texts)
                for name, texts in classes.items()
            }

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise ValueError for classes not in the prompt table."""
        if self.classes is None:
            return
        missing = [name for name in classes if name not in self.classes]
        if missing:
            raise ValueError(
                'not in the prompt table: '
                f'{", ".join(map(repr, missing))}; it has '
                f'{", ".join(map(repr, self.classes)) or "no class"}. Add '
                'templates for them to `classes`, or leave `classes` away'
            )

    def __call__(self, label: str, rng: np.random.Generator) -> Prompt:
        """A prompt for an object of class ``label``.

        Raises ValueError as `check_classes` does.
        """
        self.check_classes([label])
        table = self.classes or {}
        templates = table.get(label, self.templates)
        template = templates[int(rng.integers(len(templates)))]
        words = _words(label)
        return Prompt(
            template.replace('{}', words), self.negative.replace('{}', words)
        )


@PAINTERS.register_module()
class ClassEmbeddings:
    """The class itself, with noise on the embedding of its name.

    ``e_i + n_i, n_i ~ N(0, std^2 I)`` for the text encoder's outputs e_i at
    all tokens i of the class name; other tokens and the negative prompt stay
    as they are. Underscores of a class name become spaces.

    Args:
        std: in the unit of the embeddings; 0.001 to 5 were published.
        template: a text with one ``{}`` for the class name.
        negative: the negative prompt, ``{}`` as above if there is one.

    Raises ValueError for a std that is negative or not finite, or a template
    without exactly one ``{}``.
    Source: Dream-Box (CVPRW 2025), whose code paints with a guidance of 12
    and shifts only the first token of a name; here all of them are.
    """

    def __init__(
        self,
        std: float,
        template: str = 'a photo of a {}, sharp, in natural light',
        negative: str = '',
    ) -> None:
        if not 0 <= std < math.inf:
            raise ValueError(f'std must be finite and not negative, got {std}')
        if template.count('{}') != 1:
            raise ValueError(
                'template needs exactly one {} where the class name goes, '
                f'got {template!r}'
            )
        self.std = float(std)
        self.template = template
        self.negative = negative

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise ValueError for a class without a name."""
        if not all(_words(name) for name in classes):
            raise ValueError(
                'a class needs a name to be put into the template, got '
                f'{list(classes)}'
            )

    def __call__(
        self, label: str, rng: np.random.Generator | None = None
    ) -> Prompt:
        """A prompt for an object of class ``label``; nothing is drawn."""
        self.check_classes([label])
        words = _words(label)
        start = self.template.index('{}')
        return Prompt(
            self.template.replace('{}', words),
            self.negative.replace('{}', words),
            self.std,
            (start, start + len(words)),
        )


def _words(label: str) -> str:
    return ' '.join(label.replace('_', ' ').split())


def _as_list(argument: str, texts: str | Sequence[str]) -> list[str]:
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not texts or not all(isinstance(t, str) and t.strip() for t in texts):
        raise ValueError(
            f'{argument} must be one or more texts, got {texts!r}'
        )
    return texts
