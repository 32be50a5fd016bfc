"""OODSegInferencer and its drawings."""

import warnings

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from helpers import assert_near
from mmood.seg import OODSegInferencer
from mmood.seg.visualizer import OODSegLocalVisualizer
from mmood.visualization import color_map, draw_outline, overlay
from seg_helpers import assert_best_classes, build_segmentor, tiny_segmentor

META = dict(
    classes=['ground', 'a', 'b', 'c'],
    palette=[[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]],
)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]


@pytest.fixture
def model():
    """A segmentor whose threshold splits its scores."""
    model = build_segmentor()
    model.ood_threshold.fill_(-3.4)
    return model


@pytest.fixture
def make(model, tmp_path):
    """Function: an inferencer from a config file and a checkpoint."""
    sets = [dict(type='mmood.OODSegDataset', pipeline=PIPELINE)]
    cfg = Config(
        dict(
            default_scope='mmseg',
            model=tiny_segmentor(),
            test_dataloader=dict(
                dataset=dict(type='ConcatDataset', datasets=sets)
            ),
        )
    )
    state = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=META))
    torch.save(state, tmp_path / 'model.pth')

    def build(change=None, weights=tmp_path / 'model.pth', **kwargs):
        (change or (lambda cfg: None))(cfg)
        path = tmp_path / 'config.py'
        cfg.dump(path)
        return OODSegInferencer(
            str(path), str(weights), device='cpu', **kwargs
        )

    return build


@pytest.fixture
def files(tmp_path):
    """Three pictures, in another order than that of their names."""
    folder = tmp_path / 'images'
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [str(folder / name) for name in ('c.png', 'a.png', 'b.png')]
    for path in paths:
        picture = rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)
        cv2.imwrite(path, cv2.GaussianBlur(picture, (9, 9), 3))
    return paths


def expected(model, picture, path=''):
    """What the model says of a BGR picture."""
    meta = dict(ori_shape=picture.shape[:2], img_shape=picture.shape[:2])
    sample = SegDataSample(metainfo=dict(meta, img_path=path))
    image = torch.from_numpy(picture).permute(2, 0, 1)
    data = dict(inputs=[image], data_samples=[sample])
    with torch.no_grad():
        return model.test_step(data)[0]


def check(model, result, picture, path=''):
    one = expected(model, picture, path)
    classes, scores, masks = result
    assert_best_classes(classes, one.seg_logits.data)
    assert_near(scores, one.pred_ood.data[0])
    assert scores.dtype == np.float32 and masks.dtype == bool
    np.testing.assert_array_equal(masks, scores > -3.4)
    assert 0 < masks.mean() < 1


KEYS = ('predictions', 'ood_scores', 'is_ood')


def test_a_file(make, model, files):
    result = make()(files[0])
    check(model, [result[k] for k in KEYS], cv2.imread(files[0]), files[0])


@pytest.mark.parametrize('batch_size', [1, 2, 3])
def test_several_files(make, model, files, batch_size):
    result = make()(files, batch_size=batch_size)
    for i, path in enumerate(files):
        one = [result[key][i] for key in KEYS]
        check(model, one, cv2.imread(path), path)
    assert len(result['ood_scores']) == 3


def test_arrays(make, model, files):
    """Of any size; alone or in a list."""
    picture = cv2.imread(files[0])
    inferencer = make()
    result = inferencer(picture)
    check(model, [result[key] for key in KEYS], picture)
    pair = inferencer([picture, picture[:33, :17]])
    check(model, [pair[key][0] for key in KEYS], picture)
    check(model, [pair[key][1] for key in KEYS], picture[:33, :17])


def test_samples_instead_of_arrays(make, model, files):
    found = make()(files[:2], return_datasamples=True)
    one = expected(model, cv2.imread(files[1]), files[1])
    assert_near(found[1].pred_ood.data, one.pred_ood.data)


# ------------------------------------------------------------ threshold
def test_a_threshold_of_ones_own(make, files):
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*ood_threshold')
        result = make(ood_threshold=-3.3)(files[0])
    mask = result['is_ood']
    np.testing.assert_array_equal(mask, result['ood_scores'] > -3.3)
    assert 0 < mask.sum() < (result['ood_scores'] > -3.4).sum()


def test_a_checkpoint_without_a_threshold(make, model, tmp_path, files):
    model.ood_threshold.fill_(float('nan'))
    state = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=META))
    path = tmp_path / 'none.pth'
    torch.save(state, path)
    with pytest.warns(UserWarning, match='no ood_threshold.*fit_scores.py'):
        result = make(weights=path)(files[0])
    assert not result['is_ood'].any()


def test_a_plain_segmentor(make, model):
    def plain(cfg):
        cfg.model.type = 'EncoderDecoder'
        del cfg.model['ood_head']

    message = 'must be an mmood.OODEncoderDecoder, got EncoderDecoder'
    with pytest.raises(ValueError, match=message):
        make(plain)


# ---------------------------------------------------------------- files
def test_saved_maps_and_masks(make, model, files, tmp_path):
    """Numbers go on from call to call, as those of mmseg's class maps."""
    inferencer, out = make(), tmp_path / 'out'
    result = inferencer(files[:2], out_dir=str(out))
    inferencer(files[2], out_dir=str(out))
    names = [f'{i:08d}_{end}' for i in range(3)
             for end in ('ood.npy', 'ood.png', 'pred.png')]  # fmt: skip
    assert sorted(path.name for path in (out / 'pred').iterdir()) == names
    for i in range(2):
        stem = str(out / f'pred/{i:08d}')
        scores = np.load(f'{stem}_ood.npy')
        np.testing.assert_array_equal(scores, result['ood_scores'][i])
        mask = cv2.imread(f'{stem}_ood.png', cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, 255 * result['is_ood'][i])
        classes = cv2.imread(f'{stem}_pred.png', cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(classes, result['predictions'][i])
    last = expected(model, cv2.imread(files[2]), files[2])
    scores = np.load(out / 'pred/00000002_ood.npy')
    assert_near(scores, last.pred_ood.data[0])


@pytest.mark.parametrize('score_range', [None, (-4.0, -2.0)])
def test_drawn_files_show_the_scores_in_turbo(
    make, files, tmp_path, score_range
):
    out = tmp_path / 'out'
    inferencer = make(score_range=score_range)
    result = inferencer(
        files, out_dir=str(out), return_vis=True, with_labels=False
    )
    drawn = sorted((out / 'vis').iterdir())
    assert [path.name for path in drawn] == ['a.png', 'b.png', 'c.png']
    for i, path in enumerate(files):
        image = cv2.imread(path)[..., ::-1]
        panels = cv2.imread(str(out / 'vis' / path[-5:]))[..., ::-1]
        np.testing.assert_array_equal(result['visualization'][i], panels)
        left, middle, right = np.split(panels, 3, axis=1)
        np.testing.assert_array_equal(left, image)
        scores, mask = result['ood_scores'][i], result['is_ood'][i]
        low, high = score_range or (scores.min(), scores.max())
        picture = overlay(image, color_map(scores, low, high))
        np.testing.assert_array_equal(right, draw_outline(picture, mask))
        palette = np.array(META['palette'])[result['predictions'][i]]
        mixed = 0.2 * image + 0.8 * palette  # mmseg's default opacity
        np.testing.assert_allclose(middle, mixed, atol=1)


# ----------------------------------------------------------- visualizer
def sample(size=(6, 8), **fields):
    one = SegDataSample()
    one.pred_sem_seg = PixelData(data=torch.ones(1, *size).long())
    one.seg_logits = PixelData(data=torch.zeros(4, *size))
    scores = torch.arange(48.0).reshape(1, *size)
    one.pred_ood = PixelData(data=scores, is_ood=scores > 99)
    for name, data in fields.items():
        one.set_data({name: PixelData(data=data)})
    return one


@pytest.fixture
def draw(tmp_path):
    """Function: the picture that the visualizer writes, RGB."""

    def run(one, meta=META, **kwargs):
        visualizer = OODSegLocalVisualizer(str(tmp_path), alpha=0.5)
        visualizer.dataset_meta = meta
        image = np.full((6, 8, 3), 100, np.uint8)
        path = str(tmp_path / 'a.png')
        visualizer.add_datasample(
            'a', image, one, out_file=path, with_labels=False, **kwargs
        )
        return cv2.imread(path)[..., ::-1]

    return run


def test_annotated_objects_are_outlined(draw):
    label = torch.zeros(1, 6, 8).long()
    label[0, 1:4, 2:6] = 1
    label[0, 5] = 255
    drawn = draw(sample(gt_sem_seg=label))
    assert drawn.shape == (6, 24, 3)
    magenta = (drawn == (255, 0, 255)).all(-1)
    border = label[0].numpy() == 1
    border[2, 3:5] = False
    np.testing.assert_array_equal(magenta[:, :8], border)
    assert not magenta[:, 8:].any()
    without = draw(sample(gt_sem_seg=label), draw_gt=False)
    assert (without[:, :8] == 100).all()
    alone = draw(sample(gt_sem_seg=label), draw_pred=False)
    np.testing.assert_array_equal(alone, drawn[:, :8])


def test_a_label_of_another_size_is_not_drawn(draw):
    drawn = draw(sample(gt_sem_seg=torch.ones(1, 3, 4).long()))
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


def test_it_is_drawn_to_the_backends(tmp_path):
    visualizer = OODSegLocalVisualizer(
        'backend',
        vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path),
    )
    visualizer.dataset_meta = META
    visualizer.add_datasample('x', np.zeros((6, 8, 3), np.uint8), sample())
    (path,) = tmp_path.rglob('x_0.png')
    assert cv2.imread(str(path)).shape == (6, 24, 3)
