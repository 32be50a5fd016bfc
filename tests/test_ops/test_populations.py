"""Sets have names that can be told apart, and each image once."""

import pytest

from mmood.ops import check_populations, check_set_name


@pytest.mark.parametrize('name', ['id', 'near', 'file', 'VOC-COCO 20', 'é.b'])
def test_names(name):
    check_set_name(name)


@pytest.mark.parametrize(
    'name',
    ['', ' ', '..', '.a', 'a.', 'a ', ' a', 'a/b', 'a\\b', 'a:b', 'a\n', 3],
)
def test_names_that_are_no_part_of_a_files_name(name):
    with pytest.raises(ValueError, match='name of a set must be a word'):
        check_set_name(name)


def test_names_that_look_like_that_of_id_sets():
    for name, is_ood in (('ID', False), ('id', True)):
        with pytest.raises(ValueError, match='name of an OOD set cannot be'):
            check_set_name(name, is_ood)


def test_images_of_sets_that_are_apart():
    check_populations(
        [
            ('id', 'a.json', 1),
            ('far', 'b.json', 1),
            ('near', 'b.json', 1),
            ('far', 'b.json', 2),
            ('far', 'b.json', None),
            ('far', 'b.json', None),
        ]
    )
    check_populations([])


@pytest.mark.parametrize(
    ('second', 'message'),
    [
        (('far', 'a.json', 1), "image 1 is there twice in the set 'far'"),
        (('far', 'b.json', 2), "'far' of b.json and the set 'far' of a.json"),
        (('Far', 'a.json', 2), "'Far' of a.json and the set 'far' of a.json"),
        (('far', None, 2), "'far' of None"),
    ],
)
def test_populations_that_would_be_mixed(second, message):
    with pytest.raises(ValueError, match=message):
        check_populations([('far', 'a.json', 1), second])
