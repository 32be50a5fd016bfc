"""The tutorial notebook runs, on a small share of its images."""

import re

import nbformat
from nbclient import NotebookClient

from helpers import ROOT

NOTEBOOK = ROOT / 'docs/en/tutorial.ipynb'


def printed(notebook, word: str) -> list[list[str]]:
    """Rows of the one table whose head has this word, cell by cell."""
    texts = [
        output['text']
        for cell in notebook.cells
        for output in cell.get('outputs', ())
        if output['output_type'] == 'stream' and word in output['text']
    ]
    (text,) = texts
    _, _, *rows = text.strip().splitlines()
    return [re.split(r'\s{2,}', row.strip()) for row in rows]


def share(text: str) -> float:
    return float(text.rstrip('%')) / 100


def test_it_runs(tmp_path, monkeypatch):
    for name, value in dict(
        TUTORIAL_SCALE='0.03',
        TUTORIAL_EPOCHS='1',
        TUTORIAL_OUT=str(tmp_path / 'out'),
        PYTHONPATH=str(ROOT),
        OMP_NUM_THREADS='1',
        IPYTHONDIR=str(tmp_path / 'ipython'),
        JUPYTER_RUNTIME_DIR=str(tmp_path / 'runtime'),
    ).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = dict(metadata=dict(path=str(NOTEBOOK.parent)))
    NotebookClient(
        notebook, timeout=900, startup_timeout=300, resources=place
    ).execute()
    scores = printed(notebook, 'near AUROC')
    names = [row[0] for row in scores]
    assert names == ['energy', 'msp', 'mahalanobis', 'knn']
    for row in scores:
        assert all(0 <= share(cell) <= 1 for cell in row[1:])
    limits = printed(notebook, 'known called unknown')
    values = [[share(r[0]), float(r[1]), share(r[2])] for r in limits]
    assert len(values) == 5
    for (kept, limit, lost), (less, lower, more) in zip(values, values[1:]):
        assert kept > less and limit >= lower and lost <= more
        # Printed with a digit behind the point, of few boxes.
        assert lost <= 1 - kept + 0.001


def test_no_output_is_stored():
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get('outputs') and not cell.get('execution_count')
