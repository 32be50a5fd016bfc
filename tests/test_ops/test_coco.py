"""COCO files are used rightly, or refused by record, value and remedy."""

import json

import pytest

from mmood.ops import coco_problems, read_coco, read_json
from mmood.ops.coco import NAMED, REFUSED

NAN, INF = float('nan'), float('inf')


def content(**changes):
    """Two images, two categories, a box; ``changes`` are ``list_field``."""
    result = dict(
        images=[
            dict(id=1, file_name='a.png', width=48, height=32),
            dict(id=2, file_name='b.png', width=48, height=32),
        ],
        categories=[dict(id=1, name='cat'), dict(id=7, name='dog')],
        annotations=[
            dict(
                id=5,
                image_id=1,
                category_id=7,
                bbox=[4, 5, 20, 10],
                area=77,
                iscrowd=0,
            )
        ],
    )
    for key, value in changes.items():
        name, field = key.split('_', 1)
        record = result[name][0]
        if value is ...:
            del record[field]
        else:
            record[field] = value
    return result


def write(folder, obj):
    path = folder / 'set.json'
    path.write_text(obj if isinstance(obj, str) else json.dumps(obj))
    return path


def kinds(obj, **more):
    return [problem.kind for problem in coco_problems(obj, **more)]


def test_a_right_file_comes_as_it_is(tmp_path):
    assert read_coco(write(tmp_path, content())) == content()
    bom = '\ufeff' + json.dumps(content())
    assert read_coco(write(tmp_path, bom)) == content()


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (dict(annotations_area=0), dict(area=200)),
        (dict(annotations_area=...), dict(area=200)),
        (dict(annotations_area=None), dict(area=200)),
        (dict(annotations_area=12.5), dict(area=12.5)),
        (dict(annotations_iscrowd=...), dict(iscrowd=0)),
        (dict(annotations_iscrowd=True), dict(iscrowd=1)),
        (dict(annotations_iscrowd=1.0), dict(iscrowd=1)),
        (dict(annotations_id=...), dict(id=1)),
        (dict(annotations_id=0), dict(id=0)),
        (dict(annotations_id='x'), dict(id='x')),
    ],
)
def test_what_an_annotation_may_lack(tmp_path, changes, expected):
    obj = content(**changes)
    assert kinds(obj) == []
    found = read_coco(write(tmp_path, obj))['annotations']
    assert found == [{**content()['annotations'][0], **expected}]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(images_id=...), r'images\[0\] has no id; give a whole number'),
        (dict(images_id=[1]), r'images\[0\].* the id \[1\]'),
        (dict(images_id=True), 'the id True'),
        (dict(images_id=1.0), 'the id 1.0'),
        (dict(images_id=NAN), 'the id nan'),
        (dict(images_id=10**300), r'the id 10+\.\.\.0+; give a whole number'),
        (dict(images_id='x'), 'some ids are words.*some are numbers'),
        (dict(images_file_name=...), 'has no file_name; give the path'),
        (dict(images_file_name=''), "file_name ''"),
        (dict(images_file_name=3), 'file_name 3'),
        (dict(images_file_name='a\0.png'), r'file_name .a.x00.png'),
        (dict(images_width=...), r'images\[0\] \(id 1\) has no width'),
        (dict(images_width=0), 'the width 0; give a whole number of pixels'),
        (dict(images_height='32'), "the height '32'"),
        (dict(images_height=10**300), 'the height 1000'),
        (dict(categories_name=...), r'categories\[0\] .* has no name'),
        (dict(categories_name=3), 'the name 3'),
        (dict(categories_name=' '), "the name ' '"),
        (dict(categories_name='dog'), "'dog' is the name of the ids .1, 7."),
        (dict(categories_id=7), 'categories: the id 7 is there 2 times'),
        (dict(annotations_image_id=9), 'annotation 5 has the image_id 9'),
        (dict(annotations_image_id='1'), "image_id '1', which is not in"),
        (dict(annotations_image_id={}), 'the image_id {}'),
        (dict(annotations_category_id=2), 'the category_id 2.*"categories"'),
        (dict(annotations_category_id=None), 'the category_id None'),
        (dict(annotations_area=NAN), 'the area nan.*leave it out'),
        (dict(annotations_area='big'), "the area 'big'"),
        (dict(annotations_area=-1), 'the area -1'),
        (dict(annotations_iscrowd=2), 'the iscrowd 2; give 0 or 1'),
        (dict(annotations_iscrowd='0'), "the iscrowd '0'"),
        (dict(annotations_ignore='no'), "the ignore 'no'"),
    ],
)
def test_refused_with_record_value_and_remedy(tmp_path, changes, message):
    path = write(tmp_path, content(**changes))
    with pytest.raises(ValueError, match=f'set.json: .*{message}'):
        read_coco(path)


@pytest.mark.parametrize(
    'box',
    [
        None,
        ...,
        'box',
        [1, 2, 3],
        [1, 2, 3, '4'],
        [1, NAN, 3, 4],
        [1, 2, INF, 4],
        [1, 2, -3, 4],
        [1, 2, 3, [4]],
    ],
)
def test_boxes_that_are_no_boxes(box):
    (problem,) = coco_problems(content(annotations_bbox=box))
    assert problem.kind == 'bad_boxes'
    assert problem.text.startswith('annotations[0] (id 5) has ')
    assert '; give [x, y, width, height] in pixels' in problem.text


def with_boxes(*boxes):
    """The content above with these boxes, in its first image."""
    obj = content()
    (record,) = obj['annotations']
    obj['annotations'] = [
        {**record, 'id': i, 'bbox': box} for i, box in enumerate(boxes)
    ]
    return obj


@pytest.mark.parametrize(
    'boxes',
    [
        [[0.1, 0.2, 0.9, 0.5]],
        [[0.9, 0.5, 0.2, 0.4]],  # of its centre
        [[-0.01, 0.5, 0.2, 0.4]],
        [[0.1, 0.2, 0.9, 0.5], [0, 0, 0, 0]],
        [[0.1, 0.2, 0.9, 0.5], [0.2, 0.1, 0.4, 0.4], [4, 5, 20, 10]],
    ],
)
def test_boxes_given_as_shares_of_the_image(boxes):
    *rest, problem = coco_problems(with_boxes(*boxes))
    assert problem.kind == 'bad_boxes'
    assert 'multiply them by its width and height' in problem.text


def test_boxes_given_as_corners():
    boxes = [4, 5, 20, 10], [30, 20, 48, 32], [0, 0, 20, 10]
    *rest, problem = coco_problems(with_boxes(*boxes))
    assert problem.kind == 'bad_boxes'
    assert 'such as [30, 20, 48, 32]' in problem.text
    assert problem.text.endswith('; give [x, y, width, height]')
    assert len(rest) == 1  # the one that sticks out


@pytest.mark.parametrize(
    ('boxes', 'kind'),
    [
        # As many in pixels show that the others are meant so too.
        ([[0.1, 0.2, 0.9, 0.5], [4, 5, 20, 10]], 'empty_boxes'),
        # No corners, of one box or of another.
        ([[40, 5, 20, 10]], 'protruding_boxes'),
        ([[30, 20, 48, 32], [30, 20, 10, 10]], 'protruding_boxes'),
        # The whole image, a bit too far.
        ([[2, 1, 48, 32]], 'protruding_boxes'),
    ],
)
def test_single_odd_boxes_do_not_tell_the_format(boxes, kind):
    assert kinds(with_boxes(*boxes)) == [kind]


@pytest.mark.parametrize(
    ('box', 'kind'),
    [
        ([4, 5, 0, 10], 'empty_boxes'),
        ([4, 5, 20, 0.5], 'empty_boxes'),
        ([48, 5, 9, 9], 'empty_boxes'),
        ([-9, 5, 9, 9], 'empty_boxes'),
        ([40, 5, 10, 9], 'protruding_boxes'),
        ([-3, 5, 10, 9], 'protruding_boxes'),
    ],
)
def test_boxes_of_cocos_own_kind_are_named_and_kept(tmp_path, box, kind):
    obj = content(annotations_bbox=box)
    (problem,) = coco_problems(obj)
    assert problem.kind == kind
    assert problem.text.startswith("annotation 5 in 'a.png': the box [")
    assert read_coco(write(tmp_path, obj))['annotations'][0]['bbox'] == box
    assert kinds(obj, tolerance=3) == [kind] * (kind == 'empty_boxes')


def test_ids_that_are_words_with_a_crowd(tmp_path):
    obj = content(annotations_image_id='im é', annotations_iscrowd=1)
    obj['images'] = [{**obj['images'][0], 'id': 'im é'}]
    obj['annotations'][0]['segmentation'] = dict(size=[32, 48], counts=[0, 9])
    assert read_coco(write(tmp_path, obj)) == obj


def test_records_that_are_none_and_lists_that_are_missing():
    obj = content()
    obj['images'].append(3)
    obj['annotations'].append(None)
    assert [problem.text[:33] for problem in coco_problems(obj)] == [
        'images[2] is 3, not an object wit',
        'annotations[1] is None, not an ob',
    ]
    for wrong in ([], 'text', None, {}):
        (problem,) = coco_problems(wrong)
        assert "has no ['images', 'categories', 'annotations']" in problem.text
    (problem,) = coco_problems({**obj, 'images': {}})
    assert problem.text == 'is no COCO file: images is {}, not a list'


def test_a_file_without_images(tmp_path):
    obj = dict(content(), images=[], annotations=[])
    assert kinds(obj) == ['no_images']
    assert read_coco(write(tmp_path, obj)) == obj  # for its class names


def test_ids_of_some_annotations_only():
    obj = content()
    obj['annotations'].append({**obj['annotations'][0], 'id': None})
    (problem,) = coco_problems(obj)
    assert problem.text.startswith('annotations[1] has the id None')


def test_all_problems_are_found_and_the_first_one_is_told(tmp_path):
    obj = content(images_width=0, annotations_image_id=9)
    obj['images'].append({**obj['images'][1], 'file_name': 'b.png'})
    found = kinds(obj)
    assert found == [
        'bad_records',
        'duplicate_ids',
        'repeated_files',
        'unknown_ids',
    ]
    assert set(found) <= {*REFUSED, *NAMED}
    with pytest.raises(ValueError, match=r'width 0.*\(2 more such .*verify'):
        read_coco(write(tmp_path, obj))


def test_an_image_with_a_problem_is_not_unknown():
    assert kinds(content(images_width=0)) == ['bad_records']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"images": [', 'not valid JSON'),
        ('[' * 100_000, 'nested too deeply'),
        (f'[{"9" * 5000}]', 'not valid JSON: .*digits'),
        (b'\xff\xfe', 'not valid JSON'),
    ],
)
def test_files_that_are_no_json(tmp_path, text, message):
    path = tmp_path / 'bad.json'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f'bad.json .*{message}'):
        read_json(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='no file .*nowhere.json'):
        read_coco(tmp_path / 'nowhere.json')
    with pytest.raises(FileNotFoundError, match='no file'):
        read_json(tmp_path)
