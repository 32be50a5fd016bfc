"""Versions and hashes against hashlib and the interpreter."""

import hashlib
import platform

import numpy as np

from mmood.ops import file_sha256, versions


def test_hash_of_a_file(tmp_path):
    for size in (0, 3, (1 << 20) + 1):
        path = tmp_path / 'file'
        path.write_bytes(b'a' * size)
        expected = hashlib.sha256(b'a' * size).hexdigest()
        assert file_sha256(path) == expected


def test_a_file_that_is_not_there_has_none(tmp_path):
    assert file_sha256(tmp_path / 'nowhere') is None
    assert file_sha256(tmp_path) is None


def test_versions_are_those_that_run():
    found = versions()
    assert found['python'] == platform.python_version()
    assert found['numpy'] == np.__version__
