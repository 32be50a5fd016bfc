"""verify_config.py, on a tiny made-up copy of FMIYC's sets and of VOC."""

import importlib
import json
import sys

import pytest
from PIL import Image

from helpers import ROOT
from mmood.recipe import load
from mmood.registry import DATASETS

TOOLS = ROOT / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
verify_config = importlib.import_module('verify_config')

CONFIGS = sorted((ROOT / 'configs/fmiyc').glob('*.py'))
SETS = {
    'near_coco': ('coco', 'near_images', 'near_coco_wrt_voc'),
    'far_coco': ('coco', 'far_images', 'far_coco_wrt_voc'),
    'near_oi': ('openimages', 'near_images', 'near_oi_wrt_voc'),
    'far_oi': ('openimages', 'far_images', 'far_oi_wrt_voc'),
    'farther_coco': (
        'coco', 'farther_images_wrt_bdd', 'farther_coco_wrt_bdd',
    ),
    'farther_oi': (
        'openimages', 'farther_images_wrt_bdd', 'farther_oi_wrt_bdd',
    ),
}  # fmt: skip
VOC, BDD = list(SETS)[:4], list(SETS)[4:]


def write_set(ann_file, images, classes, category, ids=(1, 2)):
    """Two pictures with an object each; what is in their json."""
    for folder in (ann_file.parent, images):
        folder.mkdir(parents=True, exist_ok=True)
    for i in ids:
        Image.new('RGB', (40, 30)).save(images / f'{i}.jpg')
    content = dict(
        images=[
            dict(id=i, file_name=f'{i}.jpg', width=40, height=30) for i in ids
        ],
        categories=[dict(id=i, name=c) for i, c in enumerate(classes, 1)],
        annotations=[
            dict(
                id=n,
                image_id=i,
                category_id=1 + classes.index(category),
                bbox=[1, 2, 10, 10],
                area=100,
                iscrowd=0,
            )
            for n, i in enumerate(ids, 1)
        ],
    )
    ann_file.write_text(json.dumps(content))
    return content


@pytest.fixture
def copy(tmp_path):
    """Folder with a copy of all sets, under their published names."""
    for name, (folder, images, stem) in SETS.items():
        ids = (1, 2) if 'coco' in name else ('0a1', 'ff2')  # words
        # COCO's categories are all there; objects are of one alone.
        write_set(
            tmp_path / folder / 'annotations' / f'{stem}.json',
            tmp_path / folder / images,
            ['person', 'zebra'],
            'zebra',
            ids,
        )
    cfg = load(ROOT / 'configs/fmiyc/fmiyc_retinanet_r50_fpn_18k_voc.py')
    for key in ('train_ann', 'test_ann'):
        write_set(tmp_path / cfg[key], tmp_path, list(cfg.classes), 'dog')
    return tmp_path


def options(folder):
    return {'fmiyc_root': f'{folder}/', 'data_root': f'{folder}/'}


def run(folder, *rest, config=CONFIGS[0]):
    chosen = [f'{k}={v}' for k, v in options(folder).items()]
    return verify_config.main([str(config), '--cfg-options', *chosen, *rest])


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_fmiycs_sets_are_read_as_published(path, copy):
    cfg = load(path, options(copy))
    assert cfg.test_evaluator.open_set
    first, *rest = cfg.test_dataloader.dataset.datasets
    assert first.type == 'mmood.IDCocoDataset'
    names = [part.name for part in rest]
    assert names == (VOC if path.stem.endswith('voc') else BDD)
    for name, part in zip(names, rest):
        dataset = DATASETS.build(part)
        assert len(dataset) == 2
        sample = dataset[0]['data_samples']
        assert sample.origin == name
        assert SETS[name][1] in sample.img_path
        assert len(sample.instances) == 1


@pytest.mark.parametrize('name', SETS)
def test_a_sound_set_passes(name, copy, capsys):
    (config,) = [
        path
        for path in CONFIGS
        if path.stem.startswith('fmiyc_retinanet')
        and path.stem.endswith('voc' if name in VOC else 'bdd100k')
    ]
    assert run(copy, '--only', name, config=config) == 0
    printed = capsys.readouterr().out
    assert f'{SETS[name][2]}.json' in printed and 'images: 2' in printed
    assert '0 of 1 sets have errors' in printed


def find(kind):
    (path,) = [p for p in CONFIGS if p.stem.startswith(f'fmiyc_{kind}')
               and p.stem.endswith('voc')]  # fmt: skip
    return path


def test_known_and_unknown_sets_together(copy, tmp_path):
    report = tmp_path / 'report.json'
    rest = ('--report', str(report), '--read')
    assert run(copy, *rest, config=find('rtmdet')) == 0
    found = json.loads(report.read_text())
    names = [name.split(': ')[0] for name in found]
    # Trained on, validated and tested on, which is one file.
    assert names == ['id', 'id', *VOC]


def test_an_id_object_in_an_ood_set_is_an_error(copy, capsys):
    folder, images, stem = SETS['far_oi']
    write_set(
        copy / folder / 'annotations' / f'{stem}.json',
        copy / folder / images,
        ['Sofa', 'Zebra'],  # VOC's couch
        'Sofa',
    )
    assert run(copy, config=find('dino')) == 1
    printed = capsys.readouterr().out
    assert 'objects of ID classes in an OOD set: 1\n    Sofa: 2 ob' in printed
    assert '1 of 6 sets have errors\nfar_oi: ' in printed


def test_what_is_not_there_is_named(copy, capsys):
    folder, images, stem = SETS['near_coco']
    (copy / folder / images / '1.jpg').unlink()
    (copy / 'openimages/annotations/near_oi_wrt_voc.json').unlink()
    for path in (copy / 'openimages/far_images').iterdir():
        path.unlink()
    (copy / 'openimages/far_images').rmdir()
    assert run(copy, config=find('faster')) == 1
    printed = capsys.readouterr().out
    assert 'missing images: 1\n    1.jpg' in printed
    assert 'annotation files that are not there: 1' in printed
    assert 'image folders that are not there: 1' in printed
    assert '3 of 6 sets have errors' in printed


def test_a_name_that_no_set_has(copy):
    with pytest.raises(SystemExit, match=r"\['moon'\]; its sets .*near_coco"):
        run(copy, '--only', 'moon', config=find('dino'))


def test_classes_held_out_of_the_id_file_are_no_error():
    path = ROOT / 'configs/posthoc/faster-rcnn_mobilenet-v2_fpn_voc-animals.py'
    held = {
        'classes': ['person', 'cat'],
        'held_out': ['horse'],
        'test_sets': '$held_out_sets',
    }
    sets = verify_config.coco_sets(load(path, held))
    barred = {one.name: one.barred for one in sets}
    assert barred['held_out_val'] == () == barred['id']
    assert barred['painted'] == ('person', 'cat')
