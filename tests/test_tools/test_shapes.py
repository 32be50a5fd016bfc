"""tools/dataset_converters/shapes.py: some of the sets, other seeds."""

from helpers import run_here
from mmood.ops import read_coco


def test_parts_are_those_of_a_whole_run(monkeypatch, shapes, tmp_path):
    def make(out, *more):
        options = ('--size', 64, '--scale', 0.03, '--parts', 'far', *more)
        name = 'dataset_converters/shapes'
        run_here(monkeypatch, name, '--out', tmp_path / out, *options)
        return tmp_path / out

    same, other = make('same'), make('other', '--seed', 1)
    names = {path.name for path in same.iterdir()}
    assert names == {'far', 'annotations'}
    assert [p.name for p in same.glob('annotations/*')] == ['far.json']
    file = 'annotations/far.json'
    assert read_coco(same / file) == read_coco(shapes / file)
    image = 'far/images/far_00000.png'
    first, second = ((out / image).read_bytes() for out in (same, other))
    assert first == (shapes / image).read_bytes() != second
