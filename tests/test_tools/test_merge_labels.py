"""tools/dataset_converters/merge_labels.py: there and back again."""

import json
import sys

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from annotation_tools import (
    read_as_cvat,
    read_as_label_studio,
    write_as_cvat,
    write_as_label_studio,
)
from helpers import ROOT, run_here
from mmood.mining.results import write_coco
from mmood.ops import read_coco

sys.path.append(str(ROOT / 'tools/dataset_converters'))
from corrected_labels import ImageNames
from label_names import forms, same_class

CLASSES = ['circle', 'traffic light', 'bus']
# Of each mined image the boxes, and the group of each.
BOXES = {
    'a/0.png': [([2, 3, 10, 12], 0), ([30, 5, 12, 10], 1)],
    'a/1.png': [([4, 4, 20.5, 16.25], 0)],
    'b/0.png': [([10, 10, 9, 9], 1), ([30, 20, 8, 14], -1)],
    'b/2.png': [([1, 1, 30, 30], -1)],
}


@pytest.fixture
def folder(tmp_path):
    """Mined images, unknown.json, and a base of one image and two boxes."""
    for name in [*BOXES, 'base.png']:
        path = tmp_path / ('images' if '/' in name else 'base') / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    boxes = [
        dict(
            id=i,
            image=list(BOXES).index(name),
            bbox=box,
            group=group,
            place=0,
            ood_score=1.5,
            confidence=0.7,
            taken_for='bus',
            crop=f'crops/{i}.jpg',
        )
        for i, (name, box, group) in enumerate(
            ((n, b, g) for n, of in BOXES.items() for b, g in of), 1
        )
    ]
    info = dict(classes=CLASSES, image_folder='../images', checkpoint='ab')
    (tmp_path / 'out').mkdir()
    sizes = [(64, 48)] * len(BOXES)
    out = tmp_path / 'out/unknown.json'
    write_coco(out, list(BOXES), sizes, boxes, CLASSES, info)
    categories = [*CLASSES, 'zebra']
    base = dict(
        images=[dict(id=7, file_name='base.png', width=64, height=48)],
        annotations=[
            dict(id=i, image_id=7, category_id=i, bbox=[5 * i, 5, 9, 9])
            for i in (1, 2)
        ],
        categories=[dict(id=i, name=n) for i, n in enumerate(categories, 1)],
    )
    (tmp_path / 'base.json').write_text(json.dumps(base))
    return tmp_path


def named(folder, *names):
    """The mined file with a name for each box, in its order."""
    content = read_coco(folder / 'out/unknown.json')
    ids = {c['name']: c['id'] for c in content['categories']}
    for one, name in zip(content['annotations'], names):
        ids.setdefault(name, len(ids) + 1)
        one['category_id'] = ids[name]
    content['categories'] = [dict(id=i, name=n) for n, i in ids.items()]
    return content


@pytest.fixture
def merge(folder, monkeypatch, capsys):
    """Function: what the tool makes of a corrected file, and its words."""

    def run(corrected, *more):
        path = folder / 'out/corrected.json'
        path.write_text(json.dumps(corrected))
        new = folder / 'new.json'
        options = ('--base', folder / 'base.json', '--out', new)
        options += ('--image-root', folder / 'base', *more)
        name = 'dataset_converters/merge_labels'
        run_here(monkeypatch, name, path, *options)
        return read_coco(new), capsys.readouterr().out

    return run


def classes_of(content):
    """(file name, class, box) of all boxes."""
    names = {c['id']: c['name'] for c in content['categories']}
    files = {i['id']: i['file_name'] for i in content['images']}
    return [
        (files[a['image_id']], names[a['category_id']], a['bbox'])
        for a in content['annotations']
    ]


NAMES = ('cross', 'known: Buses', 'cross', 'background', 'unknown', 'zebra')


def test_a_corrected_file_becomes_the_next_training_set(folder, merge):
    content, said = merge(named(folder, *NAMES))
    assert content['info']['steps'] == [CLASSES, ['cross', 'zebra']]
    assert content['info']['mined']['checkpoint'] == 'ab'
    assert classes_of(content) == [
        ('base.png', 'circle', [5, 5, 9, 9]),
        ('base.png', 'traffic light', [10, 5, 9, 9]),
        ('../images/a/0.png', 'cross', [2, 3, 10, 12]),
        ('../images/a/0.png', 'bus', [30, 5, 12, 10]),
        ('../images/a/1.png', 'cross', [4, 4, 20.5, 16.25]),
        ('../images/b/2.png', 'zebra', [1, 1, 30, 30]),
    ]
    names = [c['name'] for c in content['categories']]
    assert names == [*CLASSES, 'zebra', 'cross']
    assert len({image['id'] for image in content['images']}) == 4
    assert 'boxes: unknown: 1' in said and 'boxes: background: 1' in said


def test_groups_are_named_at_once(folder, merge):
    corrected = named(folder)
    more = ('--groups', '0=cross', '1=known: circle')
    content, said = merge(corrected, *more)
    found = [name for file, name, _ in classes_of(content)[2:]]
    assert found == ['cross', 'circle', 'cross', 'circle']
    assert 'named by their group 0: 2' in said
    assert content['info']['named_groups'] == 2
    # What a person has named stays so.
    content, _ = merge(named(folder, 'tree'), *more)
    assert classes_of(content)[2][1] == 'tree'


def test_images_with_unknown_boxes_can_be_left_out(folder, merge):
    names = ('cross', 'unknown', 'cross', 'cross', 'background')
    content, said = merge(named(folder, *names), '--drop-unknown-images')
    files = {file for file, *_ in classes_of(content)}
    assert files == {'base.png', '../images/a/1.png', '../images/b/0.png'}
    assert 'images left out, with a box still unknown: 2' in said


def test_cvat_reads_it_and_gives_it_back(folder, merge):
    mined = json.loads((folder / 'out/unknown.json').read_text())
    frames = read_as_cvat(mined, ['group', 'ood_score'])
    assert list(frames) == ['a/0', 'a/1', 'b/0', 'b/2']
    assert frames['a/1'][0] == dict(
        label='unknown',
        points=[4, 4, 24.5, 20.25],
        attributes=dict(group=0, ood_score=1.5),
    )
    frames['a/0'][0]['label'] = 'cross'
    frames['b/2'].clear()  # the box is none
    frames['b/0'].append(dict(frames['a/0'][0], points=[1, 2, 11, 22]))
    del frames['a/1']  # the image is removed
    exported = write_as_cvat(frames, dict.fromkeys(frames, (64, 48)))
    content, said = merge(exported, '--groups', '1=ring')
    assert classes_of(content)[2:] == [
        ('../images/a/0.png', 'cross', [2, 3, 10, 12]),
        ('../images/a/0.png', 'ring', [30, 5, 12, 10]),
        ('../images/b/0.png', 'ring', [10, 10, 9, 9]),
        ('../images/b/0.png', 'cross', [1, 2, 10, 20]),
    ]
    for words in ('images removed: 1', 'boxes removed: 1', 'drawn anew: 1'):
        assert words in said


@pytest.mark.parametrize(
    'root', ['/data/local-files/?d=', 'http://host/', 'images/0a1b2c3d-']
)
def test_label_studio_reads_it_and_gives_it_back(folder, merge, root):
    mined = json.loads((folder / 'out/unknown.json').read_text())
    uploads = root.endswith('-')  # names without their folders
    if uploads:
        for image in mined['images']:
            image['file_name'] = image['file_name'].replace('/', '_')
        path = folder / 'out/unknown.json'
        path.write_text(json.dumps(mined))
        for name in BOXES:
            new = folder / 'images' / name.replace('/', '_')
            (folder / 'images' / name).rename(new)
    tasks = read_as_label_studio(mined, root)
    assert len(tasks) == 4 and len(tasks[0]['boxes']) == 2
    tasks[0]['boxes'][0]['label'] = 'cross'
    tasks[3]['boxes'][0]['label'] = 'background'
    tasks[1]['boxes'].clear()  # so that its export has no such image
    labels = [c['name'] for c in mined['categories']]
    exported = write_as_label_studio(tasks, [*labels, 'cross'])
    # Attributes are lost: groups are told by the places of boxes.
    content, said = merge(exported, '--groups', '1=ring')
    found = [(name, box) for _, name, box in classes_of(content)[2:]]
    assert [name for name, _ in found] == ['cross', 'ring', 'ring']
    wanted = [[2, 3, 10, 12], [30, 5, 12, 10], [10, 10, 9, 9]]
    np.testing.assert_allclose([b for _, b in found], wanted, atol=1)
    assert 'images removed: 1' in said


@pytest.mark.parametrize(
    ('name', 'known'),
    [
        ('circle', 'circle'),
        ('Circle', 'circle'),
        ('circles', 'circle'),
        ('traffic-light', 'traffic light'),
        ('TrafficLights', 'traffic light'),
        ('traffic_light ', 'traffic light'),
        ('Buses', 'bus'),
        ('bus', 'bus'),
    ],
)
def test_an_id_class_in_other_spelling_is_refused(folder, merge, name, known):
    with pytest.raises(SystemExit) as error:
        merge(named(folder, name))
    assert f'is the ID class {known!r}' in str(error.value)
    assert f"'known: {known}'" in str(error.value)


def test_one_new_class_in_two_spellings_is_refused(folder, merge):
    for names in (('rhino', 'Rhinos'), ('zebras',)):
        with pytest.raises(SystemExit, match='in other spelling'):
            merge(named(folder, *names))


def test_spellings():
    assert same_class('aeroplanes', ['bus', 'airplane']) == 'airplane'
    assert same_class('ponies', ['pony']) == 'pony'
    assert same_class('glass', ['gas', 'grass']) is None
    assert forms('Potted Plants') & forms('potted-plant')
    assert not forms('cross') & forms('crow')


def test_an_image_that_was_not_mined_is_refused(folder, merge):
    corrected = named(folder, *NAMES)
    corrected['images'][1]['file_name'] = 'a/9.png'
    with pytest.raises(SystemExit, match=r'a/9\.png was not mined'):
        merge(corrected)


def test_an_image_of_another_size_or_twice_or_in_doubt(folder, merge):
    corrected = named(folder, *NAMES)
    corrected['images'][1]['width'] = 128
    with pytest.raises(SystemExit, match=r'\(128, 48\) pixels, and was'):
        merge(corrected)
    corrected = named(folder, *NAMES)
    corrected['images'][1]['file_name'] = 'a/0.png'
    with pytest.raises(SystemExit, match='there twice'):
        merge(corrected)
    corrected = named(folder, *NAMES)
    corrected['images'][0]['file_name'] = '0.png'
    with pytest.raises(SystemExit, match=r'any of a/0\.png, b/0\.png'):
        merge(corrected)


def test_a_whole_name_means_its_image_and_no_longer_one():
    find = ImageNames([dict(file_name=n) for n in ('0.png', 'a/0.png')])
    for name in ('0.png', 'a/0.png', 'c/a/0.png'):
        wanted = 'a/0.png' if 'a/' in name else '0.png'
        assert find(name) == dict(file_name=wanted)
    assert find('/data/local-files/?d=a%2F0.png')['file_name'] == 'a/0.png'
    assert find('1.png') is None


def test_removed_images_are_reported(folder, merge):
    corrected = named(folder, *NAMES)
    corrected['images'] = corrected['images'][:1]
    corrected['annotations'] = corrected['annotations'][:2]
    content, said = merge(corrected)
    assert 'images removed: 3' in said and len(content['images']) == 2


@pytest.mark.parametrize('box', [[2, 3, 0.5, 9], [70, 3, 5, 5]])
def test_boxes_of_no_size_are_refused(folder, merge, box):
    corrected = named(folder, *NAMES)
    corrected['annotations'][2]['bbox'] = box
    with pytest.raises(SystemExit, match=r'annotation 3 in a/1\.png'):
        merge(corrected)


def test_ids_that_are_there_twice_are_refused(folder, merge):
    corrected = named(folder, *NAMES)
    corrected['annotations'][2]['id'] = 2
    with pytest.raises(SystemExit, match='the id 2 is there 2 times'):
        merge(corrected)


def test_no_new_class_is_no_step(folder, merge):
    with pytest.raises(SystemExit, match='no box has the name of a new'):
        merge(named(folder, 'known: bus', 'background'))
    with pytest.raises(SystemExit, match="'known: tree' names no ID class"):
        merge(named(folder, 'known: tree'))


@pytest.mark.parametrize('text', ['cross', 'a=cross', '1=', '-1=cross'])
def test_groups_that_are_none(folder, merge, text):
    with pytest.raises(SystemExit, match='should be GROUP=NAME'):
        merge(named(folder), f'--groups={text}')


def test_the_second_round_adds_a_step(folder, merge):
    content, _ = merge(named(folder, 'cross'))
    (folder / 'base.json').write_text(json.dumps(content))
    mined = json.loads((folder / 'out/unknown.json').read_text())
    mined['info']['classes'] = [*CLASSES, 'cross']
    (folder / 'out/unknown.json').write_text(json.dumps(mined))
    again, said = merge(named(folder, 'known: cross', 'ring', 'ring'))
    assert again['info']['steps'] == [CLASSES, ['cross'], ['ring']]
    assert 'boxes that the base has already: 1' in said
    assert len(again['images']) == 3  # one of them is of both rounds


def test_the_next_step_of_the_incremental_project(folder, merge):
    """Its plan has the steps, its set the boxes of the new classes."""
    sys.path.append(str(ROOT / 'projects/incremental_detection'))
    from stages import plan_of

    from mmood.det.datasets import ClassStepCocoDataset
    from mmood.recipe import load

    project = ROOT / 'projects/incremental_detection/configs'
    parts = ('_base_/shapes.py', '_base_/shapes_4-2.py', '_base_/iod.py')
    own = folder / 'own.py'
    paths = [str(project / part) for part in parts]
    own.write_text(f'_base_ = {paths!r}\ndata_root = {str(folder)!r} + "/"\n')
    merge(named(folder, *NAMES), '--config', own)
    cfg = load(folder / 'new.py')
    plan = plan_of(cfg)
    assert plan.steps == [CLASSES, ['cross', 'zebra']]
    ann = cfg.train_dataloader.dataset.ann_file
    assert (folder / ann).samefile(folder / 'new.json')
    dataset = ClassStepCocoDataset(
        steps=plan.steps,
        step=1,
        ann_file=ann,
        data_root=cfg.data_root,
        data_prefix=dict(img='base/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=[dict(type='LoadImageFromFile')],
    )
    labels = [i['bbox_label'] for s in dataset for i in s['instances']]
    assert len(dataset) == 3 and labels == [3, 3, 4]
    assert dataset[0]['img'].shape == (48, 64, 3)


def test_the_next_step_is_tested_on_joined_sets(folder, merge):
    """All classes are there; a link as data_root changes no path."""
    link = folder / 'deeper/link'
    link.parent.mkdir()
    link.symlink_to(folder, target_is_directory=True)
    own = folder / 'own.py'
    own.write_text(f'data_root = {str(link)!r} + "/"\n')
    sets = folder / 'one.json', folder / 'two.json'
    box = dict(bbox=[1, 2, 9, 9], image_id=4)
    for i, (path, names) in enumerate(zip(sets, (['bus'], ['zebra', 'bus']))):
        content = dict(
            images=[dict(id=4, file_name=f'{i}.png', width=64, height=48)],
            annotations=[dict(box, id=3, category_id=8)],
            categories=[dict(id=8 + n, name=m) for n, m in enumerate(names)],
        )
        path.write_text(json.dumps(content))
    merge(named(folder, *NAMES), '--config', own, '--test', *sets)
    cfg = Config.fromfile(folder / 'new.py')
    assert cfg.val_ann == cfg.test_ann
    for name, path in (
        ('test_ann', 'new_test.json'),
        ('train_ann', 'new.json'),
    ):
        assert (link / cfg[name]).samefile(folder / path)
    content = read_coco(link / cfg.test_ann)
    assert classes_of(content) == [
        *(('0.png', 'bus', [1, 2, 9, 9]), ('1.png', 'zebra', [1, 2, 9, 9])),
    ]
    categories = [c['name'] for c in content['categories']]
    assert categories == [*CLASSES, 'cross', 'zebra']
    with pytest.raises(SystemExit, match='0.png is in two of the sets'):
        merge(named(folder, *NAMES), '--config', own, '--test', *sets[:1] * 2)
