"""A reader never sees half a file."""

import pytest

from mmood.ops import atomic_write


def test_text_takes_the_place_of_the_old_one_at_the_end(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with atomic_write(path) as file:
        file.write('é')
        assert path.read_text() == 'old'
    assert path.read_bytes() == 'é'.encode()
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old')
    with pytest.raises(KeyError), atomic_write(path, 'wb') as file:
        file.write(b'ne')
        raise KeyError
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]
