"""Every benchmark reads a small tree of its layout and its ids."""

import numpy as np
import pytest
from mmseg.datasets.transforms import PackSegInputs

from helpers import ROOT, SHARED
from mmood.registry import DATASETS
from mmood.seg.datasets import (
    LoadOODAnnotations,
    OODSegDataset,
    benchmarks,
)
from seg_helpers import write_pair

FS_FRAME = '04_Maurener_Weg_8_000000_000030'
LAF_FRAME = '02_Hanns_Klemm_Str_44_000001_000080'
LAF_LEFT_OUT = [
    '15_Rechbergstr_Deckenpfronn_000000_000010',
    '01_Hanns_Klemm_Str_45_000006_000060',
    '01_Hanns_Klemm_Str_45_000007_000070',
    '10_Schlossberg_9_000004_000040',
]
# class: (image, label file, ids of the file's pixels, what they become)
LAYOUTS = {
    'RoadAnomalyDataset': (
        'frames/bear_1.jpg',
        'frames/bear_1.labels/labels_semantic.png',
        {0: 0, 1: 0, 2: 1, 255: 255},
    ),
    'FishyscapesDataset': (
        'images/0.png',
        'labels_masks/0.png',
        {0: 0, 1: 1, 255: 255},
    ),
    'FishyscapesLostAndFoundDataset': (
        f'leftImg8bit/test/04_Maurener_Weg_8/{FS_FRAME}_leftImg8bit.png',
        f'fishyscapes_lostandfound/0000_{FS_FRAME}_labels.png',
        {0: 0, 1: 1, 255: 255},
    ),
    'AnomalyTrackDataset': (
        'images/validation0003.jpg',
        'labels_masks/validation0003_labels_semantic.png',
        {0: 0, 1: 1, 255: 255},
    ),
    'ObstacleTrackDataset': (
        'images/validation_2.webp',
        'labels_masks/validation_2_labels_semantic.png',
        {0: 0, 1: 1, 255: 255},
    ),
    'LostAndFoundNoKnownDataset': (
        f'leftImg8bit/test/02_Hanns_Klemm_Str_44/{LAF_FRAME}_leftImg8bit.png',
        f'gtCoarse/test/02_Hanns_Klemm_Str_44/{LAF_FRAME}'
        '_gtCoarse_labelIds.png',
        {0: 255, 1: 0, 2: 1, 200: 1, 201: 255, 255: 255},
    ),
    'ADEOoDDataset': (
        'images/ADE_val_00000375.jpg',
        'annotations/ADE_val_00000375_mask.png',
        {0: 0, 1: 1, 255: 255},
    ),
    'WDPascalDataset': (
        'images/34.png',
        'labels_masks/34.png',
        {0: 0, 1: 1, 255: 255},
    ),
    'DLRSDDataset': (
        'UCMerced_LandUse/Images/airplane/airplane00.tif',
        'DLRSD/Images/airplane/airplane00.png',
        {
            **{i: 0 for i in range(1, 18)},
            **{i: 1 for i in (1, 4, 6, 12, 14, 15)},
            0: 255,
            255: 255,
        },
    ),
}


def build(kind, root, **options):
    cls = DATASETS.get(kind)
    options.setdefault('serialize_data', False)  # it takes a second
    pipeline = [LoadOODAnnotations(), PackSegInputs()]
    if kind == 'FishyscapesDataset':
        options.setdefault('name', 'fs_static')
    return cls(data_root=str(root), pipeline=pipeline, **options)


def test_every_benchmark_is_here():
    ood = {
        name
        for name, value in vars(benchmarks).items()
        if isinstance(value, type)
        and issubclass(value, OODSegDataset)
        and value is not OODSegDataset
    }
    assert ood == set(LAYOUTS)
    names = {dataset_name(kind) for kind in ood}
    assert len(names) == len(ood) and not any('/' in n for n in names)


@pytest.mark.parametrize('name', LAYOUTS)
def test_layout_and_ids(tmp_path, name):
    image, label, ids = LAYOUTS[name]
    write_pair(tmp_path, image, label, ids)
    dataset = build(name, tmp_path)
    assert len(dataset) == 1
    sample = dataset[0]['data_samples']
    assert sample.img_path == str(tmp_path / image)
    assert sample.seg_map_path == str(tmp_path / label)
    assert sample.origin == dataset_name(name)
    assert sample.gt_sem_seg.data[0, 0].tolist() == list(ids.values())


def dataset_name(kind):
    return getattr(benchmarks, kind).defaults.get('name', 'fs_static')


@pytest.mark.parametrize('name', LAYOUTS)
def test_a_set_without_ood_pixels_names_the_ids(tmp_path, name):
    image, label, ids = LAYOUTS[name]
    rest = [i for i, meaning in ids.items() if meaning != 1]
    write_pair(tmp_path, image, label, rest)
    found = sorted(rest)
    message = f"'{dataset_name(name)}'.*has an id of ood_ids.*{found}"
    with pytest.raises(ValueError, match=message.replace('[', r'\[')):
        build(name, tmp_path)


def test_smiyc_frames_without_labels_are_left_out(tmp_path):
    for name, frames, left_out, suffix in (
        (
            'AnomalyTrackDataset',
            ['validation0000', 'validation0009'],
            ['airplane0000'],
            '.jpg',
        ),
        (
            'ObstacleTrackDataset',
            ['validation_1', 'validation_2', 'validation_20'],
            ['validation_19', 'validation_21', 'validation_29', 'snow_1'],
            '.webp',
        ),
    ):
        root = tmp_path / name
        for frame in [*frames, *left_out]:
            label = f'labels_masks/{frame}_labels_semantic.png'
            write_pair(root, f'images/{frame}{suffix}', label, [0, 1])
        for frame in left_out:
            (root / f'labels_masks/{frame}_labels_semantic.png').unlink()
        assert len(build(name, root)) == len(frames)


def test_lost_and_found_without_known_objects(tmp_path):
    for frame in (LAF_FRAME, *LAF_LEFT_OUT):
        scene = frame[:-14]
        write_pair(
            tmp_path,
            f'leftImg8bit/test/{scene}/{frame}_leftImg8bit.png',
            f'gtCoarse/test/{scene}/{frame}_gtCoarse_labelIds.png',
            [1, 2],
        )
    dataset = build('LostAndFoundNoKnownDataset', tmp_path)
    assert [LAF_FRAME in dataset[i]['data_samples'].img_path
            for i in range(len(dataset))] == [True]  # fmt: skip
    names = tmp_path / 'frames.txt'
    names.write_text(f'{LAF_FRAME[:-14]}/{LAF_FRAME}\n')
    exact = build(
        'LostAndFoundNoKnownDataset', tmp_path, ann_file='frames.txt'
    )
    one, other = exact.get_data_info(0), dataset.get_data_info(0)
    assert one.pop('source') != other.pop('source')
    assert one == other


def test_two_sets_of_one_preset_have_no_name_in_common(tmp_path):
    write_pair(tmp_path, *LAYOUTS['FishyscapesDataset'])
    with pytest.raises(ValueError, match="two sets: say which .*'fs_static'"):
        build('FishyscapesDataset', tmp_path, name=None)


def test_fishyscapes_lost_and_found_misses_an_image(tmp_path):
    image, label, ids = LAYOUTS['FishyscapesLostAndFoundDataset']
    write_pair(tmp_path, image, label, ids)
    write_pair(tmp_path, image, label.replace('0000_04', '0001_05'), ids)
    with pytest.raises(
        FileNotFoundError, match='0001_05_M.* has no image 05_M.*_leftImg8bit'
    ):
        build('FishyscapesLostAndFoundDataset', tmp_path)


def test_defaults_can_be_given(tmp_path):
    write_pair(tmp_path, 'a.jpg', 'a_mask.png', [0, 3])
    folder = dict(img_path='', seg_map_path='')
    dataset = build(
        'ADEOoDDataset', tmp_path, name='mine', data_prefix=folder, ood_ids=[3]
    )
    sample = dataset[0]['data_samples']
    assert sample.origin == 'mine'
    assert sample.gt_sem_seg.data[0, 0].tolist() == [0, 1]


def test_real_fishyscapes_static():
    root = SHARED / 'fs_static'
    if not root.is_dir():
        pytest.skip(f'{root} is not there')
    dataset = build('FishyscapesDataset', root, img_suffix='.jpg')
    assert len(dataset) == 30
    folds = [dataset.get_data_info(i)['fold'] for i in range(30)]
    assert np.bincount(folds).tolist() == [3] * 10


def test_the_docs_name_every_class():
    page = (ROOT / 'docs' / 'en' / 'dataset_prepare.md').read_text()
    classes = [*LAYOUTS, 'CamVidDataset', 'WHDLDDataset', 'ShapesSegDataset']
    assert [c for c in classes if c not in page] == []
