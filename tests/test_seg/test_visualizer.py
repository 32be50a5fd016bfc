"""OODSegLocalVisualizer: classes, scores and objects side by side."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmood.seg.visualizer import OODSegLocalVisualizer
from mmood.visualization import color_map, overlay

META = dict(
    classes=['ground', 'a', 'b', 'c'],
    palette=[[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]],
)


def sample(size=(6, 8), origin=None, **fields):
    one = SegDataSample(metainfo=dict(origin=origin) if origin else None)
    one.pred_sem_seg = PixelData(data=torch.ones(1, *size).long())
    one.seg_logits = PixelData(data=torch.zeros(4, *size))
    count = size[0] * size[1]
    scores = torch.arange(float(count)).reshape(1, *size)
    one.pred_ood = PixelData(data=scores, is_ood=scores > 99)
    for name, data in fields.items():
        one.set_data({name: PixelData(data=data)})
    return one


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Function: the picture that the visualizer writes, RGB.

    Not enlarged, so that its pixels are those of the maps.
    """
    monkeypatch.setattr('mmood.seg.visualizer.enlarging', lambda *size: 1)

    def run(one, meta=META, with_labels=False, score_range=None, **kwargs):
        visualizer = OODSegLocalVisualizer(
            str(tmp_path), alpha=0.5, score_range=score_range
        )
        visualizer.dataset_meta = meta
        image = np.full((6, 8, 3), 100, np.uint8)
        path = str(tmp_path / 'a.png')
        visualizer.add_datasample(
            'a', image, one, out_file=path, with_labels=with_labels, **kwargs
        )
        return cv2.imread(path)[..., ::-1]

    return run


def test_annotated_objects_are_outlined(draw):
    label = torch.zeros(1, 6, 8).long()
    label[0, 1:4, 2:6] = 1
    label[0, 5] = 255
    drawn = draw(sample(origin='far', gt_sem_seg=label))
    assert drawn.shape == (6, 24, 3)
    magenta = (drawn == (255, 0, 255)).all(-1)
    border = label[0].numpy() == 1
    border[2, 3:5] = False
    np.testing.assert_array_equal(magenta[:, :8], border)
    assert not magenta[:, 8:].any()
    without = draw(sample(origin='far', gt_sem_seg=label), draw_gt=False)
    assert (without[:, :8] == 100).all()
    alone = draw(sample(origin='far', gt_sem_seg=label), draw_pred=False)
    np.testing.assert_array_equal(alone, drawn[:, :8])
    # A class of an ID set is nothing unknown, whatever its number.
    of_id_set = draw(sample(origin='id', gt_sem_seg=label))
    np.testing.assert_array_equal(of_id_set, without)


def test_a_label_of_another_size_is_not_drawn(draw):
    drawn = draw(sample(origin='x', gt_sem_seg=torch.ones(1, 3, 4).long()))
    assert (drawn[:, :8] == 100).all()


def test_equal_scores_and_no_prediction(draw):
    """The low end of the colormap; mmseg's own drawing without scores."""
    one = sample()
    one.pred_ood.data.zero_()
    right = draw(one)[:, 16:]
    low = overlay(np.full((1, 1, 3), 100), color_map(np.zeros((1, 1)), 0, 1))
    assert (right == low).all()
    del one.pred_ood
    assert draw(one).tolist() == [[[177, 50, 50]] * 8] * 6


def test_names_of_an_ood_set_are_not_those_of_the_classes(draw):
    """A test's loop gives the visualizer the names of the OOD set."""
    ood = dict(
        classes=('in-distribution', 'out-of-distribution'),
        palette=[[70, 130, 180], [220, 20, 60]],
    )
    one = sample()
    one.pred_sem_seg.data[0, :, 4:] = 3
    middle = draw(one, meta=ood)[:, 8:16]
    colors = {tuple(c) for c in middle.reshape(-1, 3).tolist()}
    assert len(colors) == 2  # all four classes have one
    assert (160, 60, 80) not in colors  # half image, half "OOD" red


def test_one_channel_stands_for_two_classes(draw):
    one = sample()
    one.seg_logits = PixelData(data=torch.zeros(1, 6, 8))
    one.pred_sem_seg.data[0, :, :4] = 0
    two = dict(classes=('road', 'other'), palette=[[0, 0, 0], [200, 0, 0]])
    middle = draw(one, meta=two)[:, 8:16]
    assert middle[0].tolist() == [[50, 50, 50]] * 4 + [[150, 50, 50]] * 4
    # Numbers and colours of our own where names and palette do not fit.
    for meta in (META, dict(two, palette=None), dict(classes=None)):
        middle = draw(one, meta=meta)[:, 8:16]
        assert (middle[:, :4] != middle[:, 4:]).any()


def test_a_plain_segmentor_on_an_ood_set(draw):
    """The set's labels are outlined, not taken for classes."""
    label = torch.zeros(1, 6, 8).long()
    label[0, 2, 3] = 1
    one = sample(origin='far', gt_sem_seg=label)
    del one.pred_ood
    drawn = draw(one)
    assert drawn.shape == (6, 16, 3)
    magenta = (drawn == (255, 0, 255)).all(-1)
    np.testing.assert_array_equal(magenta[:, :8], label[0] == 1)


def test_it_is_drawn_to_the_backends(tmp_path):
    visualizer = OODSegLocalVisualizer(
        'backend',
        vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path),
    )
    visualizer.dataset_meta = META
    visualizer.add_datasample('x', np.zeros((6, 8, 3), np.uint8), sample())
    (path,) = tmp_path.rglob('x_0.png')
    drawn = cv2.imread(str(path))  # 59 times as large, and what is below
    assert drawn.shape[0] > 354 and drawn.shape[1] == 3 * 472


def test_small_maps_are_enlarged_pixel_by_pixel(tmp_path):
    """The scores, and what is above the threshold, keep their corners."""
    one = sample()
    one.pred_ood.is_ood[0, 2:4, 3:6] = True
    visualizer = OODSegLocalVisualizer(str(tmp_path))
    visualizer.dataset_meta = META
    image = np.full((6, 8, 3), 100, np.uint8)
    path = str(tmp_path / 'a.png')
    visualizer.add_datasample('a', image, one, out_file=path)
    drawn = cv2.imread(path)[..., ::-1]
    right = drawn[:354, 2 * 472 :]
    white = (right == 255).all(-1)
    rows, columns = np.nonzero(white)
    assert (rows.min(), rows.max()) == (2 * 59, 4 * 59 - 1)
    assert (columns.min(), columns.max()) == (3 * 59, 6 * 59 - 1)
    inner = right[20:40, 20:40].reshape(-1, 3)  # of one pixel
    assert (inner == inner[0]).all()


def below(drawn, panel, height=6):
    """What stands below a panel of 472 pixels."""
    return drawn[height:, panel * 472 : (panel + 1) * 472]


@pytest.fixture
def draw_large(draw, tmp_path):
    """Function: as ``draw``, of (354, 472) with what stands below."""

    def run(**meta):
        one = sample((354, 472))
        scores = one.pred_ood.data / one.pred_ood.data.max() * 10
        is_ood = torch.zeros(1, 354, 472).bool()
        one.pred_ood = PixelData(data=scores, is_ood=is_ood)
        one.pred_sem_seg.data[0, :100] = 3
        one.set_metainfo(meta)
        visualizer = OODSegLocalVisualizer(str(tmp_path))
        visualizer.dataset_meta = META
        path = str(tmp_path / 'b.png')
        image = np.full((354, 472, 3), 100, np.uint8)
        visualizer.add_datasample('b', image, one, out_file=path)
        return cv2.imread(path)[..., ::-1]

    return run


def test_the_legend_names_the_classes_that_are_seen(draw_large):
    said = below(draw_large(), 1, 354)
    for color, is_seen in zip(META['palette'][1:], (True, False, True)):
        assert (said == color).all(-1).any() == is_seen


def test_the_colour_bar_marks_the_threshold(draw_large):
    """At its place between the least and the largest score."""
    shown = {}
    for limit in (None, 2.5, 7.5, 99.0):
        bar = below(draw_large(ood_threshold=limit), 2, 354)
        row = bar[bar.std((1, 2)).argmax()]  # where the colours are
        dark = np.nonzero((row == (25, 25, 25)).all(-1))[0]
        shown[limit] = dark.tolist()
    assert shown[None] == []
    for limit, share in ((2.5, 0.25), (7.5, 0.75), (99.0, 1.0)):
        (place,) = shown[limit]
        assert abs(place - (7 + share * (472 - 15))) <= 1
