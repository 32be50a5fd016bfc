"""PasteOutliers: what it changes, its choices, and what it refuses."""

import numpy as np
import pytest
from mmengine.dataset import (
    ConcatDataset,
    DefaultSampler,
    InfiniteSampler,
    RepeatDataset,
)
from torch.utils.data import DataLoader

from mmood.registry import DATA_SAMPLERS, TRANSFORMS
from mmood.seg.datasets import (
    CamVidDataset,
    EpochSampler,
    InfiniteEpochSampler,
    PasteOutliers,
    Visit,
)
from object_sources import one, write_cutout, write_objects
from seg_helpers import write_pair

DRAWN = dict(type='mmood.DrawnObjects')
AREA = (0.02, 0.1)


def sample(size=(60, 80), name='a.png', **more):
    image = np.full((*size, 3), 90, np.uint8)
    labels = np.full(size, 2, np.uint8)
    labels[:5] = 255
    found = dict(img=image, gt_seg_map=labels, img_path=f'x/{name}', **more)
    return dict(found, seg_fields=['gt_seg_map'])


def build(**options):
    options = dict(dict(source=DRAWN, prob=1.0, area=AREA), **options)
    return TRANSFORMS.build(dict(type='mmood.PasteOutliers', **options))


def test_what_is_pasted_is_labelled():
    before = sample()
    results = build(count=(2, 2), feather=0)(dict(before))
    is_outlier = results['gt_seg_map'] == 254
    changed = (results['img'] != before['img']).any(-1)
    assert changed[is_outlier].mean() > 0.98
    assert changed[~is_outlier].mean() < 0.1  # edges that are mostly ground
    assert len(results['pasted']) == 2
    for name, (x, y, w, h), pixels in results['pasted']:
        assert name and 0 <= x <= 80 - w and 0 <= y <= 60 - h
        assert is_outlier[y : y + h, x : x + w].sum() >= min(pixels, 8)
    left = ~is_outlier
    labels = before['gt_seg_map']
    assert np.array_equal(results['gt_seg_map'][left], labels[left])
    # What came in stays, as a cache may hold it.
    assert (before['img'] == 90).all() and not (labels == 254).any()
    assert results['gt_seg_map'].dtype == np.uint8


def test_sizes_are_shares_of_the_image():
    transform = build(feather=0)
    shares = []
    for i in range(60):
        results = transform(sample(name=f'{i}.png'))
        shares.append((results['gt_seg_map'] == 254).mean())
    assert min(shares) > 0.01 and max(shares) < 0.13
    assert min(shares) < 0.03 and max(shares) > 0.07


def test_so_many_images_get_one():
    transform = build(prob=0.2)
    found = [
        bool(transform(sample(name=f'{i}.png'))['pasted']) for i in range(400)
    ]
    assert 0.14 < np.mean(found) < 0.26
    untouched = sample()
    assert build(prob=0.0)(untouched)['img'] is untouched['img']


def pasted(transform, **more):
    results = transform(sample(**more))
    return results['img'].tobytes() + results['gt_seg_map'].tobytes()


def test_an_epoch_of_an_image_has_the_same_objects():
    """In any process and order; another epoch, image or seed has others."""
    same = [pasted(build(), sample_idx=Visit(i, 3)) for i in (0, 9)]
    assert same[0] == same[1]
    transform = build()
    pasted(transform, sample_idx=Visit(0, 1))
    assert pasted(transform, sample_idx=Visit(0, 3)) == same[0]
    others = [
        pasted(build(), sample_idx=Visit(0, 4)),
        pasted(build(), sample_idx=Visit(0, 3), name='b.png'),
        pasted(build(seed=1), sample_idx=Visit(0, 3)),
    ]
    assert len({*same, *others}) == 4


def test_without_epochs_visits_are_counted():
    transform, other = build(), build()
    first = [pasted(transform, sample_idx=5) for _ in range(3)]
    assert len(set(first)) == 3
    assert [pasted(other, sample_idx=5) for _ in range(3)] == first
    assert pasted(build(), sample_idx=Visit(5, 1)) == first[1]


def dataset(root, count=6):
    for i in range(count):
        write_pair(root, f'images/{i}.jpg', f'labels/{i}.png', range(12))
    return CamVidDataset(
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmood.LoadIDAnnotations'),
            dict(type='Resize', scale=(80, 60), keep_ratio=False),
            dict(type='mmood.PasteOutliers', source=DRAWN, prob=0.7,
                 area=AREA),
            dict(type='PackSegInputs'),
        ],
    )  # fmt: skip


def epochs_of(images, workers, count):
    """Labels by file and turn, as a loader gives them."""
    sampler = InfiniteEpochSampler(images, shuffle=True, seed=0)
    loader = DataLoader(
        images,
        batch_size=2,
        sampler=sampler,
        num_workers=workers,
        collate_fn=list,
    )
    found, batches = [], iter(loader)
    for _ in range(count):
        for part in next(batches):
            label = part['data_samples'].gt_sem_seg.data.numpy()
            found.append((part['data_samples'].img_path, label.tobytes()))
    return found


def test_any_number_of_workers_gives_the_same(tmp_path):
    images = dataset(tmp_path)
    none, two = (epochs_of(images, n, 9) for n in (0, 2))
    assert none == two
    turns = {path: [] for path, _ in none}
    for path, label in none:
        turns[path].append(label)
    assert all(len(labels) == 3 for labels in turns.values())
    assert any(len(set(labels)) == 3 for labels in turns.values())


@pytest.mark.parametrize('world', [1, 2])
def test_samplers_say_the_epoch(monkeypatch, world):
    images = list(range(5))
    for rank in range(world):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info', lambda r=rank: (r, world)
        )
        ours = InfiniteEpochSampler(images, seed=3)
        stock = iter(InfiniteSampler(images, seed=3))
        for turn, visit in zip(range(12), ours):
            assert visit == next(stock)
            assert visit.epoch == (turn * world + rank) // 5
        ours, stock = (
            EpochSampler(images, seed=3),
            DefaultSampler(images, seed=3),
        )
        for epoch in range(3):
            ours.set_epoch(epoch)
            stock.set_epoch(epoch)
            visits = list(ours)
            assert visits == list(stock)
            assert {visit.epoch for visit in visits} == {epoch}
    assert DATA_SAMPLERS.get('mmood.EpochSampler') is EpochSampler


def test_wrappers_hand_the_epoch_on(tmp_path):
    images = dataset(tmp_path)
    seen = []
    images.pipeline.transforms = [
        lambda results: seen.append(results['sample_idx']) or results
    ]
    ConcatDataset([images, images])[Visit(8, 4)]
    ConcatDataset([images, images])[Visit(3, 4)]
    repeated = RepeatDataset(images, 3)
    for i in (2, 8, 14):
        repeated[Visit(i, 1)]
    assert seen == [2, 3, 2, 2, 2]
    assert [visit.epoch for visit in seen[:2]] == [4, 4]
    epochs = [visit.epoch for visit in seen[2:]]
    assert len(set(epochs)) == 3 and min(epochs) > 4


def test_objects_larger_than_the_image_are_shrunk(tmp_path):
    write_cutout(tmp_path / 'a.png', (50, 300))
    source = dict(type='mmood.FolderObjects', folder=str(tmp_path))
    results = build(source=source, area=None)(sample())
    ((_, (x, y, w, h), _),) = results['pasted']
    assert (x, w, h) == (0, 80, 13) and 0 <= y <= 47


def test_too_small_an_object_is_left_out(tmp_path):
    write_cutout(tmp_path / 'a.png')
    source = dict(type='mmood.FolderObjects', folder=str(tmp_path))
    results = build(source=source, area=(1e-6, 1e-6))(sample())
    assert results['pasted'] == []
    assert not (results['gt_seg_map'] == 254).any()


def test_objects_of_coco(tmp_path):
    path = write_objects(tmp_path, [one('cat'), one('dog', image='b.png')])
    source = dict(
        type='mmood.CocoObjects',
        ann_file=str(path),
        img_prefix=str(tmp_path),
        id_classes=['Car'],
    )
    with pytest.raises(ValueError, match=r"known classes: \['car'\]"):
        build(source=source)
    transform = build(source=dict(source, overlap='drop'))
    assert 'cat 1, dog 1' in repr(transform)
    results = transform(sample())
    assert (results['gt_seg_map'] == 254).any()


def test_two_in_one_pipeline():
    """The second one may follow the first."""
    results = build(seed=1)(build(seed=0)(sample()))
    assert len(results['pasted']) == 2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(prob=1.5), r'prob must be in \[0, 1\], got 1.5'),
        (dict(count=(0, 2)), r'least and the most objects, got \(0, 2\)'),
        (dict(count=(3, 2)), r'least and the most objects, got \(3, 2\)'),
        (dict(area=(0.0, 0.1)), r'area must be .*got \(0.0, 0.1\)'),
        (dict(area=(0.2, 0.1)), r'area must be .*got \(0.2, 0.1\)'),
        (dict(feather=-1), 'feather must not be negative, got -1'),
        (dict(match=2), r'match must be in \[0, 1\], got 2'),
        (dict(outlier_label=255), '255 must be in .* not ignore_index=255'),
        (dict(outlier_label=300), r'300 must be in 0\.\.255'),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def altered(**parts):
    return {**sample(seg_map_path='l.png'), **parts}


@pytest.mark.parametrize(
    ('results', 'message'),
    [
        (altered(num_classes=255), '254 is a class of the set, which has 255'),
        (altered(gt_seg_map=np.full((60, 80), 254, np.uint8)),
         'l.png has pixels of outlier_label=254 before'),
        (altered(gt_seg_map=np.zeros((60, 80), np.int8)),
         'l.png is of int8, which has no outlier_label=254'),
        (altered(img=np.zeros((60, 80, 3), np.float32)), 'wants .* float32'),
        (altered(gt_seg_map=np.zeros((6, 8), np.uint8)), r'and \(6, 8\)'),
        (dict(img=np.zeros((6, 8, 3), np.uint8)), "finds no 'gt_seg_map'"),
    ],
)  # fmt: skip
def test_labels_without_room(results, message):
    with pytest.raises(ValueError, match=message):
        build()(results)


def test_it_says_what_there_is_to_paste(monkeypatch, log):
    lines = []
    monkeypatch.setattr(
        'mmood.seg.datasets.paste_outliers.print_log',
        lambda text, logger: lines.append(text),
    )
    assert isinstance(build(), PasteOutliers)
    assert lines == [
        'outliers of label 254: objects drawn of the outlines blob, polygon, '
        'union, hybrid'
    ]
    assert not log['warning']
