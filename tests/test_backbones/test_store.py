"""What is kept of a network is found by content, and never half-written."""

import torch

from mmood.backbones.store import (
    OutputStore,
    digest,
    map_tensors,
    picture_key,
    split,
    stack,
)


def nested(*sizes):
    """Outputs as backbones give them: maps, and a map with its token."""
    return tuple([torch.randn(n, 2, 3), torch.randn(n, 4)] for n in sizes)


def test_a_key_is_of_values_shape_and_type():
    x = torch.arange(12.0).reshape(3, 2, 2)
    others = [x + 1e-6, x.reshape(3, 1, 4), x.double(), x.flip(-1)]
    assert picture_key(x) == picture_key(x.clone())
    assert len({picture_key(one) for one in [x, *others]}) == 5


def test_a_key_does_not_depend_on_the_layout_in_memory():
    x = torch.randn(3, 4, 5)
    assert picture_key(x.permute(2, 1, 0).permute(2, 1, 0)) == picture_key(x)


def test_a_digest_is_of_the_config_and_of_every_weight():
    state = dict(a=torch.ones(2), b=torch.zeros(1, dtype=torch.long))
    changed = dict(state, a=torch.tensor([1.0, 1.0 + 1e-6]))
    made = [
        digest(dict(type='X'), state),
        digest(dict(type='Y'), state),
        digest(dict(type='X'), changed),
        digest(dict(type='X'), dict(c=state['a'], b=state['b'])),
    ]
    assert len(set(made)) == 4
    backwards = dict(reversed(list(state.items())))
    assert digest(dict(type='X'), backwards) == made[0]


def test_split_and_stack_are_inverse():
    maps = nested(3, 3)
    again = stack(split(maps, 3))
    assert isinstance(again, tuple) and isinstance(again[0], list)
    for old, new in zip(maps[0] + maps[1], again[0] + again[1]):
        assert torch.equal(old, new)


def test_what_is_written_is_read_in_the_type_asked_for(tmp_path):
    store = OutputStore(tmp_path, 1.0)
    store.open('net', dict(type='X'))
    maps = (map_tensors(lambda x: x[0], nested(1, 1)), dict(a=torch.ones(2)))
    store.write('net', 'abc', maps, torch.bfloat16)
    outputs, features = store.read('net', 'abc')
    assert outputs[1][1].dtype == features['a'].dtype == torch.bfloat16
    assert torch.equal(outputs[1][1], maps[0][1][1].bfloat16())
    assert store.read('net', 'abd') is None
    assert store.read('other', 'abc') is None
    assert '"type": "X"' in (tmp_path / 'net' / 'network.json').read_text()


def test_a_part_of_a_larger_map_is_written_alone(tmp_path):
    store = OutputStore(tmp_path, 1.0)
    store.write('net', 'abc', torch.zeros(1000, 10)[0], torch.float32)
    assert (tmp_path / 'net' / 'ab' / 'abc.pt').stat().st_size < 4000


def test_a_damaged_file_counts_as_missing(tmp_path):
    store = OutputStore(tmp_path, 1.0)
    store.write('net', 'abc', torch.zeros(100), torch.float16)
    path = tmp_path / 'net' / 'ab' / 'abc.pt'
    for content in (b'', b'no checkpoint', path.read_bytes()[:200]):
        path.write_bytes(content)
        assert store.read('net', 'abc') is None


def test_code_in_a_file_is_not_run(tmp_path):
    class Bad:
        def __reduce__(self):
            return (print, ('run',))

    path = tmp_path / 'net' / 'ab' / 'abc.pt'
    path.parent.mkdir(parents=True)
    torch.save(Bad(), path)
    assert OutputStore(tmp_path, 1.0).read('net', 'abc') is None


def test_a_full_folder_takes_no_more_and_says_what_was_found(
    tmp_path, monkeypatch
):
    first = OutputStore(tmp_path, 1e-6)
    first.write('net', 'abc', torch.zeros(1000), torch.float32)
    store = OutputStore(tmp_path, 1e-6)
    assert store.read('net', 'abc') is not None
    assert store.read('net', 'xyz') is None
    said = []
    monkeypatch.setattr(
        'mmood.backbones.store.print_log', lambda text, **_: said.append(text)
    )
    store.write('net', 'xyz', torch.zeros(1), torch.float32)
    store.write('net', 'xyz', torch.zeros(1), torch.float32)
    assert store.read('net', 'xyz') is None
    assert len(said) == 1 and 'is full (max_gigabytes=1e-06)' in said[0]
    assert '50% of the pictures' in said[0]
