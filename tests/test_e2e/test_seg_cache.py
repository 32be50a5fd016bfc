"""Training from images and from cached features, on a tiny Shapes set."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from helpers import (
    DOOD,
    ROOT,
    content_noise,
    equal_weights,
    load_weights,
    logged_losses,
    run_here,
    run_tool,
    shell_options,
    tiny_seg_options,
)
from mmood.losses import DenoisingLoss
from mmood.seg.datasets import FeatureCache, feature_cache


def arguments(segmentor, folder, *more):
    rest = ('--images-per-shard', 10, '--num-workers', 0)
    work = ('--work-dir', folder / 'work')
    return (segmentor, '--out', folder, *rest, *work, *more)


def extract_here(patch, shapes, *rest):
    config = ROOT / 'configs' / DOOD
    options = shell_options(tiny_seg_options(shapes))
    run_here(patch, 'extract_features', config, *rest, *options)


@pytest.fixture(scope='module')
def cache(shapes, segmentor, tmp_path_factory):
    """Features of all images: killed at the third shard of four, resumed.

    By two processes, which leave the shards that are there.
    """
    folder = tmp_path_factory.mktemp('cache')
    write = feature_cache.write_shard

    def killed(folder, number, *rest):
        if number == 2:
            raise KeyboardInterrupt
        write(folder, number, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_cache, 'write_shard', killed)
        with pytest.raises(KeyboardInterrupt):
            extract_here(patch, shapes, *arguments(segmentor, folder))
    with pytest.raises(FileNotFoundError, match='lacks 2 of 4 shards'):
        FeatureCache(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.glob('*.npy')}
    assert len(times) == 4
    output = run_tool(
        'extract_features',
        DOOD,
        *arguments(segmentor, folder, '--launcher', 'pytorch'),
        data=shapes,
        ranks=2,
    )
    assert '36 maps, 2304 features' in output
    assert all(path.stat().st_mtime_ns == t for path, t in times.items())
    return folder


def test_the_cache_holds_the_features_of_all_images(
    cache, segmentor, shapes, tmp_path, tiny_seg_config
):
    cfg = tiny_seg_config(DOOD, shapes, tmp_path)
    cfg.load_from = str(segmentor)
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    model = runner.model.eval()
    found = FeatureCache(cache, verify=True)
    assert len(found) == 36
    for i in range(36):
        name = f'train_{i:05d}.png'
        image = cv2.imread(str(shapes / 'train/images' / name))
        label = cv2.imread(str(shapes / 'train/semantic' / name), -1)
        rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
        features = model.extract_features((rgb[None] - 127.5) / 127.5)[0]
        stored, stored_label = found.map(i)
        assert stored.dtype == np.float16
        np.testing.assert_allclose(
            stored, features.numpy(), rtol=1e-3, atol=1e-4
        )
        # The pixel right below the middle of a cell of 8 x 8.
        np.testing.assert_array_equal(stored_label, label[4::8, 4::8])


def test_another_extraction_into_the_folder(cache, dood, shapes, monkeypatch):
    """Of another checkpoint, of more passes."""
    for more, key in (((), 'weights'), (('--passes', 2), 'num_shards')):
        rest = arguments(dood[0], cache, *more)
        with pytest.raises(ValueError, match=rf'extraction \({key} is'):
            extract_here(monkeypatch, shapes, *rest)


def test_training_from_the_cache_with_the_same_config(
    cache, segmentor, shapes, tmp_path, tiny_seg_config, monkeypatch
):
    """No image is read before the scores are fitted."""
    more = {'ood.features.cache': str(cache)}
    cfg = tiny_seg_config(DOOD, shapes, tmp_path, **more)
    cfg.load_from = str(segmentor)
    batches = []
    loss = DenoisingLoss.forward

    def watched(self, batch):
        batches.append(batch.features)
        return loss(self, batch)

    monkeypatch.setattr(DenoisingLoss, 'forward', watched)
    Runner.from_cfg(cfg).train()
    # Of each image 2048 / 6.
    assert [tuple(b.shape) for b in batches] == [(6 * 341, 32)] * 4
    known = FeatureCache(cache).vectors(np.arange(2304))
    known = {row.tobytes() for row in known}
    assert all(r.numpy().tobytes() in known for b in batches for r in b)
    state = load_weights(tmp_path / 'iter_4.pth')
    assert equal_weights(state, load_weights(segmentor), 'backbone.')
    seen = torch.cat(batches).float()
    minimum = state['losses.DenoisingLoss.feature_range.minimum']
    assert torch.equal(minimum, seen.amin(0))
    assert state['scores.compound.is_fitted']
    assert torch.isfinite(state['scores.thresholds.compound'])
    curve = logged_losses(tmp_path)
    assert len(curve) == 4 and curve[0] == pytest.approx(1, abs=0.05)


def test_the_cache_needs_its_segmentor_too(
    cache, shapes, tmp_path, tiny_seg_config
):
    """Else the error would come after the whole training."""
    more = {'ood.features.cache': str(cache)}
    cfg = tiny_seg_config(DOOD, shapes, tmp_path, **more)
    with pytest.raises(RuntimeError, match='no trained weights: pass load_f'):
        Runner.from_cfg(cfg).train()


def test_resumed_training_from_the_cache_ends_the_same(
    cache, segmentor, shapes, tmp_path, tiny_seg_config, monkeypatch
):
    """Killed after step 2 of 4: data, schedule, optimizer go on as they were.

    The times and the noise of the loss are torch's, whose stream starts anew
    after a resume; they are fixed here.
    """
    monkeypatch.setattr(DenoisingLoss, '_perturbation', content_noise)
    more = {'ood.features.cache': str(cache)}
    cfg = tiny_seg_config(DOOD, shapes, tmp_path / 'whole', **more)
    cfg.load_from = str(segmentor)
    Runner.from_cfg(cfg).train()
    cfg = tiny_seg_config(DOOD, shapes, tmp_path / 'resumed', **more)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'whole/iter_2.pth')
    Runner.from_cfg(cfg).train()
    expected = logged_losses(tmp_path / 'whole')
    found = logged_losses(tmp_path / 'resumed')
    assert found == pytest.approx(expected[2:], rel=1e-4)
    torch.testing.assert_close(
        load_weights(tmp_path / 'resumed/iter_4.pth'),
        load_weights(tmp_path / 'whole/iter_4.pth'),
        atol=1e-5,
        rtol=1e-4,
    )


def test_resumed_training_from_images_sees_the_same_images(
    segmentor, shapes, tmp_path, tiny_seg_config, monkeypatch
):
    """The shuffle buffer fills anew, so the losses are others."""
    seen = []
    loss = DenoisingLoss.forward

    def watched(self, batch):
        seen.append((batch.features, len(self.buffer)))
        return loss(self, batch)

    monkeypatch.setattr(DenoisingLoss, 'forward', watched)
    cfg = tiny_seg_config(DOOD, shapes, tmp_path / 'whole')
    cfg.load_from = str(segmentor)
    Runner.from_cfg(cfg).train()
    cfg = tiny_seg_config(DOOD, shapes, tmp_path / 'resumed')
    cfg.resume, cfg.load_from = True, str(tmp_path / 'whole/iter_2.pth')
    Runner.from_cfg(cfg).train()
    assert [held for _, held in seen] == [0, 384, 768, 1152, 0, 384]
    for before, after in zip(seen[2:4], seen[4:]):
        torch.testing.assert_close(before[0], after[0])
    state = load_weights(tmp_path / 'resumed/iter_4.pth')
    assert state['scores.compound.is_fitted']
