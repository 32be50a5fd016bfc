"""Pages that carry their scripts and data."""

import base64
import hashlib
import json

import pytest

from mmood.visualization.pages import fill_page, page_json, script_hash


def test_infinity_and_nan_are_what_javascript_reads():
    values = [float('nan'), float('inf'), float('-inf'), 1.5]
    assert page_json(values) == '[null,"Infinity","-Infinity",1.5]'


def test_nothing_in_the_data_ends_the_block():
    evil = dict(name='</script><!-- &lt; "', parts=('<', 2))
    text = page_json(evil)
    assert not set(text) & set('<>&')
    assert json.loads(text) == dict(evil, parts=['<', 2])


def test_blocks_take_the_places_of_their_names():
    page = fill_page(
        'a {{ one }} {{ two }} {{ one }}', dict(one='{{ two }}', two='2')
    )
    assert page == 'a {{ two }} 2 {{ two }}'
    with pytest.raises(KeyError):
        fill_page('{{ three }}', {})


def test_the_hash_is_that_of_the_policy():
    code = base64.b64encode(hashlib.sha256('é'.encode()).digest()).decode()
    assert script_hash('é') == f"'sha256-{code}'"
