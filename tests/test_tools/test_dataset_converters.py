"""The converters to COCO json: voc.py, bdd100k.py, openimages.py."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
coco_json, voc, bdd100k, openimages = map(
    importlib.import_module, ('coco_json', 'voc', 'bdd100k', 'openimages')
)

OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult>
<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>
<ymax>2</ymax></bndbox></part><bndbox><xmin>{box[0]}</xmin>
<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>
</object>"""
SIZE = '<size><width>100</width><height>50</height><depth>3</depth></size>'


def load(path):
    return json.loads(path.read_text())


def boxes(coco):
    """[image id, class name, bbox, iscrowd] of each annotation."""
    names = {c['id']: c['name'] for c in coco['categories']}
    return [
        [a['image_id'], names[a['category_id']], a['bbox'], a['iscrowd']]
        for a in coco['annotations']
    ]


def write_voc(root, year, split, images):
    """images: id -> [(class, difficult, (xmin, ymin, xmax, ymax))]."""
    base = root / f'VOC{year}'
    for folder in ('Annotations', 'ImageSets/Main'):
        (base / folder).mkdir(parents=True, exist_ok=True)
    lines = ''.join(f'{i}\n' for i in images)
    (base / f'ImageSets/Main/{split}.txt').write_text(lines)
    for image_id, objects in images.items():
        body = ''.join(
            OBJECT.format(name=n, difficult=d, box=b) for n, d, b in objects
        )
        xml = f'<annotation>{SIZE}{body}</annotation>'
        (base / f'Annotations/{image_id}.xml').write_text(xml)


@pytest.fixture
def devkit(tmp_path):
    root = tmp_path / 'VOCdevkit'
    first = [
        ('aeroplane', 0, (1, 1, 100, 50)),
        ('tvmonitor', 1, (11, 21, 11, 30)),
    ]
    write_voc(root, 2007, 'trainval', {'000001': first, '000002': []})
    second = [('sofa', 0, (90.5, 40, 120, 60)), ('person', 0, (5, 9, 4, 9))]
    write_voc(root, 2012, 'trainval', {'2008_000003': second})
    return root


VOC_SPLITS = ['--split', '2007:trainval', '--split', '2012:trainval']


def test_voc_boxes_names_and_order(devkit, tmp_path, capsys):
    out = tmp_path / 'annotations' / 'train.json'
    voc.main([str(devkit), str(out), *VOC_SPLITS])
    coco = load(out)
    assert [i['file_name'] for i in coco['images']] == [
        'VOC2007/JPEGImages/000001.jpg',
        'VOC2007/JPEGImages/000002.jpg',
        'VOC2012/JPEGImages/2008_000003.jpg',
    ]
    size = {'id': 1, 'width': 100, 'height': 50}
    assert size.items() <= coco['images'][0].items()
    # 1-based inclusive: the whole image, one column of pixels, clipped.
    assert boxes(coco) == [
        [1, 'airplane', [0, 0, 100, 50], 0],
        [1, 'tv', [10, 20, 1, 10], 0],
        [3, 'couch', [89.5, 39, 10.5, 11], 0],
    ]
    assert [a['difficult'] for a in coco['annotations']] == [0, 1, 0]
    assert [a['area'] for a in coco['annotations']] == [5000, 10, 115.5]
    assert [c['name'] for c in coco['categories']] == list(voc.CLASSES)
    assert coco['categories'][19] == {'id': 20, 'name': 'tv'}
    printed = capsys.readouterr().out
    assert 'images: 3\n  boxes: 3\n  images without annotation: 1' in printed
    assert 'boxes skipped: empty or outside the image: 1' in printed
    assert [p.name for p in out.parent.iterdir()] == ['train.json']


@pytest.mark.parametrize(
    'difficult, crowd', [('keep', [0, 0]), ('ignore', [0, 1]), ('drop', [0])]
)
def test_voc_difficult(devkit, difficult, crowd):
    coco = voc.convert(devkit, ['2007:trainval'], difficult).coco
    assert [a['iscrowd'] for a in coco['annotations']] == crowd


def test_voc_counts_an_image_once(devkit):
    builder = voc.convert(devkit, ['2007:trainval', '2007:trainval'])
    assert len(builder.coco['images']) == 2
    assert builder.notes['images listed twice'] == 2


@pytest.mark.parametrize(
    'xml, message',
    [
        ('<annotation><size>', r'000001\.xml is not valid XML'),
        ('<annotation/>', r'000001\.xml: <annotation> has no <size>'),
        (
            f'<a>{SIZE}<object><name>unicorn</name></object></a>',
            "unknown class 'unicorn'; known: person, bird",
        ),
        (
            '<annotation>'
            + SIZE
            + OBJECT.format(name='cat', difficult=0, box='a234')
            + '</annotation>',
            "<xmin> is 'a' where a number is expected",
        ),
    ],
)
def test_voc_malformed_xml(devkit, xml, message):
    (devkit / 'VOC2007/Annotations/000001.xml').write_text(xml)
    with pytest.raises(SystemExit, match=message):
        voc.convert(devkit, ['2007:trainval'])


def test_voc_missing_input(devkit, tmp_path):
    out = str(tmp_path / 'out.json')
    with pytest.raises(SystemExit, match='devkit: no such folder: nowhere'):
        voc.main(['nowhere', out, '--split', '2007:test'])
    with pytest.raises(SystemExit, match='--split 2007:test: no such file'):
        voc.main([str(devkit), out, '--split', '2007:test'])
    with pytest.raises(SystemExit, match="'2007' should be YEAR:SET"):
        voc.parse_split('2007')
    (devkit / 'VOC2007/Annotations/000002.xml').unlink()
    with pytest.raises(SystemExit, match=r'no such file: .*000002\.xml'):
        voc.main([str(devkit), out, '--split', '2007:trainval'])
    assert not Path(out).exists()


def bdd_label(category, x1, y1, x2, y2, **attributes):
    box = {'x1': x1, 'y1': y1, 'x2': x2, 'y2': y2}
    return {'category': category, 'box2d': box, 'attributes': attributes}


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
        ('[{', r'labels: .*bad\.json is not valid json'),
        ('{"a": 1}', 'is neither a list of frames nor has one'),
        ('[{"labels": []}]', 'frame 0 has no name'),
        (
            '[{"name": "a.jpg", "labels": [{"category": "car", "box2d": 7}]}]',
            r'frame a\.jpg: box2d is .* not x1, y1, x2, y2',
        ),
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
            'boxes: .* has no column IsGroupOf',
        ),
        (
            'boxes.csv',
            HEADER + 'aa,x,/m/2,1,left,1,0,1,0,0,0,0,0\n',
            'boxes: image aa: .* are not four numbers',
        ),
        ('classes.csv', '/m/1\n', 'should be MID,name'),
        ('images/aa.jpg', 'text', r'aa\.jpg is not a readable image'),
    ],
)
def test_openimages_malformed(openimages_args, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit, match=message):
        openimages.main(openimages_args)
    assert not (tmp_path / 'out.json').exists()
