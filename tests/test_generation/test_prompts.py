"""Prompt sources: which words, drawn how, refused when."""

import math

import numpy as np
import pytest

from mmood.generation.prompts import (
    TEMPLATES,
    ClassEmbeddings,
    GenericPrompts,
    Prompt,
)
from mmood.registry import PAINTERS


def prompts(source, label, number=200):
    rng = np.random.default_rng(0)
    return [source(label, rng) for _ in range(number)]


def test_twenty_templates_each_drawn_with_the_class_filled_in():
    assert len(set(TEMPLATES)) == 20
    made = prompts(GenericPrompts(), 'dining table', 400)
    expected = {text.format('dining table') for text in TEMPLATES}
    assert {prompt.text for prompt in made} == expected
    assert all(prompt.std is None for prompt in made)
    assert all('blurry' in prompt.negative for prompt in made)


def test_the_generator_alone_decides():
    source = GenericPrompts()
    prompts(source, 'cat', 7)
    again = prompts(source, 'cat')
    assert again == prompts(GenericPrompts(), 'cat')
    assert len(set(again)) > 10


def test_own_templates_and_negative_prompt():
    source = GenericPrompts(['{} of {}', 'old {}'], negative='a usual {}')
    made = set(prompts(source, 'traffic_light'))
    assert made == {
        Prompt('traffic light of traffic light', 'a usual traffic light'),
        Prompt('old traffic light', 'a usual traffic light'),
    }


def test_other_braces_are_left_alone():
    source = GenericPrompts(['{} {x} {0}'], negative='{y}')
    assert prompts(source, 'cat', 1) == [Prompt('cat {x} {0}', '{y}')]


def test_a_prompt_table_has_templates_per_class():
    table = {'cat': 'a wooden {}', 'dog': ['a pile of leaves', 'blue {}']}
    source = GenericPrompts(classes=table, negative='')
    source.check_classes(['dog', 'cat'])
    assert {p.text for p in prompts(source, 'cat')} == {'a wooden cat'}
    expected = {'a pile of leaves', 'blue dog'}
    assert {p.text for p in prompts(source, 'dog')} == expected


def test_a_class_not_in_the_prompt_table_is_refused():
    source = GenericPrompts(classes={'cat': 'a wooden {}'})
    message = "not in the prompt table: 'cow', 'bus'; it has 'cat'.*`classes`"
    with pytest.raises(ValueError, match=message):
        source.check_classes(['cow', 'cat', 'bus'])
    with pytest.raises(ValueError, match="table: 'cow'"):
        prompts(source, 'cow')
    with pytest.raises(ValueError, match='no class'):
        GenericPrompts(classes={}).check_classes(['cat'])


def test_any_class_will_do_without_a_table():
    label = 'thing never heard of'
    source = GenericPrompts()
    source.check_classes(['cow', label])
    assert label in source(label, np.random.default_rng(0)).text


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(templates=['a cat']), "need a {}.*'a cat'"),
        (dict(templates=[]), 'templates must be one or more texts'),
        (dict(templates=['{}', ' ']), 'templates must be one or more texts'),
        (dict(classes={'cat': []}), r"classes\['cat'\] must be one or more"),
        (dict(classes={'cat': '{}'}, templates=['{}']), 'not both'),
    ],
)
def test_refuses_bad_templates(options, message):
    with pytest.raises(ValueError, match=message):
        GenericPrompts(**options)


@pytest.mark.parametrize('label', ['cat', 'dining table', 'dining_table '])
def test_embeddings_mark_the_class_name(label):
    source = ClassEmbeddings(0.5, 'one table, one {}, bright', 'small {}')
    prompt = source(label)
    words = label.strip().replace('_', ' ')
    assert prompt.text == f'one table, one {words}, bright'
    assert prompt.text[slice(*prompt.span)] == words
    assert prompt.span[0] == len('one table, one ')
    assert prompt.negative == f'small {words}'
    assert prompt.std == 0.5


@pytest.mark.parametrize('std', [-0.1, math.nan, math.inf])
def test_refuses_a_bad_std(std):
    with pytest.raises(ValueError, match=f'std must be .*got {std}'):
        ClassEmbeddings(std)


@pytest.mark.parametrize('template', ['a photo', '{} and {}'])
def test_refuses_a_template_without_one_place(template):
    with pytest.raises(ValueError, match='exactly one {}'):
        ClassEmbeddings(1, template)


def test_refuses_a_class_without_a_name():
    source = ClassEmbeddings(1)
    source.check_classes(['cat'])
    for label in ('', '_'):
        with pytest.raises(ValueError, match='a class needs a name'):
            source.check_classes(['cat', label])


def test_sources_are_built_by_name():
    source = PAINTERS.build(dict(type='mmood.ClassEmbeddings', std=2))
    assert source('cat').std == 2
    source = PAINTERS.build(
        dict(type='mmood.GenericPrompts', templates=['a {}'], negative='')
    )
    assert prompts(source, 'cat', 1) == [Prompt('a cat')]
