"""Files of a generation run: whole or not at all, and read with care."""

import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmood.generation import records
from mmood.ops import write_json


def picture(height=20, width=30):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def files(folder):
    return sorted(p.name for p in folder.rglob('*') if p.is_file())


def test_png_is_lossless_and_rgb(tmp_path):
    image = picture()
    path = tmp_path / 'new' / 'a.png'
    records.write_png(path, image)
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], image)
    np.testing.assert_array_equal(records.read_image(path, 30, 20), image)


def test_grey_images_get_three_channels(tmp_path):
    grey = picture()[..., 0]
    cv2.imwrite(str(tmp_path / 'a.png'), grey)
    found = records.read_image(tmp_path / 'a.png', 30, 20)
    np.testing.assert_array_equal(found, np.stack([grey] * 3, 2))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is no readable image'),
        (b'GIF, or so it says', 'is no readable image'),
        (cv2.imencode('.jpg', picture())[1].tobytes()[:300], 'no readable'),
        (cv2.imencode('.png', picture())[1].tobytes()[:300], 'no readable'),
        (
            cv2.imencode('.png', picture(30, 20))[1].tobytes(),
            'has 20 x 30 pixels, but its annotation says 30 x 20',
        ),
    ],
)
def test_images_that_cannot_be_used(tmp_path, content, message):
    path = tmp_path / 'a.png'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        records.read_image(path, 30, 20)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('missing', [0, 1, 2, 5, 400])
def test_a_cut_jpeg_is_noticed_by_its_end(tmp_path, monkeypatch, missing):
    """As OpenCV 4 does not: it returns an image that is partly grey."""
    content = cv2.imencode('.jpg', picture())[1].tobytes()
    path = tmp_path / 'a.jpg'
    path.write_bytes(content[: len(content) - missing])
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: picture())
    if missing:
        with pytest.raises(ValueError, match='is no readable image'):
            records.read_image(path, 30, 20)
    else:
        path.write_bytes(content + b'some more')
        records.read_image(path, 30, 20)


def test_images_that_are_missing(tmp_path):
    for path in (tmp_path / 'a.png', tmp_path):
        with pytest.raises(FileNotFoundError, match=f'{path} does not exist'):
            records.read_image(path, 30, 20)


def source():
    return dict(
        images=[
            dict(id=i, file_name=f'some/{i}.jpg', width=30, height=20)
            for i in (7, 3)
        ],
        annotations=[
            dict(id=i, image_id=image, category_id=2, bbox=[1, 2, 3, 4])
            for i, image in enumerate([3, 7, 3])
        ],
        categories=[dict(id=2, name='cat')],
        licenses=[dict(id=1, name='free')],
    )


def test_source_and_its_annotations_by_image(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(source()))
    coco = records.read_source(path)
    assert coco['annotations'][0]['bbox'] == [1, 2, 3, 4]
    assert coco['images'] == source()['images']
    groups = records.by_image(coco)
    assert {i: [a['id'] for a in g] for i, g in groups.items()} == {
        7: [1],
        3: [0, 2],
    }


def change(key, index, **fields):
    coco = source()
    coco[key][index] = {**coco[key][index], **fields}
    return coco


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'not valid JSON'),
        (change('images', 0, id='7', file_name='b'), 'some ids are words'),
        (change('annotations', 0, id=-1), 'annotations has the id -1; seeds'),
        (change('annotations', 1, image_id=4), 'the image_id 4, which is not'),
        (change('annotations', 1, bbox=[1, 2, 3, float('nan')]), 'nan'),
        (change('annotations', 1, area='large'), "has the area 'large'"),
        (change('images', 0, file_name='a\0b.jpg'), 'the path of a file'),
        (change('images', 0, file_name='/a.jpg'), "'/a.jpg', which leads out"),
        (change('images', 0, file_name='a/../../b'), 'allow_outside=True'),
        (change('images', 0, file_name='..\\b.jpg'), 'leads out of data.img'),
        (change('images', 0, file_name='C:\\b.jpg'), 'leads out of data.img'),
    ],
)
def test_sources_that_cannot_be_used(tmp_path, content, message):
    path = tmp_path / 'a.json'
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        records.read_source(path)
    assert str(path) in str(error.value)


def test_images_of_other_folders_if_allowed(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(change('images', 0, file_name='../a.jpg')))
    coco = records.read_source(path, allow_outside=True)
    assert coco['images'][0]['file_name'] == '../a.jpg'


def test_a_source_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no file .*a.json'):
        records.read_source(tmp_path / 'a.json')


def record(number, painted=True):
    image = dict(id=number, file_name=f'images/{number}.png')
    image.update(width=30, height=20)
    annotation = dict(
        id=number * 10, image_id=number, category_id=2, bbox=[1, 2, 3, 4],
        area=12, iscrowd=0, ood=1,
    )  # fmt: skip
    return dict(
        id=number,
        image=image if painted else None,
        annotations=[annotation],
        skipped={},
        discarded=[],
        given_up=0,
        seconds=0.5,
    )


def test_picture_names_tell_equal_stems_apart():
    names = [
        records.picture_name(dict(id=i, file_name=f'{folder}/img.1.jpg'))
        for i, folder in enumerate('ab')
    ]
    assert names == ['images/img.1_0.png', 'images/img.1_1.png']


def test_a_record_is_read_if_its_image_is_done(tmp_path):
    def put(content):
        path = records.record_path(tmp_path, 5)
        write_json(path, content)
        return records.read_record(tmp_path, 5)

    assert records.read_record(tmp_path, 5) is None
    assert put(record(5)) is None  # its picture is gone
    records.write_png(tmp_path / 'images/5.png', picture())
    assert put(record(5)) == record(5)
    assert put(record(5, painted=False)) == record(5, painted=False)
    assert put(dict(id=5, image=None, error='unreadable')) is None
    whole = record(5)
    outside = {**whole, 'image': dict(file_name='../5.png')}
    nowhere = {**whole, 'image': dict(file_name=['5.png'])}
    for damaged in ([], None, {}, 'text', outside, nowhere):
        assert put(damaged) is None
    for key in set(whole) - {'id'}:
        assert put({k: v for k, v in whole.items() if k != key}) is None
        assert put({**whole, key: 'text'}) is None
    for text in ('{"id": 5, "ima', '[' * 99999, f'[{"9" * 5000}]'):
        records.record_path(tmp_path, 5).write_text(text)
        assert records.read_record(tmp_path, 5) is None


def test_merged_records_are_a_coco_file(tmp_path):
    failed = dict(id=4, image=None, error='unreadable')
    found = [record(8), failed, record(2), record(5, painted=False)]
    coco = records.merge(found, source(), dict(description='x'))
    write_json(tmp_path / 'a.json', coco)
    read = COCO(str(tmp_path / 'a.json'))
    assert [i['id'] for i in coco['images']] == [2, 8]
    assert read.getAnnIds(imgIds=[8]) == [80]
    assert read.getAnnIds() == [20, 80]
    assert read.dataset['info'] == dict(description='x')
    assert read.dataset['categories'] == source()['categories']
    assert read.dataset['licenses'] == source()['licenses']


def test_nothing_merged_is_an_empty_coco_file(tmp_path):
    coco = records.merge([], source(), {})
    write_json(tmp_path / 'a.json', coco)
    assert COCO(str(tmp_path / 'a.json')).getImgIds() == []


def test_picture_names_end_where_file_systems_want_it():
    name = records.picture_name(dict(id=7, file_name='é' * 250 + '.jpg'))
    assert name.endswith('é_7.png') and len(name.encode()) < 255
