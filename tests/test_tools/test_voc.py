"""voc.py: PASCAL VOC's devkit, and folders of own xml."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmood.ops.images import EXIF_ORIENTATION

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
voc = importlib.import_module('voc')

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


def xml(objects=(), size=SIZE, name=''):
    """objects: [(class, difficult, (xmin, ymin, xmax, ymax))]."""
    body = ''.join(
        OBJECT.format(name=n, difficult=d, box=b) for n, d, b in objects
    )
    name = f'<filename>{name}</filename>' if name else ''
    return f'<annotation>{name}{size}{body}</annotation>'


def write_voc(root, year, split, images):
    """images: id -> [(class, difficult, (xmin, ymin, xmax, ymax))]."""
    base = root / f'VOC{year}'
    for folder in ('Annotations', 'ImageSets/Main'):
        (base / folder).mkdir(parents=True, exist_ok=True)
    lines = ''.join(f'{i}\n' for i in images)
    (base / f'ImageSets/Main/{split}.txt').write_text(lines)
    for image_id, objects in images.items():
        (base / f'Annotations/{image_id}.xml').write_text(xml(objects))


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
    assert 'boxes cut at the border of the image: 1' in printed
    assert 'images that are not there: 3' in printed
    assert [p.name for p in out.parent.iterdir()] == ['train.json']


def convert(source, *options):
    return voc.convert(voc.parse_args([str(source), 'out', *options]))


@pytest.mark.parametrize(
    'difficult, crowd', [('keep', [0, 0]), ('ignore', [0, 1]), ('drop', [0])]
)
def test_voc_difficult(devkit, difficult, crowd):
    options = ['--split', '2007:trainval', '--difficult', difficult]
    coco = convert(devkit, *options).coco
    assert [a['iscrowd'] for a in coco['annotations']] == crowd


def test_voc_counts_an_image_once(devkit):
    builder = convert(devkit, *VOC_SPLITS, '--split', '2007:trainval')
    assert len(builder.coco['images']) == 3
    assert builder.notes['images listed twice'] == 2


def test_a_devkit_with_pictures(devkit):
    pictures = devkit / 'VOC2007/JPEGImages'
    pictures.mkdir()
    Image.new('RGB', (100, 50)).save(pictures / '000001.PNG')
    first, *_ = convert(devkit, *VOC_SPLITS[:2]).coco['images']
    assert first['file_name'] == 'VOC2007/JPEGImages/000001.PNG'


def test_some_classes_of_a_devkit_by_the_names_of_the_xml(devkit):
    options = [*VOC_SPLITS, '--classes', 'sofa', 'aeroplane']
    message = '1 objects are of unknown classes .*Known: aeroplane, sofa'
    with pytest.raises(SystemExit, match=message.replace('1', '2')):
        convert(devkit, *options)
    builder = convert(devkit, *options, '--others', 'skip')
    assert [b[1] for b in boxes(builder.coco)] == ['aeroplane', 'sofa']
    assert builder.notes["boxes skipped: other class 'tvmonitor'"] == 1
    assert builder.notes["boxes skipped: other class 'person'"] == 1


@pytest.mark.parametrize(
    'text, message',
    [
        ('<annotation><size>', r'000001\.xml is not valid XML'),
        ('<annotation/>', r'000001\.xml: <annotation> has no <size>'),
        (
            xml([('unicorn', 0, (1, 1, 2, 2))] * 2),
            "2 objects are of unknown classes .'unicorn': 2; such as in "
            r'\S*000001\.xml.*Known: airplane, ',
        ),
        (
            xml([('cat', 0, 'a234')]),
            r"000001\.xml: <xmin> is 'a', not a finite number",
        ),
        (xml([('cat', 0, ('nan', 1, 2, 2))]), "<xmin> is 'nan', not a finit"),
        (
            xml([('cat', 0, (1, 1, 2, '9' * 5000))]),
            r"<ymax> is '9+\.\.\.9+', not a finite number",
        ),
        (xml([('', 0, (1, 1, 2, 2))]), 'has an empty <name>; name its class'),
        (xml(size=SIZE.replace('50', '5.5')), r'<size> is \[100.0, 5.5\]'),
        (xml(size=SIZE.replace('50', '0')), r'<size> is \[100.0, 0.0\]'),
        (
            '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>',
            r'000001\.xml is not valid XML \(it has a DOCTYPE',
        ),
        ('<?xml version="1.0" encoding="klingon"?><a/>', 'is not valid XML'),
        (b'<annotation>\xe9</annotation>', 'is not valid XML'),
    ],
)
def test_voc_malformed_xml(devkit, text, message):
    content = text if isinstance(text, bytes) else text.encode()
    (devkit / 'VOC2007/Annotations/000001.xml').write_bytes(content)
    with pytest.raises(SystemExit, match=message):
        convert(devkit, '--split', '2007:trainval')


def test_voc_missing_input(devkit, tmp_path):
    out = str(tmp_path / 'out.json')
    with pytest.raises(SystemExit, match='source: no such folder: nowhere'):
        voc.main(['nowhere', out, '--split', '2007:test'])
    with pytest.raises(SystemExit, match='--split 2007:test: no such file'):
        voc.main([str(devkit), out, '--split', '2007:test'])
    with pytest.raises(SystemExit, match="'2007' should be YEAR:SET"):
        voc.main([str(devkit), out, '--split', '2007'])
    (devkit / 'VOC2007/Annotations/000002.xml').unlink()
    with pytest.raises(SystemExit, match=r'no such file: .*000002\.xml'):
        voc.main([str(devkit), out, '--split', '2007:trainval'])
    assert not Path(out).exists()


BOX = (11, 11, 20, 20)


@pytest.fixture
def cells(tmp_path):
    """Own data: pictures and xml in two trees, names as they are written."""
    for i, name in enumerate(['RBC', 'WBC', 'Platelets', 'RBC']):
        for part, suffix in (('xml', '.xml'), ('pictures', '.JPG')):
            path = tmp_path / part / f'plate {i % 2}' / f'cell {i}{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            if part == 'xml':
                text = xml([(name, 0, BOX)], name=f'C:\\data\\cell {i}.jpg')
                path.write_text('\ufeff' + text, encoding='utf-8')
            else:
                Image.new('RGB', (100, 50)).save(path)
    return tmp_path


def test_a_folder_of_own_xml(cells):
    (cells / 'xml/._x.xml').write_bytes(b'')
    Image.new('RGB', (9, 9)).save(cells / 'pictures/other.png')
    builder = convert(cells / 'xml', '--images', str(cells / 'pictures'))
    coco = builder.coco
    assert [i['file_name'] for i in coco['images']] == [
        f'plate {i % 2}/cell {i}.JPG' for i in (0, 2, 1, 3)
    ]
    assert boxes(coco) == [
        [1, 'RBC', [10, 10, 10, 10], 0],
        [2, 'Platelets', [10, 10, 10, 10], 0],
        [3, 'WBC', [10, 10, 10, 10], 0],
        [4, 'RBC', [10, 10, 10, 10], 0],
    ]
    assert [c['name'] for c in coco['categories']] == [
        'Platelets',
        'RBC',
        'WBC',
    ]
    assert builder.notes['pictures without an xml, left out'] == 1


def test_classes_of_own_xml(cells, capsys):
    options = ['--images', str(cells / 'pictures'), '--classes', 'WBC', 'RBC']
    with pytest.raises(SystemExit, match="1 objects .*'Platelets': 1; such"):
        convert(cells / 'xml', *options)
    builder = convert(cells / 'xml', *options, '--others', 'skip')
    assert [c['name'] for c in builder.coco['categories']] == ['WBC', 'RBC']
    assert len(builder.coco['images']) == 4
    assert builder.notes["boxes skipped: other class 'Platelets'"] == 1
    convert(cells / 'xml', *options, 'rbc', '--others', 'skip')
    assert 'WARNING: no object is of class rbc; sp' in capsys.readouterr().out
    with pytest.raises(SystemExit, match="--classes has 'RBC' twice"):
        convert(cells / 'xml', *options, 'RBC')
    path = cells / 'xml/plate 0/cell 0.xml'
    path.write_text(xml([('rbc', 0, BOX)]))
    convert(cells / 'xml', *options[:2])
    assert "WARNING: 'RBC', 'rbc' are taken as" in capsys.readouterr().out


def test_own_xml_dealt_to_parts(cells, capsys):
    out = cells / 'out.json'
    arguments = [str(cells / 'xml'), str(out), '--seed', '3', '--images']
    arguments += [str(cells / 'pictures'), '--shares']
    voc.main([*arguments, 'train=0.75', 'val=0.25'])
    parts = [load(cells / f'out_{part}.json') for part in ('train', 'val')]
    assert [len(part['images']) for part in parts] == [3, 1]
    images = [image['id'] for part in parts for image in part['images']]
    assert sorted(images) == [1, 2, 3, 4] and not out.exists()
    owners = [{a['image_id'] for a in part['annotations']} for part in parts]
    assert [len(owner) for owner in owners] == [3, 1]
    assert parts[0]['categories'] == parts[1]['categories']
    assert 'boxes per class' in capsys.readouterr().out
    voc.main([*arguments, 'train=0.75', 'val=0.25'])
    assert load(cells / 'out_val.json') == parts[1]
    for shares, message in (
        (['a=0.5', 'b=0.6'], 'add up to 1, got a=0.5 b=0.6; their sum is 1.1'),
        (['a=0.5', 'a=0.5'], "'a=0.5' should be PART=SHARE, each part once"),
        (['a=1', 'b'], "the share of 'b' is '', not a finite number"),
        (['a=0.99', 'b=0.01'], "4 images are too few for 'b'"),
    ):
        with pytest.raises(SystemExit, match=message):
            voc.main([*arguments, *shares])


def test_a_list_of_own_xml(cells):
    listed = cells / 'list.txt'
    options = ['--images', str(cells / 'pictures'), '--list', str(listed)]
    listed.write_text('plate 0/cell 0\nplate 1/cell 3 1\n')
    builder = convert(cells / 'xml', *options)
    assert [i['file_name'][-5:] for i in builder.coco['images']] == [
        '0.JPG',
        '3.JPG',
    ]
    assert builder.notes['xml files that are not in --list'] == 2
    listed.write_text('cell_9')
    with pytest.raises(SystemExit, match='no xml for 1 of 1 names, .*cell_9'):
        convert(cells / 'xml', *options)


def test_whose_an_xml_is(tmp_path):
    """Its own name comes first; what may be meant twice is refused."""
    for name in ('a.png', 'b.png', 'x/c.png', 'y/c.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new('RGB', (100, 50)).save(tmp_path / name)
    path = tmp_path / 'a.xml'
    path.write_text(xml(name='gone.jpg'))
    builder = convert(tmp_path)
    assert [i['file_name'] for i in builder.coco['images']] == ['a.png']
    assert builder.notes['xml files whose <filename> is not there'] == 1
    path.write_text(xml(name='b.png'))
    with pytest.raises(SystemExit, match='<filename> is b.png and there is'):
        convert(tmp_path)
    path = path.rename(tmp_path / '1.xml')
    assert convert(tmp_path).coco['images'][0]['file_name'] == 'b.png'
    (tmp_path / 'b.xml').write_text(xml())
    with pytest.raises(SystemExit, match='b.png is annotated twice'):
        convert(tmp_path)
    (tmp_path / 'b.xml').unlink()
    path.write_text(xml(name='c.png'))
    with pytest.raises(SystemExit, match='may be .*x/c.png or .*y/c.png'):
        convert(tmp_path)
    path.write_text(xml(name='d.png'))
    with pytest.raises(SystemExit, match=r'no picture 1\.\* and no d.png'):
        convert(tmp_path)
    path.unlink()
    with pytest.raises(SystemExit, match='holds no xml; for a devkit'):
        convert(tmp_path)


def test_an_xml_that_contradicts_its_picture(tmp_path):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.new('RGB', (100, 50)).save(tmp_path / 'a.jpg', exif=exif)
    (tmp_path / 'a.xml').write_text(xml())
    with pytest.raises(
        SystemExit,
        match='a.xml: <size> is 100 x 50 and .*a.jpg has 50 x 100 pixels, '
        'as if turned by its EXIF: .*--trust-pictures',
    ):
        convert(tmp_path)
    builder = convert(tmp_path, '--trust-pictures')
    assert builder.coco['images'][0]['width'] == 50
    assert builder.notes['images whose xml has another size'] == 1
    for size in ('', '<size><width>0</width><height>0</height></size>'):
        (tmp_path / 'a.xml').write_text(xml(size=size))
        assert convert(tmp_path).coco['images'][0]['height'] == 100
    (tmp_path / 'a.jpg').write_bytes(b'')
    with pytest.raises(SystemExit, match='a.jpg is not a readable image'):
        convert(tmp_path)


@pytest.mark.parametrize(
    ('text', 'difficult'),
    [('0', 0), ('Unspecified', 0), ('', 0), ('True', 1), (' 1 ', 1)],
)
def test_flags_in_words(tmp_path, text, difficult):
    Image.new('RGB', (100, 50)).save(tmp_path / 'a.png')
    (tmp_path / 'a.xml').write_text(xml([('RBC', text, BOX)]))
    (annotation,) = convert(tmp_path).coco['annotations']
    assert annotation['difficult'] == difficult


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('<html/>', 'begins with <html>, where an xml of VOC has <annotati'),
        (xml([('RBC', 'yes?', BOX)]), "<difficult> is 'yes.'; write 0 or 1"),
        (
            xml([('RBC', 0, (0.1, 0.2, 0.5, 0.7))]),
            'looks like shares of the image',
        ),
    ],
)
def test_own_xml_that_is_refused(tmp_path, text, message):
    Image.new('RGB', (100, 50)).save(tmp_path / 'a.png')
    (tmp_path / 'a.xml').write_text(text)
    with pytest.raises(SystemExit, match=message):
        voc.main([str(tmp_path), str(tmp_path / 'out.json')])
    assert not (tmp_path / 'out.json').exists()
