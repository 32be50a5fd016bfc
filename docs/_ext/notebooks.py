"""Notebooks as pages: their text, code and outputs as Markdown."""

from __future__ import annotations

import json
from pathlib import Path

from docutils.nodes import document
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx


def fenced(text: str, language: str) -> str:
    return f'```{language}\n{text.rstrip()}\n```\n'


def as_markdown(notebook: dict, name: str) -> str:
    """Cells and the text and PNG pictures that they put out.

    Behind the first cell a link to the notebook itself, which has ``name``.
    """
    parts = []
    for cell in notebook['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown':
            parts.append(source)
        elif cell['cell_type'] == 'code' and source.strip():
            parts.append(fenced(source, 'python'))
            parts += [output_of(out) for out in cell['outputs']]
    parts.insert(1, f'{{download}}`Download the notebook <{name}>`')
    return '\n\n'.join(part for part in parts if part) + '\n'


def output_of(output: dict) -> str:
    """One output of a code cell; '' for kinds that have no place here."""
    if output['output_type'] == 'stream':
        return fenced(''.join(output['text']), 'text')
    data = output.get('data', {})
    if 'image/png' in data:
        picture = ''.join(data['image/png']).replace('\n', '')
        return f'![output of the cell](data:image/png;base64,{picture})'
    if 'text/plain' in data:
        return fenced(''.join(data['text/plain']), 'text')
    return ''


class NotebookParser(MystParser):
    """MyST's parser, of a notebook's Markdown."""

    supported = ('ipynb',)

    def parse(self, inputstring: str, document: document) -> None:
        name = Path(document['source']).name
        text = as_markdown(json.loads(inputstring), name)
        super().parse(text, document)


def setup(app: Sphinx) -> dict:
    app.add_source_suffix('.ipynb', 'ipynb')
    app.add_source_parser(NotebookParser)
    return dict(parallel_read_safe=True)
