"""The converters to COCO json: bdd100k.py and openimages.py."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmood.ops.images import EXIF_ORIENTATION

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
bdd100k, openimages = map(importlib.import_module, ('bdd100k', 'openimages'))


def load(path):
    return json.loads(path.read_text())


def boxes(coco):
    """[image id, class name, bbox, iscrowd] of each annotation."""
    names = {c['id']: c['name'] for c in coco['categories']}
    return [
        [a['image_id'], names[a['category_id']], a['bbox'], a['iscrowd']]
        for a in coco['annotations']
    ]


def bdd_label(category, x1, y1, x2, y2, **attributes):
    box = {'x1': x1, 'y1': y1, 'x2': x2, 'y2': y2}
    return {'category': category, 'box2d': box, 'attributes': attributes}


def _frame(x1=0, **changes):
    label = {**bdd_label('car', x1, 0, 9, 9), **changes}
    return json.dumps([{'name': 'a', 'labels': [label]}])


FRAMES = [
    {
        'name': 'a.jpg',
        'labels': [
            bdd_label('person', 10.5, 20, 30.75, 60),
            bdd_label('motor', 0, 0, 10, 10),
            bdd_label('bike', 1270, 710, 1300, 730),
            bdd_label('traffic sign', 1, 2, 3, 4, crowd=True),
            bdd_label('other vehicle', 1, 2, 3, 4),
            {'category': 'lane', 'poly2d': []},
        ],
    },
    {'name': 'b.jpg', 'labels': None},
    {'name': 'c.jpg'},
]


@pytest.mark.parametrize('wrap', [lambda f: f, lambda f: {'frames': f}])
def test_bdd100k_both_forms(tmp_path, capsys, wrap):
    labels, out = tmp_path / 'det_train.json', tmp_path / 'train.json'
    labels.write_text(json.dumps(wrap(FRAMES)))
    bdd100k.main([str(labels), str(out)])
    coco = load(out)
    names = ' '.join(i['file_name'] for i in coco['images'])
    assert names == 'a.jpg b.jpg c.jpg'
    assert {(i['width'], i['height']) for i in coco['images']} == {(1280, 720)}
    assert boxes(coco) == [
        [1, 'pedestrian', [10.5, 20, 20.25, 40], 0],
        [1, 'motorcycle', [0, 0, 10, 10], 0],
        [1, 'bicycle', [1270, 710, 10, 10], 0],
        [1, 'traffic sign', [1, 2, 2, 2], 1],
    ]
    assert [c['name'] for c in coco['categories']] == list(bdd100k.CLASSES)
    printed = capsys.readouterr().out
    assert "unknown category 'other vehicle': 1" in printed
    assert 'labels without a box (lanes, areas): 1' in printed


def test_bdd100k_reads_sizes(tmp_path):
    Image.new('RGB', (64, 36)).save(tmp_path / 'b.jpg')
    image = bdd100k.convert([{'name': 'b.jpg'}], tmp_path).coco['images'][0]
    assert {'width': 64, 'height': 36}.items() <= image.items()
    with pytest.raises(SystemExit, match=r'--image-root: .*c\.jpg'):
        bdd100k.convert([{'name': 'c.jpg'}], tmp_path)


@pytest.mark.parametrize(
    'text, message',
    [
        ('[{', r'labels: .*bad\.json is not valid JSON'),
        ('{"a": 1}', 'is neither a list of frames nor has one'),
        ('[{"labels": []}]', 'frame 0 has no name'),
        ('[3]', r'bad\.json: frame 0 is 3, not an object'),
        ('[{"name": 3}]', 'frame 0 has the name 3, not a file name'),
        ('[{"name": "a", "labels": 7}]', r'\(a\): labels is 7, not a list'),
        ('[{"name": "a", "labels": [7]}]', r'\(a\) has the label 7; a label'),
        (_frame(box2d=7), "has the label .*'box2d': 7"),
        (_frame(category=['car']), "has the label .*'car'"),
        (_frame(attributes=1), "has the label .*'attributes': 1"),
        (_frame(box2d=dict(x1=1)), 'frame a: box2d is .* without x2'),
        (_frame(x1='left'), "frame a: box2d.x1 is 'left', not a finite numb"),
        (_frame(x1=float('nan')), 'box2d.x1 is nan, not a finite number'),
        (_frame(x1=10**400), r'box2d.x1 is 10+\.\.\.0+, not a finite number'),
        (_frame(x1=True), 'box2d.x1 is True'),
        (_frame(attributes=dict(crowd='no')), "attributes.crowd is 'no', not"),
        ('[]', 'no json is written: the list "images" is empty'),
        ('[{"name": "a"}, {"name": "a"}]', 'a is annotated twice'),
        ('[{"name": "a\\u0000"}]', 'file_name .a.x00.; give the path'),
        ('[' * 100_000, 'nested too deeply'),
        ('[' + '9' * 5000 + ']', 'bad.json is not valid JSON'),
    ],
)
def test_bdd100k_malformed(tmp_path, text, message):
    labels = tmp_path / 'bad.json'
    labels.write_text(text)
    with pytest.raises(SystemExit, match=message):
        bdd100k.main([str(labels), str(tmp_path / 'out.json')])


HEADER = (
    'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,'
    'IsTruncated,IsGroupOf,IsDepiction,IsInside\n'
)


@pytest.fixture
def openimages_args(tmp_path):
    images = tmp_path / 'images'
    images.mkdir()
    Image.new('RGB', (200, 100)).save(images / 'aa.jpg')
    Image.new('RGB', (40, 80)).save(images / 'bb.jpg')
    classes = '/m/1,Tortoise\n/m/2,Container\n/m/3,"Mug, cup"\n'
    (tmp_path / 'classes.csv').write_text(classes)
    rows = (
        'aa,x,/m/2,1,0.1,0.6,0.2,0.4,0,0,0,0,0\n'
        'aa,x,/m/3,1,0.5,1.2,0.5,1,0,0,1,0,0\n'
        'aa,x,/m/9,1,0,1,0,1,0,0,0,0,0\n'
        'zz,x,/m/1,1,0,1,0,1,0,0,0,0,0\n'
    )
    (tmp_path / 'boxes.csv').write_text(HEADER + rows)
    names = ('boxes.csv', 'classes.csv', 'images', 'out.json')
    return [str(tmp_path / name) for name in names]


def test_openimages(openimages_args, capsys):
    openimages.main(openimages_args)
    coco = load(Path(openimages_args[-1]))
    assert coco['images'] == [
        {'id': 1, 'file_name': 'aa.jpg', 'width': 200, 'height': 100},
        {'id': 2, 'file_name': 'bb.jpg', 'width': 40, 'height': 80},
    ]
    assert boxes(coco) == [
        [1, 'Container', [20, 20, 100, 20], 0],
        [1, 'Mug, cup', [100, 50, 100, 50], 1],
    ]
    printed = capsys.readouterr().out
    assert 'boxes skipped: image not in the folder: 1' in printed
    assert 'boxes skipped: unknown label /m/9: 1' in printed


def test_openimages_classes(openimages_args, capsys):
    openimages.main([*openimages_args, '--classes', 'mug, cup', 'Tortoise'])
    coco = load(Path(openimages_args[-1]))
    assert coco['categories'][1] == {'id': 2, 'name': 'Tortoise'}
    assert boxes(coco) == [[1, 'Mug, cup', [100, 50, 100, 50], 1]]
    assert 'class not in --classes: 1' in capsys.readouterr().out
    with pytest.raises(SystemExit) as error:
        openimages.main([*openimages_args, '--classes', 'Tortose'])
    assert "unknown class 'Tortose'; did you mean Tortoise?" in str(error)


def test_openimages_as_the_loader_sees_the_pictures(openimages_args, tmp_path):
    """Turned by EXIF, in linked folders, any suffix; a csv with a BOM."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    there = tmp_path / 'there'
    there.mkdir()
    Image.new('RGB', (100, 40)).save(there / 'cc.JPG', exif=exif)
    (tmp_path / 'images/more').symlink_to(there)
    (tmp_path / 'images/._aa.jpg').write_bytes(b'')
    row = 'cc,x,/m/1,1,0,0.5,0,0.25,0,0,0,0,0\n'
    for name, text in (('boxes', HEADER + row), ('classes', '/m/1,Tortoise')):
        path = tmp_path / f'{name}.csv'
        path.write_text('\ufeff' + text, encoding='utf-8')
    openimages.main(openimages_args)
    coco = load(Path(openimages_args[-1]))
    sizes = {i['file_name']: (i['width'], i['height']) for i in coco['images']}
    assert sizes == {
        'aa.jpg': (200, 100),
        'bb.jpg': (40, 80),
        'more/cc.JPG': (40, 100),
    }
    assert boxes(coco) == [[3, 'Tortoise', [0, 0, 20, 25], 0]]


def test_openimages_description_header(tmp_path):
    path = tmp_path / 'classes.csv'
    path.write_text('LabelName,DisplayName\n/m/1,Tortoise\n')
    assert openimages.read_classes(path) == {'/m/1': 'Tortoise'}


@pytest.mark.parametrize(
    'name, text, message',
    [
        (
            'boxes.csv',
            'ImageID,LabelName\n',
            'boxes: .* has no column XMin; it needs one',
        ),
        (
            'boxes.csv',
            HEADER + 'aa,x,/m/2,1,left,1,0,1,0,0,0,0,0\n',
            "image aa: XMin is 'left', not a finite number",
        ),
        ('boxes.csv', 'XMin,' + HEADER, 'has two XMin; it needs one'),
        ('boxes.csv', HEADER + 'aa,x,/m/2,1,0\n', 'line 2: not as many col'),
        (
            'boxes.csv',
            HEADER + 'aa,x,/m/2,1,0,inf,0,1,0,0,0,0,0\n',
            "XMax is 'inf', not a finite number",
        ),
        (
            'boxes.csv',
            HEADER + 'aa,x,/m/2,1,10,90,10,40,0,0,0,0,0\n',
            r'\[10.0, 10.0, 90.0, 40.0\] are not shares',
        ),
        (
            'boxes.csv',
            HEADER + 'aa,x,/m/2,1,0,1,0,1,0,0,yes,0,0\n',
            "image aa: IsGroupOf is 'yes', not one of",
        ),
        ('boxes.csv', HEADER.encode() + b'\xe9', 'csv in UTF-8'),
        ('classes.csv', '/m/1\n', 'should be MID,name'),
        ('classes.csv', '/m/1,A\n/m/1,B\n', "/m/1 is 'A' and 'B'"),
        ('images/aa.PNG', '', r'images: \S*aa.PNG and \S*aa.jpg have one'),
        ('images/aa.jpg', 'text', r'aa\.jpg is not a readable image'),
    ],
)
def test_openimages_malformed(openimages_args, tmp_path, name, text, message):
    content = text if isinstance(text, bytes) else text.encode()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit, match=message):
        openimages.main(openimages_args)
    assert not (tmp_path / 'out.json').exists()
