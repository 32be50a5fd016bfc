"""Writes docs/en/all_configs.md from the metafiles of configs/.

python docs/all_configs.py
"""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs/en/all_configs.md'
HEAD = """# Every config

One table for each folder of `configs`, from its `metafile.yml`, by `python
docs/all_configs.py`. A config is trained by `tools/train.py` or `mim train`
([Get started](get_started.md#train-and-test)). What was measured and what the
papers report says the [model zoo](model_zoo.md). No checkpoints are published.
"""
TABLE = """
## {title}

{paper}: [page]({page}), [metafile]({metafile})

| config | ID data | trained for |
|---|---|---|
{rows}
"""


def link(path: str) -> str:
    return f'../../{path}'


def row(model: dict) -> str:
    about = model['Metadata']
    length = [
        f'{about[key]:,} {key.lower()}'
        for key in ('Epochs', 'Iterations')
        if key in about
    ]
    name = f'[{model["Name"]}]({link(model["Config"])})'
    return f'| {name} | {about["Training Data"]} | {", ".join(length)} |'


def table(path: Path) -> str:
    """The section of one metafile."""
    content = yaml.safe_load(path.read_text())
    (collection,) = content['Collections']
    return TABLE.format(
        title=collection['Name'],
        paper=collection.get('Paper', {}).get('Title', 'No paper of its own'),
        page=link(collection['README']),
        metafile=link(path.relative_to(ROOT).as_posix()),
        rows='\n'.join(map(row, content['Models'])),
    )


def page() -> str:
    files = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    return HEAD + ''.join(table(ROOT / file) for file in files)


if __name__ == '__main__':
    PAGE.write_text(page())
