"""OODSegInferencer; see test_visualizer.py for its drawings."""

import json
import warnings

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from helpers import assert_near
from mmood.hooks import fit_scores
from mmood.ops.drawing import enlarge
from mmood.registry import MODELS
from mmood.scores import energy
from mmood.seg import OODSegInferencer
from mmood.visualization import color_map, draw_outline, overlay
from seg_helpers import (
    assert_best_classes,
    build_segmentor,
    stock_segmentor,
    tiny_segmentor,
)

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
    model.scores.thresholds['compound'].fill_(-3.4)
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


def test_a_threshold_of_ones_own(make, files):
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*ood_threshold')
        result = make(ood_threshold=-3.3)(files[0])
    mask = result['is_ood']
    np.testing.assert_array_equal(mask, result['ood_scores'] > -3.3)
    assert 0 < mask.sum() < (result['ood_scores'] > -3.4).sum()


def test_a_threshold_and_a_score_for_one_call(make, model, files):
    inferencer = make()
    before = inferencer(files[0])
    result = inferencer(files[0], ood_threshold=-3.3)
    assert result['ood_threshold'] == pytest.approx(-3.3)
    mask = result['is_ood']
    np.testing.assert_array_equal(mask, result['ood_scores'] > -3.3)
    assert 0 < mask.sum() < before['is_ood'].sum()
    assert inferencer(files[0])['ood_threshold'] == pytest.approx(-3.4)
    sample = inferencer(files[0], return_datasamples=True)
    diffusion = sample.pred_ood.diffusion[0].numpy()
    limit = float(np.median(diffusion))
    result = inferencer(files[0], score='diffusion', ood_threshold=limit)
    np.testing.assert_array_equal(
        result['is_ood'], result['ood_scores'] > limit
    )
    np.testing.assert_allclose(result['ood_scores'], diffusion, rtol=1e-4)
    assert result['score'] == 'diffusion'
    with pytest.warns(UserWarning, match="of the score 'diffusion', no pixel"):
        assert not inferencer(files[0], score='diffusion')['is_ood'].any()
    with pytest.raises(ValueError, match="'diffusion'.*, got 'entropy'"):
        inferencer(files[0], score='entropy')


def test_a_checkpoint_without_a_threshold(make, model, tmp_path, files):
    model.scores.thresholds.forget()
    state = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=META))
    path = tmp_path / 'none.pth'
    torch.save(state, path)
    with pytest.warns(UserWarning, match='no ood_threshold.*fit_scores.py'):
        result = make(weights=path)(files[0])
    assert not result['is_ood'].any()


def test_a_stock_segmentor(make, model):
    def plain(cfg):
        cfg.model.type = 'EncoderDecoder'
        del cfg.model['scores'], cfg.model['losses']

    message = 'must be an mmood.OODEncoderDecoder, got EncoderDecoder'
    with pytest.raises(ValueError, match=message):
        make(plain)


def test_scores_of_a_checkpoint_of_mmseg(make, model, tmp_path, files):
    """Posthoc ones need nothing else; fitted ones come with the fit."""

    def posthoc(cfg):
        cfg.model.update(scores=['energy', 'knn'], losses=[])

    cfg = tiny_segmentor(scores=['energy', 'knn'], losses=[])
    fitted = MODELS.build(cfg).eval()
    state = stock_segmentor(model, tiny_segmentor()).state_dict()
    fitted.load_state_dict(state, strict=False)
    image, label = torch.zeros(3, 40, 48).byte(), torch.zeros(1, 40, 48)
    meta = dict(ori_shape=(40, 48), img_shape=(40, 48), img_path='a.png')
    one = SegDataSample(metainfo=meta)
    one.gt_sem_seg = PixelData(data=label.long())
    fit_scores(fitted, [dict(inputs=[image], data_samples=[one])])
    fitted.scores.thresholds['knn'].fill_(0.5)
    path = tmp_path / 'fitted.pth'
    meta = dict(dataset_meta=META)
    torch.save(dict(state_dict=fitted.state_dict(), meta=meta), path)
    message = 'not for energy, the first score, no pixel'
    with pytest.warns(UserWarning, match=message):
        inferencer = make(posthoc, path)
    result = inferencer(files[0])
    logits = expected(fitted, cv2.imread(files[0])).seg_logits.data
    assert_near(result['ood_scores'], energy(logits, dim=0))
    assert result['score'] == 'energy' and not result['is_ood'].any()
    result = inferencer(files[0], score='knn')
    mask = result['is_ood']
    np.testing.assert_array_equal(mask, result['ood_scores'] > 0.5)
    assert mask.any() and result['ood_threshold'] == 0.5


def test_saved_maps_and_masks(make, model, files, tmp_path):
    """They have the pictures' names, whatever the call."""
    inferencer, out = make(), tmp_path / 'out'
    result = inferencer(files[:2], out_dir=str(out))
    inferencer(files[2], out_dir=str(out))
    ends = ('.json', '_ood.npy', '_ood.png', '_pred.png')
    names = [stem + end for stem in 'abc' for end in ends]
    assert sorted(path.name for path in (out / 'pred').iterdir()) == names
    for i, stem in enumerate('ca'):
        stem = str(out / f'pred/{stem}')
        scores = np.load(f'{stem}_ood.npy')
        np.testing.assert_array_equal(scores, result['ood_scores'][i])
        mask = cv2.imread(f'{stem}_ood.png', cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, 255 * result['is_ood'][i])
        classes = cv2.imread(f'{stem}_pred.png', cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(classes, result['predictions'][i])
    last = expected(model, cv2.imread(files[2]), files[2])
    scores = np.load(out / 'pred/b_ood.npy')
    assert_near(scores, last.pred_ood.data[0])


def test_what_is_said_of_each_picture(make, files, tmp_path):
    other = tmp_path / 'other/c.png'
    other.parent.mkdir()
    cv2.imwrite(str(other), cv2.imread(files[1]))
    out = tmp_path / 'out'
    paths = [files[0], str(other)]
    result = make()(paths, out_dir=str(out), batch_size=2)
    assert result['img_path'] == paths
    about = dict(classes=META['classes'], score='compound')
    about['ood_threshold'] = pytest.approx(-3.4)
    assert {key: result[key] for key in about} == about
    for path, name in zip(paths, ('c', 'c_2')):
        stored = json.loads((out / f'pred/{name}.json').read_text())
        assert stored == dict(about, img_path=path)
        assert (out / f'vis/{name}.png').is_file()
    scores = np.load(out / 'pred/c_2_ood.npy')
    np.testing.assert_array_equal(scores, result['ood_scores'][1])


def test_a_folder_and_arrays_of_any_kind(make, files, tmp_path):
    """The array of a picture is as its file; samples are saved too."""
    picture = cv2.imread(files[0])
    gray, folder = picture[..., 0], tmp_path / 'gray'
    folder.mkdir()
    cv2.imwrite(str(folder / 'b.PNG'), gray)
    cv2.imwrite(str(folder / 'a.png'), picture)
    (folder / '._a.png').write_bytes(b'no picture')
    arrays = [np.dstack([picture, gray]), gray, gray[..., None]]
    out = tmp_path / 'out'
    inferencer = make()
    samples = inferencer(arrays, return_datasamples=True, out_dir=str(out))
    with pytest.warns(UserWarning, match=r'hidden files: \._a.png'):
        found = inferencer(str(folder))
    assert found['img_path'] == [str(folder / n) for n in ('a.png', 'b.PNG')]
    for i, of_file in enumerate((0, 1, 1)):
        # DOoD's noise follows from the picture's path.
        same = samples[i].pred_sem_seg.data[0].numpy()
        assert (same == found['predictions'][of_file]).mean() > 0.99
        stored = np.load(out / f'pred/{i:08d}_ood.npy')
        np.testing.assert_array_equal(stored, samples[i].pred_ood.data[0])
        drawn = cv2.imread(str(out / f'vis/{i:08d}.png'))
        left = [picture, np.dstack([gray] * 3)][of_file]
        left = enlarge(left, 9)
        np.testing.assert_array_equal(drawn[:360, : 9 * 48], left)
    assert inferencer([])['predictions'] == []


def test_more_than_256_classes_are_stored(make, monkeypatch, files, tmp_path):
    inferencer = make()
    stock = inferencer.model.test_step

    def shift(data):
        samples = stock(data)
        samples[0].pred_sem_seg.data += 1000
        return samples

    monkeypatch.setattr(inferencer.model, 'test_step', shift)
    result = inferencer(
        files[0], return_datasamples=True, out_dir=str(tmp_path)
    )
    ids = cv2.imread(str(tmp_path / 'pred/c_pred.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(ids, result.pred_sem_seg.data[0])


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_scores_of_any_kind(make, monkeypatch, files, tmp_path, dtype):
    inferencer = make()
    stock = inferencer.model.test_step

    def spoil(data):
        samples = stock(data)
        scores = samples[0].pred_ood.data.clone()
        scores[0, 0, :3] = torch.tensor([np.nan, np.inf, -np.inf])
        scores = scores.to(dtype)
        samples[0].pred_ood = PixelData(data=scores, is_ood=scores > -3.4)
        return samples

    monkeypatch.setattr(inferencer.model, 'test_step', spoil)
    with pytest.warns(UserWarning, match='c.png: the score .* of 1 pixel'):
        result = inferencer(files[0], out_dir=str(tmp_path), return_vis=True)
    first = result['is_ood'][0, :3].tolist()
    assert first == [False, True, False]
    right = result['visualization'][:360, 9 * 96 :]
    image = enlarge(cv2.imread(files[0])[..., ::-1], 9)
    black = overlay(image, np.zeros_like(image))
    np.testing.assert_array_equal(right[:9, :9], black[:9, :9])
    spread = right[9:].reshape(-1, 3).std(0)
    assert spread.min() > 10  # the others keep all the colours


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
        image = enlarge(cv2.imread(path)[..., ::-1], 9)
        panels = cv2.imread(str(out / 'vis' / path[-5:]))[..., ::-1]
        np.testing.assert_array_equal(result['visualization'][i], panels)
        left, middle, right = np.split(panels, 3, axis=1)
        np.testing.assert_array_equal(left, image)
        scores, mask = result['ood_scores'][i], result['is_ood'][i]
        low, high = score_range or (scores.min(), scores.max())
        colors = enlarge(color_map(scores, low, high), 9, smooth=False)
        mask = np.kron(mask, np.ones((9, 9)))
        drawn = draw_outline(overlay(image, colors), mask)
        np.testing.assert_array_equal(right, drawn)
        classes = np.kron(result['predictions'][i], np.ones((9, 9), int))
        palette = np.array(META['palette'])[classes]
        mixed = 0.2 * image + 0.8 * palette  # mmseg's default opacity
        np.testing.assert_allclose(middle, mixed, atol=1)


def test_pictures_of_several_sizes_in_a_batch(make):
    rng = np.random.default_rng(0)
    sizes = ((40, 48), (32, 64), (40, 48))
    pictures = [rng.integers(0, 255, (*s, 3), dtype=np.uint8) for s in sizes]
    inferencer = make()
    together = inferencer(pictures, batch_size=3)['ood_scores']
    for picture, scores in zip(pictures, together):
        assert_near(scores, inferencer(picture)['ood_scores'])


@pytest.mark.parametrize('size', [0, -1])
def test_batches_of_no_size(make, files, size):
    with pytest.raises(ValueError, match=f'batch_size must .* got {size}'):
        make()(files, batch_size=size)
