"""The COCO part of VOC-COCO, by voc_coco.py."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from mmood.registry import DATASETS
from voc_coco_helpers import IMAGES, image_ids, make_coco

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
voc, tool, rule = map(
    importlib.import_module, ('voc', 'voc_coco', 'voc_coco_rule')
)


def dump(path, content):
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def build(tmp_path):
    """Function: run the tool on a json; what it wrote."""

    def run(coco, *options, out='out.json'):
        path = dump(tmp_path / 'in.json', coco)
        out = tmp_path / out
        tool.main([path, str(out), *map(str, options)])
        return json.loads(out.read_text())

    return run


def objects(coco):
    names = {c['id']: c['name'] for c in coco['categories']}
    return [
        (a['image_id'], names[a['category_id']]) for a in coco['annotations']
    ]


def test_the_part_holds_all_boxes_and_images_of_the_rule(build, capsys):
    coco = make_coco(*IMAGES)
    part = build(coco, '--groups', 1, 2, '--images', 99)
    assert image_ids(part) == [1, 2, 3, 8]
    assert objects(part) == [
        (1, 'truck'),
        *[(2, name) for name in ('truck', 'car', 'car')],
        *[(3, name) for name in ('bench', 'pizza')],
        *[(8, 'pizza')] * 2,
    ]
    assert part['categories'] == coco['categories']
    assert part['images'][1] == coco['images'][1]
    kept = {k: v for k, v in coco['annotations'][0].items()}
    del kept['segmentation']
    assert part['annotations'][0] == {**kept, 'crowd': 0}
    printed = capsys.readouterr().out
    for line in (
        'images read: 8',
        'images that the rule allows: 4',
        'images published: no count',
        'boxes of known classes: 2',
        'boxes of unknown classes: 6',
        'images: 4',
        'truck: 2',
    ):
        assert f'  {line}\n' in printed
    assert 'WARNING' not in printed


def test_known_classes_get_the_names_that_are_given(build):
    names = ['aeroplane', 'truck', 'Person']
    coco = make_coco(['aeroplane', 'truck'], names=names)
    options = ('--classes', 'truck', '--images', 9, '--barred', 'person')
    part = build(coco, *options, '--known', 'airplane')
    assert objects(part) == [(1, 'airplane'), (1, 'truck')]
    part = build(coco, *options, '--known', 'aeroplane', 'person')
    assert [c['name'] for c in part['categories']] == [
        'aeroplane',
        'truck',
        'person',
    ]


@pytest.mark.parametrize(
    'crowd, flags', [('keep', [0, 0]), ('ignore', [1, 0]), ('drop', [0])]
)
def test_boxes_around_a_crowd(build, crowd, flags):
    coco = make_coco(['bench', 'bench'], iscrowd={100: 1})
    del coco['annotations'][1]['iscrowd'], coco['annotations'][1]['area']
    part = build(coco, '--groups', 1, '--crowd', crowd)
    assert [a['iscrowd'] for a in part['annotations']] == flags
    assert [a['crowd'] for a in part['annotations']] == [1, 0][-len(flags) :]
    assert part['annotations'][-1]['area'] == 600


def test_several_files_and_their_folders(build, tmp_path):
    other = dump(tmp_path / 'other.json', make_coco(['bench'], [], start=50))
    options = ('--groups', '1', '--folders', 'val2017', 'train2017')
    path = dump(tmp_path / 'one.json', make_coco(['bench']))
    out = tmp_path / 'both.json'
    tool.main([path, other, str(out), *options])
    names = [i['file_name'] for i in json.loads(out.read_text())['images']]
    assert names == [
        f'val2017/{1:012}.jpg',
        f'train2017/{50:012}.jpg',
    ]
    with pytest.raises(SystemExit, match='each of 1 ann_file.*got 2'):
        build(make_coco(['bench']), *options)
    with pytest.raises(SystemExit, match='ids of images occur twice'):
        tool.main([path, path, str(out), '--groups', '1'])
    twin = make_coco(['bench'], start=50)
    twin['images'][0]['file_name'] = f'{1:012}.jpg'
    twin = dump(tmp_path / 'twin.json', twin)
    with pytest.raises(SystemExit, match='one file name; tell with --folders'):
        tool.main([path, twin, str(out), '--groups', '1'])
    fewer = dump(tmp_path / 'fewer.json', make_coco([], names=['bench']))
    with pytest.raises(SystemExit, match='different categories'):
        tool.main([path, fewer, str(out), '--groups', '1'])


@pytest.mark.parametrize(
    'options, message',
    [
        (('--groups', 1, '--images', 0), '--images must be 1 or more, got 0'),
        (('--classes', 'cup'), '--classes needs --images'),
        (('--groups', 1, '--without-known'), '--without-known needs --images'),
        (('--classes', 'sink', '--images', 3), 'no image may be drawn'),
        (('--groups', 1, '--images', 1), '--images 1 draws.*ask for more'),
    ],
)
def test_bad_arguments(build, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        build(make_coco(*IMAGES), *options)
    assert not (tmp_path / 'out.json').exists()


def test_the_published_list_gives_its_images(build, tmp_path, capsys):
    names = ['000001', '009963', f'{2:012}', f'{1:012}.jpg', ' # a comment']
    listed = tmp_path / 'list.txt'
    listed.write_text('\n'.join(names))
    options = ('--groups', 1, '--image-list', listed)
    part = build(make_coco(*IMAGES), *options)
    assert image_ids(part) == [1, 2]
    printed = capsys.readouterr().out
    assert 'entries of VOC 2007, left out: 2\n' in printed
    assert 'images published: 5000\n' in printed
    warnings = [x for x in printed.splitlines() if x.startswith('WARNING')]
    assert warnings == [
        'WARNING: this set has 2 COCO images and the published one 5,000, '
        'which was made from the 118,287 images of train2017; 8 are given'
    ]


def test_a_list_that_does_not_fit(build, tmp_path, capsys):
    coco = make_coco(*IMAGES)
    listed = tmp_path / 'list.txt'
    listed.write_text(f'1\n{3:012}\n{4:012}\n{77:012}\n')
    options = ('--groups', 1, '--image-list', listed)
    assert image_ids(build(coco, *options)) == [1, 3, 4]
    printed = capsys.readouterr().out
    assert (
        f'1 entries of --image-list are not in the json: {77:012}' in printed
    )
    assert '2 images of --image-list are none that the rule' in printed
    with pytest.raises(SystemExit, match='not in the json.*none that the'):
        build(coco, *options, '--check')
    listed.write_text('000001\n')
    with pytest.raises(SystemExit, match='no entry of .*list.txt is in'):
        build(coco, *options)
    listed.unlink()
    with pytest.raises(SystemExit, match='--image-list: no such file'):
        build(coco, *options)


def test_the_count_of_the_published_set_is_checked(
    build, tmp_path, monkeypatch, capsys
):
    """As if COCO's 8 images were all of train2017, 4 of them published."""
    coco = make_coco(*IMAGES)
    monkeypatch.setattr(rule, 'TRAIN2017', 8)
    monkeypatch.setitem(rule.PUBLISHED, ((1, 2), False, 10000), 4)
    options = ('--groups', 2, 1, '--check')
    assert len(build(coco, *options)['images']) == 4
    assert 'WARNING' not in capsys.readouterr().out

    monkeypatch.setitem(rule.PUBLISHED, ((1, 2), False, 10000), 5)
    message = (
        'this set has 4 COCO images and the published one 5, although all '
        'of train2017 is given: use --image-list'
    )
    with pytest.raises(SystemExit, match=message) as error:
        build(coco, *options, out='checked.json')
    assert isinstance(error.value.code, str)  # which is exit code 1
    assert not (tmp_path / 'checked.json').exists()
    build(coco, *options[:-1])
    assert f'WARNING: {message}' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='no count is published'):
        build(coco, '--groups', 2, '--check')


def test_labels_of_the_part_go_by_name(build, tmp_path):
    """Known classes in VOC's order, all others the label 20."""
    build(make_coco(*IMAGES), '--groups', 1, 2, 3)
    dataset = DATASETS.build(
        dict(
            type='mmood.OpenSetCocoDataset',
            name='voc_coco_60',
            ann_file=str(tmp_path / 'out.json'),
            metainfo=dict(classes=voc.CLASSES),
            data_prefix=dict(img='train2017/'),
            serialize_data=False,
            test_mode=True,
        )
    )
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    labels = [[i['bbox_label'] for i in info['instances']] for info in infos]
    car, dog = voc.CLASSES.index('car'), voc.CLASSES.index('dog')
    assert labels == [[20], [20, car, car], [20, 20], [20, dog], [20, 20]]
    assert infos[0]['origin'] == 'voc_coco_60'
