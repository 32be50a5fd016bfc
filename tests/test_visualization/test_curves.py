"""The picture of ROC curves and histograms."""

import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import auc, roc_auc_score

from mmood.visualization import plot_roc_and_histogram

NONE = np.zeros(0)


def heights(axes):
    """Sum of the bars of each histogram."""
    return [sum(bar.get_height() for bar in c) for c in axes.containers]


def test_writes_one_readable_png_and_nothing_else(tmp_path):
    path = tmp_path / 'curves.png'
    plot_roc_and_histogram(np.arange(9), dict(near=np.arange(5)), str(path))
    assert [p.name for p in tmp_path.iterdir()] == ['curves.png']
    with Image.open(path) as image:
        assert image.format == 'PNG'
        assert image.size == (1080, 480)
        assert np.asarray(image.convert('L')).std() > 5


def test_draws_the_curve_and_shares_of_each_set(tmp_path, figures):
    rng = np.random.default_rng(0)
    ids = rng.normal(0, 1, 200)
    sets = dict(near=rng.normal(1, 1, 50), far=rng.normal(3, 1, 80))
    plot_roc_and_histogram(ids, sets, str(tmp_path / 'a.png'), title='Shapes')
    roc, hist = figures[0].axes
    assert roc.get_title() == 'Shapes'
    assert [line.get_label() for line in roc.lines] == [*sets, 'chance']
    for line, scores in zip(roc.lines, sets.values()):
        labels = np.arange(200 + len(scores)) >= 200
        expected = roc_auc_score(labels, np.concatenate([ids, scores]))
        assert auc(*line.get_data()) == pytest.approx(expected)
    assert heights(hist) == pytest.approx([1, 1, 1])
    labels = [t.get_text() for t in hist.get_legend().get_texts()]
    assert labels == ['ID (200)', 'near (50)', 'far (80)']


@pytest.mark.parametrize(
    ('ids', 'ood', 'shares'),
    [
        (np.arange(4.0), NONE, [1, 0]),
        (NONE, np.arange(4.0), [0, 1]),
        (NONE, NONE, [0, 0]),
    ],
)
def test_empty_sets_are_named_not_drawn(tmp_path, figures, ids, ood, shares):
    path = tmp_path / 'a.png'
    with warnings.catch_warnings():
        warnings.simplefilter('error', RuntimeWarning)
        plot_roc_and_histogram(ids, dict(far=ood), str(path))
    roc, hist = figures[0].axes
    assert [line.get_label() for line in roc.lines] == ['chance']
    assert heights(hist) == pytest.approx(shares)
    labels = [t.get_text() for t in hist.get_legend().get_texts()]
    assert labels == [f'ID ({len(ids)})', f'far ({len(ood)})']
    assert path.is_file()


@pytest.mark.parametrize('n', [1, 3])
def test_equal_scores_and_no_ood_set(tmp_path, figures, n):
    plot_roc_and_histogram(np.full(n, 2.0), {}, str(tmp_path / 'a.png'))
    assert heights(figures[0].axes[1]) == pytest.approx([1])


def test_infinite_and_nan_scores_are_named(tmp_path, figures):
    inf, nan = np.inf, np.nan
    ids = np.array([-inf, 0, 1, 2, nan], np.float32)
    sets = dict(far=np.array([1.5, inf, inf, nan]), none=np.full(2, nan))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        plot_roc_and_histogram(ids, sets, str(tmp_path / 'a.png'))
    roc, hist = figures[0].axes
    assert [line.get_label() for line in roc.lines] == ['far', 'chance']
    # Of 12 pairs one is in the wrong order: 2 and 1.5.
    assert auc(*roc.lines[0].get_data()) == pytest.approx(1 - 1 / 12)
    labels = [t.get_text() for t in hist.get_legend().get_texts()]
    assert labels == [
        'ID (5, 1 infinite, 1 nan)',
        'far (4, 2 infinite, 1 nan)',
        'none (2, 2 nan)',
    ]
    assert heights(hist) == pytest.approx([3 / 5, 1 / 4, 0])


@pytest.mark.parametrize('scores', [[1e16, 1e16 + 2], [1e17, 1e17], [3e38]])
def test_scores_that_hardly_differ(tmp_path, figures, scores):
    plot_roc_and_histogram(np.array(scores), {}, str(tmp_path / 'a.png'))
    assert heights(figures[0].axes[1]) == pytest.approx([1])


def test_more_sets_than_colours(tmp_path, figures):
    sets = {str(i): np.arange(3.0) + i for i in range(6)}
    plot_roc_and_histogram(np.arange(4.0), sets, str(tmp_path / 'a.png'))
    assert len(figures[0].axes[0].lines) == 7


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    path.write_bytes(b'old')

    def fail(self, file, **kwargs):
        file.write(b'half')
        raise OSError('disk full')

    monkeypatch.setattr(Figure, 'savefig', fail)
    with pytest.raises(OSError, match='disk full'):
        plot_roc_and_histogram(np.arange(3), {}, str(path))
    assert path.read_bytes() == b'old'
