"""Notebooks as pages: their text, code and outputs as Markdown."""

from __future__ import annotations

import json

from docutils.nodes import document
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx


def fenced(text: str, language: str) -> str:
    return f'```{language}\n{text.rstrip()}\n```\n'


def as_markdown(notebook: dict) -> str:
    """Cells and the text and PNG pictures that they put out."""
    parts = []
    for cell in notebook['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown':
            parts.append(source)
        elif cell['cell_type'] == 'code' and source.strip():
            parts.append(fenced(source, 'python'))
            parts += [output_of(out) for out in cell['outputs']]
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
        super().parse(as_markdown(json.loads(inputstring)), document)


def setup(app: Sphinx) -> dict:
    app.add_source_suffix('.ipynb', 'ipynb')
    app.add_source_parser(NotebookParser)
    return dict(parallel_read_safe=True)
