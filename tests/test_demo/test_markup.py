"""HTML of what is said."""

import re
from html.parser import HTMLParser

from mmood.demo import markup
from mmood.demo.verdicts import ClassShare, box_verdicts

HOSTILE = '<script>alert("x")</script>'


class Parsed(HTMLParser):
    """Tags that are there, rows of a table, all text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.rows, self.text = set(), [], ''
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == 'tr':
            self.rows.append([dict(attrs).get('class')])

    def handle_data(self, data):
        self.text += data
        if self.rows:
            self.rows[-1].append(data)


def test_a_table_of_boxes():
    boxes = box_verdicts([HOSTILE, 'cat'], [0.512, 0.9], [2.0, -1.0], 0.5)
    found = Parsed(markup.box_table(boxes, 'energy'))
    assert found.tags == {'table', 'thead', 'tbody', 'tr', 'th', 'td'}
    assert found.rows == [
        [None, 'closest class', 'confidence', 'energy', 'verdict'],
        ['unknown', HOSTILE, '0.51', '2', 'unknown, 1.5 above the limit'],
        ['known', 'cat', '0.90', '-1', 'known, 1.5 below the limit'],
    ]
    assert markup.box_table([], 'energy') == ''


def test_a_table_of_classes():
    shares = [ClassShare(HOSTILE, 0.75, 0.0), ClassShare('sky', 0.25, 0.6)]
    found = Parsed(markup.class_table(shares))
    assert found.rows[1:] == [
        ['known', HOSTILE, '75.0 %', 'none'],
        ['unknown', 'sky', '25.0 %', '60.0 %'],
    ]
    assert 'script' not in found.tags


def words(html):
    return re.sub(r'\s+', ' ', re.sub('<[^>]*>', ' ', html)).strip()


def test_counts():
    boxes = box_verdicts('ab', [0.5, 0.5], [2.0, 3.0], 2.5)
    found = markup.box_counts(boxes, ['a note & more'])
    assert words(found) == '1 known 1 unknown 2 boxes a note &amp; more'
    assert 'no object found' in words(markup.box_counts([]))
    found = words(markup.pixel_counts(0.25))
    assert found == '75.0 % known 25.0 % unknown of the pixels'


def test_a_refusal():
    found = Parsed(markup.refusal(HOSTILE))
    assert found.text == HOSTILE and found.tags == {'div'}
