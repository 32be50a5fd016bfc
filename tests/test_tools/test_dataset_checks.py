"""coco_ood.py, verify.py and what they share in coco_json.py."""

import copy
import importlib
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
coco_json, coco_ood, verify = map(
    importlib.import_module, ('coco_json', 'coco_ood', 'verify')
)
DATA = Path(__file__).parents[3] / 'shared' / 'data'
real_data = pytest.mark.skipif(
    not (DATA / 'coco_ood').is_dir(), reason=f'no sample data in {DATA}'
)


def image(image_id, size=(40, 30)):
    return {
        'id': image_id,
        'file_name': f'{image_id:04}.jpg',
        'width': size[0],
        'height': size[1],
    }


def box(box_id, image_id, category_id, bbox=(1, 2, 10, 10), **fields):
    return {
        'id': box_id,
        'image_id': image_id,
        'category_id': category_id,
        'bbox': list(bbox),
        **fields,
    }


# 1: a plane; 2: zebra and a crowd of persons; 3: zebras; 4: nothing; 5: bear.
COCO = {
    'info': {'year': 2017},
    'images': [image(i) for i in range(1, 6)],
    'annotations': [
        box(11, 1, 5),
        box(12, 2, 24),
        box(13, 2, 1, iscrowd=1),
        box(14, 3, 24),
        box(15, 3, 24),
        box(16, 5, 23),
    ],
    'categories': [
        {'id': 1, 'name': 'person'},
        {'id': 5, 'name': 'airplane'},
        {'id': 23, 'name': 'bear'},
        {'id': 24, 'name': 'zebra'},
    ],
}


def save(path, obj=COCO):
    path.write_text(json.dumps(obj))
    return str(path)


def ids(records):
    return [record['id'] for record in records]


@pytest.mark.parametrize(
    'name, other',
    [
        ('aeroplane', 'airplane'),
        ('diningtable', 'dining table'),
        ('pottedplant', 'potted plant'),
        ('sofa', 'couch'),
        ('tvmonitor', 'tv'),
        ('pedestrian', 'person'),
        ('rider', 'Person'),
        ('traffic sign', 'stop sign'),
    ],
)
def test_canonical(name, other):
    assert coco_json.canonical(name) == coco_json.canonical(other)


def test_canonical_keeps_classes_apart():
    names = {'truck', 'car', 'traffic light', 'stop sign', 'table', 'tv'}
    assert {coco_json.canonical(name) for name in names} == names


def test_split_ood():
    ood, report = coco_ood.split_ood(COCO, ['aeroplane', 'pedestrian'])
    assert ids(ood['images']) == [3, 4, 5]
    assert ood['annotations'] == COCO['annotations'][3:]
    assert ids(ood['categories']) == [23, 24]
    assert ood['info'] == {'year': 2017}
    assert report == {
        'images read': 5,
        'images dropped': {'with an ID class': 2},
        'images dropped per ID class': {'aeroplane': 1, 'pedestrian': 1},
        'ID classes not found': [],
        '--exclude entries not found': [],
        'kept': {
            'images': 3,
            'boxes': 3,
            'images without annotation': 1,
            'boxes per class': {'bear': 1, 'zebra': 2},
        },
    }


def test_split_ood_drop_empty_and_exclude():
    ood, report = coco_ood.split_ood(
        COCO, ['person'], ['0003.jpg', '5', '77'], drop_empty=True
    )
    assert ids(ood['images']) == [1]
    assert list(report['images dropped'].values()) == [1, 2, 1]
    assert report['--exclude entries not found'] == ['77']


def test_coco_ood_main(tmp_path, capsys):
    planes = [{'id': 1, 'name': 'aeroplane'}]
    id_json = {'images': [], 'annotations': [], 'categories': planes}
    hand = tmp_path / 'exclude.txt'
    hand.write_text('# wrong label\n0003  # zebra crossing\n\n')
    out, report = tmp_path / 'ood.json', tmp_path / 'report.json'
    arguments = [save(tmp_path / 'coco.json'), str(out)]
    arguments += ['--id-json', save(tmp_path / 'id.json', id_json)]
    arguments += ['--id-classes', 'persn', '--exclude', str(hand)]
    coco_ood.main([*arguments, '--report', str(report)])
    assert ids(json.loads(out.read_text())['images']) == [2, 4, 5]
    saved = json.loads(report.read_text())
    assert saved['ID classes not found'] == ['persn']
    assert saved['images dropped'] == {
        'with an ID class': 1,
        'by --exclude': 1,
    }
    printed = capsys.readouterr().out
    assert "'persn' is no category of the json (close: person)" in printed


@pytest.mark.parametrize(
    'arguments, message',
    [
        ([], 'no ID class given; use --id-classes'),
        (['--id-classes', 'unicorn'], 'none of the ID classes is a category'),
        (['--id-json', 'nowhere.json'], '--id-json: no such file: nowhere'),
        (['--id-classes', 'bear', '--exclude', 'x.txt'], '--exclude: no such'),
    ],
)
def test_coco_ood_bad_arguments(tmp_path, arguments, message):
    out = tmp_path / 'out.json'
    with pytest.raises(SystemExit, match=message):
        coco_ood.main([save(tmp_path / 'a.json'), str(out), *arguments])
    assert not out.exists()


def test_coco_ood_unknown_category(tmp_path):
    bad = {**COCO, 'annotations': [box(1, 1, 99)]}
    with pytest.raises(SystemExit, match='annotation 1 has the unknown cat'):
        coco_ood.split_ood(bad, ['bear'])


@pytest.mark.parametrize(
    'text, message',
    [
        ('{"images": ', 'is not valid json'),
        ('[]', 'holds a list where a COCO json holds an object'),
        ('{"images": []}', "has no list 'annotations'"),
        ('{"images": [{"id": 1}]}', r'images\[0\] has no file_name'),
        ('{"images": [7]}', r'images\[0\] is 7, not an object'),
        ('{"images": [{"id": []}]}', r'images\[0\] has the id \[\]'),
    ],
)
@pytest.mark.parametrize('tool', ['coco_ood', 'verify'])
def test_malformed_json(tmp_path, tool, text, message):
    path = tmp_path / 'bad.json'
    path.write_text(text)
    rest = [str(tmp_path / 'out.json'), '--id-classes', 'bear']
    arguments = [str(path), *rest] if tool == 'coco_ood' else [str(path)]
    with pytest.raises(SystemExit, match=message) as error:
        globals()[tool].main(arguments)
    assert 'bad.json' in str(error.value)


def test_write_json_leaves_nothing_behind(tmp_path):
    target = tmp_path / 'folder'
    target.mkdir()
    with pytest.raises(SystemExit, match='cannot write'):
        coco_json.write_json({}, target)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    'bbox, problem',
    [
        ((0, 0, 40, 30), None),
        ((0.5, 0, 40, 30), None),
        ((2, 0, 40, 30), 'sticks out of the 40x30 image by 2 px'),
        ((-3, 0, 4, 4), 'sticks out of the 40x30 image by 3 px'),
        ((0, 28, 4, 4), 'sticks out of the 40x30 image by 2 px'),
        ((5, 5, 0, 4), 'has no area'),
        ((5, 5, float('nan'), 4), 'is not finite'),
        ((5, 5, 4), 'is not four numbers'),
        (None, 'is not four numbers'),
    ],
)
def test_box_problem(bbox, problem):
    assert verify.box_problem(bbox, 40, 30, 1.0) == problem


def test_verify_good_set(tmp_path, capsys):
    for record in COCO['images']:
        Image.new('RGB', (40, 30)).save(tmp_path / record['file_name'])
    arguments = [save(tmp_path / 'a.json'), '--image-root', str(tmp_path)]
    assert verify.main([*arguments, '--read']) == 0
    printed = capsys.readouterr().out
    assert 'errors: none' in printed
    assert 'images without annotation: 1\n    0004.jpg' in printed


def test_verify_images(tmp_path):
    Image.new('RGB', (40, 30)).save(tmp_path / '0001.jpg')
    Image.new('RGB', (30, 40)).save(tmp_path / '0002.jpg')
    (tmp_path / '0003.jpg').write_text('no image')
    exif = Image.Exif()
    exif[verify.EXIF_ORIENTATION] = 6
    Image.new('RGB', (40, 30)).save(tmp_path / '0005.jpg', exif=exif)
    found = verify.check_images(COCO, tmp_path)
    assert found == {
        'size_mismatch': ['0002.jpg: 30x40, 40x30 in the json'],
        'unreadable_images': ['0003.jpg'],
        'missing_images': ['0004.jpg'],
        'rotated_images': ['0005.jpg'],
    }


def test_verify_reads_to_the_end(tmp_path):
    whole = tmp_path / '0001.jpg'
    Image.effect_noise((40, 30), 90).save(whole)
    whole.write_bytes(whole.read_bytes()[:-300])
    coco = {**COCO, 'images': COCO['images'][:1]}
    assert verify.check_images(coco, tmp_path) == {}
    found = verify.check_images(coco, tmp_path, read=True)
    assert found == {'unreadable_images': ['0001.jpg']}


def test_verify_errors(tmp_path, capsys):
    bad = copy.deepcopy(COCO)
    bad['images'].append(image(5))
    bad['annotations'] += [
        box(0, 1, 23, bbox=(35, 0, 10, 10)),
        box(17, 99, 23),
        box(17, 1, 98),
    ]
    bad['categories'].append({'id': 90, 'name': 'toaster'})
    report = tmp_path / 'report.json'
    arguments = [save(tmp_path / 'a.json', bad), '--report', str(report)]
    assert verify.main([*arguments, '--id-classes', 'aeroplane', 'cat']) == 1
    outside = '[35, 0, 10, 10] sticks out of the 40x30 image by 5 px'
    outside = f'annotation 0 of 0001.jpg: {outside}'
    assert json.loads(report.read_text())['errors'] == {
        'bad_boxes': [outside],
        'unknown_ids': [
            'annotation 17: image_id 99',
            'annotation 17: category_id 98',
        ],
        'duplicate_ids': ['images: 5', 'annotations: 17'],
        'id_objects': ['airplane: 1 objects in 1 images'],
    }
    assert json.loads(report.read_text())['warnings'] == {
        'empty_classes': ['toaster'],
        'empty_images': ['0004.jpg'],
        'id_zero': ['image 1'],
    }
    assert 'images not looked at' in capsys.readouterr().out


@real_data
def test_real_ood_set_has_no_voc_class(tmp_path):
    ann_file = str(DATA / 'coco_ood' / 'annotations' / 'test.json')
    id_json = str(DATA / 'voc' / 'annotations' / 'test.json')
    root = str(DATA / 'coco_ood' / 'images')
    arguments = [ann_file, '--image-root', root, '--id-json', id_json]
    assert verify.main(arguments) == 0
    assert verify.main([ann_file, '--id-classes', 'zebra']) == 1
    out = tmp_path / 'ood.json'
    coco_ood.main([ann_file, str(out), '--id-json', id_json])
    before = json.loads(Path(ann_file).read_text())
    after = json.loads(out.read_text())
    assert len(after['images']) == 133 and len(after['categories']) == 60
    assert after['images'] == before['images']
    assert after['annotations'] == before['annotations']
    coco_ood.main([ann_file, str(out), '--id-classes', 'zebra', 'bear'])
    assert len(json.loads(out.read_text())['annotations']) < 499
    assert verify.main([str(out), '--id-classes', 'zebra', 'bear']) == 0
