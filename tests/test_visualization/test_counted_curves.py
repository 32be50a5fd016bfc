"""The picture of curves from counts."""

import numpy as np
from PIL import Image
from sklearn.metrics import precision_recall_curve, roc_curve

from mmood.metrics import ScoreHistogram
from mmood.visualization import plot_counted_curves


def test_draws_the_curves_of_scikit_learn(tmp_path, figures):
    scores = np.round(np.random.randn(2, 300), 1)
    is_ood = np.random.rand(300) < 0.3
    counted = {}
    for name, values in zip(('energy', 'diffusion'), scores):
        histogram = ScoreHistogram()
        histogram.add(values, is_ood)
        counted[name] = histogram.curve()[1:]
    plot_counted_curves(counted, str(tmp_path / 'a.png'), 'far')
    roc, recall = figures[0].axes
    assert roc.get_title() == 'far'
    labels = [line.get_label() for line in roc.lines]
    assert labels == ['energy', 'diffusion', 'chance']
    for number, values in enumerate(scores):
        fpr, tpr, _ = roc_curve(is_ood, values, drop_intermediate=False)
        x, y = roc.lines[number].get_data()
        np.testing.assert_allclose(x, fpr)
        np.testing.assert_allclose(y, tpr)
        precision, sensitivity, _ = precision_recall_curve(is_ood, values)
        x, y = recall.lines[number].get_data()
        np.testing.assert_allclose(x[::-1], sensitivity[:-1])
        np.testing.assert_allclose(y[::-1], precision[:-1])


def test_writes_one_readable_png_and_nothing_else(tmp_path):
    path = tmp_path / 'curves.png'
    plot_counted_curves(dict(a=np.array([[1, 2], [0, 3]])), str(path))
    assert [p.name for p in tmp_path.iterdir()] == ['curves.png']
    with Image.open(path) as image:
        assert image.format == 'PNG'
        assert np.asarray(image.convert('L')).std() > 5
