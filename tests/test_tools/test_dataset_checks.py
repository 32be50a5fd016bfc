"""coco_ood.py, verify.py and what they share in coco_json.py."""

import copy
import importlib
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmood.ops.images import EXIF_ORIENTATION

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
        (['--id-json', 'nowhere.json'], '--id-json: there is no file nowhere'),
        (['--id-classes', 'bear', '--exclude', 'x.txt'], '--exclude: no such'),
        (
            ['--drop-empty', '--id-classes', 'airplane', 'zebra', 'bear'],
            'each of the 5 images is left out .*so that no OOD set is there',
        ),
    ],
)
def test_coco_ood_bad_arguments(tmp_path, arguments, message):
    out = tmp_path / 'out.json'
    with pytest.raises(SystemExit, match=message):
        coco_ood.main([save(tmp_path / 'a.json'), str(out), *arguments])
    assert not out.exists()


NAMED = {7: '12.jpg', 12: 'a.jpg', 3: 'x/b.jpg', 4: 'y/b.png', 5: 'x/a.jpg'}


@pytest.mark.parametrize(
    'entry, meant',
    [('3', 3), ('x/b.jpg', 3), ('b.jpg', 3), ('12.jpg', 7), ('a.jpg', 12)],
)
def test_an_entry_of_a_list_means_one_image(entry, meant):
    images = [{**image(i), 'file_name': name} for i, name in NAMED.items()]
    found = coco_ood.find_images({'images': images}, [entry, 'nowhere'])
    assert found == {entry: meant}


@pytest.mark.parametrize(
    'entry, both',
    [
        ('12', r'12.jpg \(id 7\) and a.jpg \(id 12\)'),
        ('b', r'x/b.jpg \(id 3\) and y/b.png \(id 4\)'),
    ],
)
def test_an_entry_that_may_mean_two_images(tmp_path, entry, both):
    images = [{**image(i), 'file_name': name} for i, name in NAMED.items()]
    coco = {**COCO, 'images': images, 'annotations': []}
    path = save(tmp_path / 'a.json', coco)
    listed = tmp_path / 'list.txt'
    listed.write_text(f'\ufeff{entry}\n', encoding='utf-8')
    arguments = [path, str(tmp_path / 'out.json'), '--id-classes', 'person']
    with pytest.raises(SystemExit, match=f"entry '{entry}' may mean {both}"):
        coco_ood.main([*arguments, '--exclude', str(listed)])
    listed.write_bytes('é.jpg'.encode('latin-1'))
    with pytest.raises(SystemExit, match='list.txt is not .*save it as UTF-8'):
        coco_ood.main([*arguments, '--exclude', str(listed)])


@pytest.mark.parametrize(
    'text, message',
    [
        ('{"images": ', 'is not valid JSON'),
        ('[]', 'is no COCO file'),
        ('{"images": [7]}', 'is no COCO file: it has no'),
        (json.dumps({**COCO, 'images': [7]}), r'images\[0\] is 7, not an'),
        (
            json.dumps({**COCO, 'annotations': [box(1, 1, 99)]}),
            'annotation 1 has the category_id 99',
        ),
    ],
)
def test_malformed_json(tmp_path, text, message):
    """coco_ood.py refuses it, verify.py names it."""
    path = tmp_path / 'bad.json'
    path.write_text(text)
    rest = [str(tmp_path / 'out.json'), '--id-classes', 'bear']
    with pytest.raises(SystemExit, match=f'ann_file: .*bad.json.*{message}'):
        coco_ood.main([str(path), *rest])
    if message == 'is not valid JSON':
        with pytest.raises(SystemExit, match=message):
            verify.main([str(path)])
    else:
        assert verify.main([str(path)]) == 1


def test_write_json_leaves_nothing_behind(tmp_path):
    target = tmp_path / 'folder'
    target.mkdir()
    with pytest.raises(SystemExit, match='cannot write'):
        coco_json.write_json({}, target)
    assert list(tmp_path.iterdir()) == [target]


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
    Image.new('RGB', (20, 30)).save(tmp_path / '0002.jpg')
    (tmp_path / '0003.jpg').write_text('no image')
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.new('RGB', (40, 30)).save(tmp_path / '0005.jpg', exif=exif)
    sizes = [image(i) for i in range(1, 6)]
    sizes += [{**image(6, (30, 40)), 'file_name': '0005.jpg'}]
    found = verify.check_images({**COCO, 'images': sizes}, tmp_path)
    unreadable = found.pop('unreadable_images')
    assert [text[:10] for text in unreadable] == ['0003.jpg: ']
    assert found == {
        'size_mismatch': [
            '0002.jpg: 20x30, 40x30 in the json',
            '0005.jpg: 30x40, 40x30 in the json, not turned as its EXIF says',
        ],
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
    assert list(found) == ['unreadable_images']
    assert found['unreadable_images'][0].startswith('0001.jpg: ')


def test_a_picture_beyond_pillows_limit_is_sound(tmp_path, monkeypatch):
    Image.new('RGB', (40, 30)).save(tmp_path / '0001.jpg')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    coco = {**COCO, 'images': COCO['images'][:1]}
    assert verify.check_images(coco, tmp_path, read=True) == {}


def test_verify_errors(tmp_path, capsys):
    bad = copy.deepcopy(COCO)
    bad['images'].append(image(5))
    whole = dict(area=1, iscrowd=0)
    bad['annotations'] = [{**whole, **a} for a in bad['annotations']]
    bad['annotations'] += [
        box(0, 1, 23, bbox=(35, 0, 10, 10), **whole),
        box(17, 99, 23, **whole),
        box(17, 1, 98, **whole),
        box(18, 1, 23, bbox=(1, 1, 0.5, 8), **whole),
        box(19, 1, 23, bbox=(1, float('nan'), 5, 8), **whole),
        box(20, 5, 23, iscrowd=0, area=0),
    ]
    bad['categories'].append({'id': 90, 'name': 'toaster'})
    report = tmp_path / 'report.json'
    arguments = [save(tmp_path / 'a.json', bad), '--report', str(report)]
    assert verify.main([*arguments, '--id-classes', 'aeroplane', 'cat']) == 1
    found = json.loads(report.read_text())
    assert {kind: len(texts) for kind, texts in found['errors'].items()} == {
        'bad_boxes': 1,
        'duplicate_ids': 2,
        'unknown_ids': 2,
        'empty_boxes': 1,
        'protruding_boxes': 1,
        'repeated_files': 1,
        'id_objects': 1,
    }
    assert found['errors']['id_objects'] == ['airplane: 1 objects in 1 images']
    assert found['warnings'] == {
        'empty_classes': ['toaster'],
        'empty_images': ['0004.jpg'],
        'repeated_boxes': [
            'image 3, category 24: [1, 2, 10, 10], 2 times',
            'image 5, category 23: [1, 2, 10, 10], 2 times',
        ],
        'incomplete': ['annotation 20 of image 5'],
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
