"""Pages that carry their scripts and data and load nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping

_NAME = re.compile(r'\{\{ (\w+) \}\}')


def fill_page(template: str, blocks: Mapping[str, str]) -> str:
    """The template with a block in the place of each ``{{ name }}``."""
    return _NAME.sub(lambda match: blocks[match[1]], template)


def script_hash(text: str) -> str:
    """What lets a page's policy run this script and no other."""
    code = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(code).decode()}'"


def page_json(content: object) -> str:
    """JSON that can stand within a script element; nan is null."""
    text = json.dumps(_plain(content), separators=(',', ':'))
    for letter in '<>&':
        text = text.replace(letter, f'\\u{ord(letter):04x}')
    return text


def _plain(value: object) -> object:
    """Without nan, and infinity as the word that JavaScript reads."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        words = {math.inf: 'Infinity', -math.inf: '-Infinity'}
        return words.get(value)
    return value
