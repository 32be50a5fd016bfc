"""OODSegDataset and LoadOODAnnotations: ids, folds, files, refusals."""

import os.path as osp

import cv2
import numpy as np
import pytest
from mmengine import fileio
from mmengine.dataset import ConcatDataset

from helpers import SHARED
from mmood.registry import DATASETS, TRANSFORMS
from mmood.seg.datasets import file_pairs, ood_seg
from mmood.seg.datasets.ood_seg import OODSegDataset, deal_folds
from mmood.seg.datasets.transforms import LoadOODAnnotations, label_table

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
LABELS = np.array([[0, 1, 2], [7, 254, 255]], np.uint8)


def write(root, labels, image_suffix='.png', name='{}'):
    """images/NAME and labels/NAME.png for each label picture, (H, W)."""
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i, label in enumerate(labels):
        image = np.full((*label.shape[:2], 3), i, np.uint8)
        stem = name.format(i)
        path = root / 'images' / (stem + image_suffix)
        cv2.imwrite(str(path), image)
        cv2.imwrite(str(root / 'labels' / f'{stem}.png'), label)
    return root


def build(root, **options):
    defaults = dict(
        name='far',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.png',
        pipeline=PIPELINE,
        serialize_data=False,  # whose gc.collect() takes a second
    )
    return OODSegDataset(**{**defaults, **options})


def labels_of(dataset, index=0):
    return dataset[index]['data_samples'].gt_sem_seg.data[0].tolist()


@pytest.mark.parametrize(
    ('ids', 'expected'),
    [
        ({}, [[0, 1, 0], [0, 0, 255]]),
        (dict(ood_ids=[2, 7]), [[0, 0, 1], [1, 0, 255]]),
        (dict(ignore_ids=[0, 255]), [[255, 1, 0], [0, 0, 255]]),
        (dict(ignore_ids=[]), [[0, 1, 0], [0, 0, 0]]),
        (
            dict(ood_ids=range(2, 201), ignore_ids=[0, 255], id_ids=[1]),
            [[255, 0, 1], [1, 255, 255]],
        ),
    ],
)
def test_ids_become_id_ood_and_ignore(tmp_path, ids, expected):
    assert labels_of(build(write(tmp_path, [LABELS]), **ids)) == expected


def test_the_set_travels_with_the_sample(tmp_path):
    dataset = build(write(tmp_path, [LABELS] * 3), test_mode=True)
    assert dataset.metainfo['classes'] == (
        'in-distribution',
        'out-of-distribution',
    )
    sample = dataset[1]['data_samples']
    assert sample.origin == 'far'
    assert sample.fold == dataset.get_data_info(1)['fold']
    assert sample.img_path.endswith('images/1.png')
    assert dataset[1]['inputs'].unique().tolist() == [1]


def test_sets_stand_side_by_side(tmp_path):
    far = build(write(tmp_path / 'a', [LABELS]))
    near = build(write(tmp_path / 'b', [LABELS]), name='near', ood_ids=[2])
    both = ConcatDataset([far, near])
    origins = [both[i]['data_samples'].origin for i in range(2)]
    assert origins == ['far', 'near']
    assert labels_of(both, 1) == [[0, 0, 1], [0, 0, 255]]


def test_the_in_distribution_set_has_no_ood_id(tmp_path):
    root = write(tmp_path, [LABELS])
    dataset = build(root, name='id', ood_ids=())
    assert dataset[0]['data_samples'].origin == 'id'
    assert labels_of(dataset) == [[0, 0, 0], [0, 0, 255]]
    with pytest.raises(ValueError, match='named "id".*ood_ids is \\(1,\\)'):
        build(root, name='id')


def test_images_in_folders_of_folders_and_without_ood_pixels(tmp_path):
    write(tmp_path, [])
    for folder in ('images/city', 'labels/city'):
        (tmp_path / folder).mkdir()
    plain = np.zeros((2, 3), np.uint8)
    write(tmp_path, [plain, plain, LABELS], name='city/{}')
    dataset = build(tmp_path)
    assert len(dataset) == 3
    assert labels_of(dataset) == [[0] * 3] * 2
    assert labels_of(dataset, 2) == [[0, 1, 0], [0, 0, 255]]


def test_a_picture_with_nothing_but_ignored_pixels(tmp_path):
    void = np.full((2, 3), 255, np.uint8)
    dataset = build(write(tmp_path, [void, LABELS]))
    assert labels_of(dataset) == [[255] * 3] * 2


def test_the_ood_id_is_nowhere(tmp_path):
    root = write(tmp_path, [LABELS, np.full((2, 2), 9, np.uint8)])
    with pytest.raises(
        ValueError,
        match=r"set 'far': none of its 2 .* ood_ids \(3, 4\); they have "
        r'\[0, 1, 2, 7, 9, 254, 255\]. Set ood_ids',
    ):
        build(root, ood_ids=(3, 4))
    with pytest.raises(ValueError, match=r'ood_ids 20, \.\.\., 99;'):
        build(root, ood_ids=range(20, 100))


@pytest.mark.parametrize(
    ('count', 'num_folds'), [(10, 10), (111, 10), (30, 10), (3, 10), (7, 1)]
)
def test_folds_are_balanced(count, num_folds):
    folds = deal_folds(count, num_folds)
    sizes = np.bincount(folds, minlength=num_folds)
    assert len(sizes) == num_folds
    assert sizes.sum() == count and np.ptp(sizes) <= 1


def test_folds_are_the_same_every_time_and_depend_on_the_seed(tmp_path):
    root = write(tmp_path, [LABELS] * 12)
    (root / 'list.txt').write_text(
        ''.join(f'{i}\n' for i in range(11, -1, -1))
    )

    def folds(**options):
        dataset = build(root, num_folds=4, **options)
        infos = [dataset.get_data_info(i) for i in range(12)]
        return {info['img_path']: info['fold'] for info in infos}

    first = folds()
    assert folds() == first == folds(ann_file='list.txt')
    assert folds(seed=1) != first
    assert list(deal_folds(6, 3)) == [1, 2, 1, 0, 2, 0]


def test_name_pattern(tmp_path):
    root = write(tmp_path, [LABELS] * 3, name='validation_{}')
    (root / 'images' / 'test_9.png').write_bytes(b'')
    dataset = build(root, name_pattern='validation_(?!1)')
    paths = [dataset.get_data_info(i)['img_path'][-16:] for i in range(2)]
    assert len(dataset) == 2
    assert paths == ['validation_0.png', 'validation_2.png']


def names_of(dataset, key='img_path'):
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [osp.basename(info[key]) for info in infos]


def test_suffixes_in_two_cases_links_and_hidden_files(tmp_path):
    root = write(tmp_path / 'here', [LABELS])
    there = write(tmp_path / 'there', [LABELS], '.PNG', name='é')
    (there / 'labels/é.png').rename(there / 'labels/é.Png')
    for part in ('images', 'labels'):
        (root / part / 'more').symlink_to(there / part)
        (there / part / 'up').symlink_to(root / part)
        (root / part / '._0.png').write_bytes(b'')
    dataset = build(root)
    assert names_of(dataset) == ['0.png', 'é.PNG']
    assert names_of(dataset, 'seg_map_path') == ['0.png', 'é.Png']
    (root / 'list.txt').write_text('more/é\n\n', encoding='utf-8-sig')
    assert names_of(build(root, ann_file='list.txt')) == ['é.PNG']


def test_files_of_another_storage(tmp_path, monkeypatch):
    """Listed by its own means, here of the local one in disguise."""

    class Storage:
        list_dir_or_file = fileio.LocalBackend().list_dir_or_file

    root = write(tmp_path, [LABELS], '.PNG')
    monkeypatch.setattr(
        file_pairs.fileio, 'get_file_backend', lambda *_, **__: Storage()
    )
    paths = file_pairs.list_paths(f'{root}/images', '.png', None)
    assert paths == [f'{root}/images/0.PNG']


def test_two_files_of_one_name(tmp_path):
    root = write(tmp_path, [LABELS])
    for part in ('images', 'labels'):
        other = root / part / '0.PNG'
        other.write_bytes((root / part / '0.png').read_bytes())
        with pytest.raises(ValueError, match=f"{part}/0.PNG and .* name, '0'"):
            build(root)
        other.unlink()


def test_a_list_that_is_none(tmp_path):
    root = write(tmp_path, [LABELS] * 2)
    (root / 'list.txt').write_text('0\n1\n0\n')
    with pytest.raises(ValueError, match="list.txt lists '0' more than once"):
        build(root, ann_file='list.txt')
    (root / 'list.txt').write_bytes(b'\xe9\n')
    with pytest.raises(ValueError, match='list.txt is not a text file in UTF'):
        build(root, ann_file='list.txt')


def test_files_that_are_left_out_are_logged(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(ood_seg, 'print_log', lambda *a: logged.append(a[0]))
    root = write(tmp_path, [LABELS] * 2)
    build(root)
    assert logged == []
    (root / 'images/1.png').rename(root / 'images/1.tif')
    build(root)
    assert logged == [
        "set 'far' leaves out 1 label files without an image; see img_suffix "
        "'.png' and seg_map_suffix '.png'",
        "set 'far' leaves out 1 pictures of another ending, such as 1.tif; "
        "see img_suffix '.png' and seg_map_suffix '.png'",
    ]


def test_files_that_are_not_there(tmp_path):
    root = write(tmp_path, [LABELS] * 5)
    for i in (1, 2, 3, 4):
        (root / 'labels' / f'{i}.png').unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"'far': 4 of 5 label files .* \S*labels/1.png, \S*2.png, "
        r'\S*3.png; check',
    ):
        build(root)
    (root / 'list.txt').write_text('0\n9\n')
    with pytest.raises(FileNotFoundError, match='1 of 2 image files .*9.png'):
        build(root, ann_file='list.txt')
    with pytest.raises(FileNotFoundError, match='ann_file .*nowhere.txt'):
        build(root, ann_file='nowhere.txt')
    with pytest.raises(ValueError, match=r"no image '\*.jpg' in .*images"):
        build(root, img_suffix='.jpg')
    with pytest.raises(ValueError, match='no image'):
        build(root, name_pattern='validation')


@pytest.mark.parametrize('key', ['img_path', 'seg_map_path'])
@pytest.mark.parametrize('folder', ['nowhere', None])
def test_folders_that_are_not_there(tmp_path, key, folder):
    prefix = dict(img_path='images', seg_map_path='labels')
    prefix[key] = folder
    root = write(tmp_path, [LABELS])
    with pytest.raises(FileNotFoundError, match=f"data_prefix\\['{key}'\\]"):
        build(root, data_prefix={k: v for k, v in prefix.items() if v})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(name=''), 'name of a set .* got'),
        (dict(name='a/b'), "'a/b'"),
        (dict(num_folds=0), 'num_folds must be positive, got 0'),
        (dict(ood_ids=[256]), 'ood_ids must be in 0..255, got 256'),
        (dict(ood_ids=[255]), 'id 255 is in ood_ids and in ignore_ids'),
        (dict(id_ids=[1]), 'id 1 is in id_ids and in ood_ids'),
    ],
)
def test_arguments_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        build(write(tmp_path, [LABELS]), **options)


def test_label_files_that_are_no_ids(tmp_path):
    deep = LABELS.astype(np.uint16) * 256
    for i, (label, message) in enumerate(
        [
            (np.dstack([LABELS] * 3), '0.png has 3 channels'),
            (deep, '0.png holds labels from 0 to 65280'),
        ]
    ):
        root = write(tmp_path / str(i), [label])
        with pytest.raises(ValueError, match=message):
            build(root)
    (root / 'labels' / '0.png').write_bytes(b'nothing')
    with pytest.raises(
        ValueError, match='0.png is not a readable image.*; make or fetch it'
    ):
        build(root)


def test_label_and_image_of_different_size(tmp_path):
    root = write(tmp_path, [LABELS])
    cv2.imwrite(str(root / 'labels' / '0.png'), LABELS.T)
    with pytest.raises(ValueError, match=r'0.png has \(3, 2\).*\(2, 3\)'):
        build(root)[0]


def test_labels_loaded_by_the_wrong_transform(tmp_path):
    root = write(tmp_path, [LABELS])
    stock = [PIPELINE[0], dict(type='mmseg.LoadAnnotations'), PIPELINE[2]]
    with pytest.raises(ValueError, match='use mmood.LoadOODAnnotations'):
        build(root, pipeline=stock)
    sample = dict(seg_map_path=str(root / 'labels' / '0.png'))
    with pytest.raises(ValueError, match='0.png from a dataset that does not'):
        LoadOODAnnotations()(sample)


def test_indices_of_a_palette_picture(tmp_path):
    """A palette PNG is a label file although it looks like colours."""
    from PIL import Image

    root = write(tmp_path, [LABELS])
    picture = Image.fromarray(LABELS, 'P')
    picture.putpalette(list(np.arange(768) % 251))
    picture.save(root / 'labels' / '0.png')
    assert labels_of(build(root)) == [[0, 1, 0], [0, 0, 255]]


def test_label_table_covers_all_ids():
    table = label_table((4,), (9, 10), (1, 2))
    assert np.flatnonzero(table == 0).tolist() == [1, 2]
    assert np.flatnonzero(table == 1).tolist() == [4]
    assert (table == 255).sum() == 253


def test_it_is_registered():
    assert DATASETS.get('OODSegDataset') is OODSegDataset
    assert TRANSFORMS.get('LoadOODAnnotations') is LoadOODAnnotations


@pytest.mark.parametrize(
    ('name', 'count', 'without'),
    [('fs_static', 30, 10), ('road_anomaly21', 10, 0)],
)
def test_real_benchmarks(name, count, without):
    if not (SHARED / name).is_dir():
        pytest.skip(f'{SHARED / name} is not there')
    dataset = build(
        SHARED / name,
        name=name,
        data_prefix=dict(img_path='images', seg_map_path='labels_masks'),
        img_suffix='.jpg',
        pipeline=[LoadOODAnnotations()],
    )
    assert len(dataset) == count
    maps = [dataset[i]['gt_seg_map'] for i in range(count)]
    assert {v for m in maps for v in np.unique(m)} == {0, 1, 255}
    assert sum((m != 1).all() for m in maps) == without
