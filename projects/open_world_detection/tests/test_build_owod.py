"""The builder on small files: what is in each task, and what is refused."""

from __future__ import annotations

import json

import build_owod
import pytest
from owod_counts import COMPLETE, TRAIN, compare

from class_helpers import build_classes, labels

STEPS = [['dog', 'couch'], ['zebra'], ['bowl', 'cup']]
CONFIG = f'incremental = dict(steps={STEPS}, exemplars=2)\n'


def write(path, images, names):
    """A COCO json; each image is a list of names."""
    ids = {name: i for i, name in enumerate(names, 1)}
    content = dict(images=[], annotations=[], categories=[])
    content['categories'] = [dict(id=i, name=n) for n, i in ids.items()]
    for number, of_image in enumerate(images, 1):
        name = f'{path.stem}{number}.jpg'
        content['images'].append(
            dict(id=number, file_name=name, width=20, height=20)
        )
        for name in of_image:
            annotation = dict(
                id=len(content['annotations']) + 1,
                image_id=number,
                category_id=ids[name],
                bbox=[2, 3, 5, 6],
                area=30,
                iscrowd=0,
            )
            content['annotations'].append(annotation)
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def files(tmp_path):
    """Arguments for small jsons of COCO and of VOC."""
    coco = ['dog', 'couch', 'zebra', 'bowl', 'cup']
    train = [['dog', 'zebra'], ['zebra', 'zebra', 'cup'], ['bowl'], ['couch']]
    train += [['zebra']] * 3 + [[]]
    val = [['dog'], ['dog', 'cup'], ['zebra'], []]
    voc = ['sofa', 'dog']
    config = tmp_path / 'tasks.py'
    config.write_text(CONFIG)
    return dict(
        config=str(config),
        coco=[
            '--coco-train', write(tmp_path / 'train.json', train, coco),
            '--coco-val', write(tmp_path / 'val.json', val, coco),
            '--folders', 'ct', 'cv', 'voc',
        ],
        voc=[
            '--voc-train',
            write(tmp_path / 'v.json', [['sofa'], ['dog'], []], voc),
            '--voc-test',
            write(tmp_path / 'w.json', [['dog', 'sofa'], []], voc),
        ],
    )  # fmt: skip


def run(files, out, *more, voc=True):
    rest = [*files['coco'], *(files['voc'] if voc else ())]
    build_owod.main([files['config'], str(out), *rest, *map(str, more)])


def content_of(path):
    """Names of the objects by file name."""
    coco = json.loads(path.read_text())
    names = {c['id']: c['name'] for c in coco['categories']}
    found = {image['file_name']: [] for image in coco['images']}
    files = {image['id']: image['file_name'] for image in coco['images']}
    for one in coco['annotations']:
        name = names[one['category_id']]
        found[files[one['image_id']]].append(
            f'{name}:{one["class"]}' if 'class' in one else name
        )
    return found


def test_tasks_of_voc_and_coco(files, tmp_path, capsys):
    out = tmp_path / 'tasks'
    run(files, out)
    assert content_of(out / 't1_train.json') == {
        'voc/v1.jpg': ['couch'], 'voc/v2.jpg': ['dog']
    }  # fmt: skip
    zebras = {f'ct/train{i}.jpg': ['zebra'] for i in (1, 5, 6, 7)}
    zebras['ct/train2.jpg'] = ['zebra', 'zebra']
    assert content_of(out / 't2_train.json') == zebras
    assert content_of(out / 't3_train.json') == {
        'ct/train2.jpg': ['cup'], 'ct/train3.jpg': ['bowl']
    }  # fmt: skip
    # VOC's test images, and those of COCO that show a later class.
    unknown = content_of(out / 't1_test.json')
    assert unknown == {
        'voc/w1.jpg': ['dog', 'couch'],
        'voc/w2.jpg': [],
        'cv/val2.jpg': ['dog', 'unknown:cup'],
        'cv/val3.jpg': ['unknown:zebra'],
    }
    assert content_of(out / 't2_test.json')['cv/val3.jpg'] == ['zebra']
    last = content_of(out / 't3_test.json')
    assert last.keys() == unknown.keys()
    assert last['cv/val2.jpg'] == ['dog', 'cup']
    assert not (out / 't1_ft.json').exists()
    assert 'no numbers are published' in capsys.readouterr().out


def test_stored_images_grow_and_show_all_classes_seen(files, tmp_path):
    out = tmp_path / 'tasks'
    run(files, out)
    second, third = (content_of(out / f't{t}_ft.json') for t in (2, 3))
    assert {'voc/v1.jpg', 'voc/v2.jpg'} < second.keys() < third.keys()
    # Two of the five with zebras, of which one may show a cup as well.
    assert len(second) == 4
    every = {name for names in second.values() for name in names}
    assert every <= {'dog', 'couch', 'zebra'}
    assert third['ct/train2.jpg'] == ['zebra', 'zebra', 'cup']
    leak = content_of(out / 'leak.json')
    assert leak == third  # of the last task all is seen
    other = tmp_path / 'other'
    run(files, other, '--seed', 1)
    seeds = {frozenset(second)}
    for seed in range(1, 6):
        run(files, other, '--seed', seed)
        seeds.add(frozenset(content_of(other / 't2_ft.json')))
    assert len(seeds) > 1


def test_without_voc_all_is_cocos(files, tmp_path):
    out = tmp_path / 'tasks'
    run(files, out, voc=False)
    assert content_of(out / 't1_train.json') == {
        'ct/train1.jpg': ['dog'], 'ct/train4.jpg': ['couch']
    }  # fmt: skip
    assert content_of(out / 't1_test.json') == {
        'cv/val1.jpg': ['dog'],
        'cv/val2.jpg': ['dog', 'unknown:cup'],
        'cv/val3.jpg': ['unknown:zebra'],
    }


def test_the_sets_read_what_is_written(files, tmp_path):
    """Labels by the classes of all steps; unknown is K = 5."""
    out = tmp_path / 'tasks'
    run(files, out, voc=False)
    common = dict(steps=STEPS, step=1, seen=True)
    test = build_classes(
        'ClassStepCocoDataset',
        out / 't2_test.json',
        **common,
        unknown='label',
        test_mode=True,
    )
    assert labels(test) == {1: [0], 2: [0, 5], 3: [2]}
    train = build_classes(
        'ClassStepCocoDataset', out / 't2_train.json', steps=STEPS, step=1
    )
    assert set(sum(labels(train).values(), [])) == {2}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('incremental = dict(steps=[["dog"], []])', r'steps \[1\] are empty'),
        ('incremental = dict()', 'there is no step'),
        ('incremental = dict(steps=[["unknown"]])', "called 'unknown'"),
        ('incremental = dict(steps=[["dog"], ["zebra"]])', 'in no task'),
        (
            CONFIG.replace("'cup'", "'cup', 'ghost'").replace(
                "['zebra']", "['zebra'], ['newt']"
            ),
            't3_train.json would have no image.*newt',
        ),
    ],
)
def test_tasks_that_cannot_be_made(files, tmp_path, text, message):
    (tmp_path / 'tasks.py').write_text(text)
    with pytest.raises(SystemExit, match=message):
        run(files, tmp_path / 'out')


def test_others_may_be_left_out_or_stay_unknown(files, tmp_path):
    text = 'incremental = dict(steps=[["dog"], ["zebra"]])'
    (tmp_path / 'tasks.py').write_text(text)
    run(files, tmp_path / 'a', '--others', 'drop', voc=False)
    run(files, tmp_path / 'b', '--others', 'unknown', voc=False)
    dropped, kept = (
        content_of(tmp_path / f'{x}/t2_test.json')['cv/val2.jpg'] for x in 'ab'
    )
    assert dropped == ['dog'] and kept == ['dog', 'unknown:cup']
    assert not list(tmp_path.glob('a/*ft.json'))  # no image is stored


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['m-owodb', 'x'], 'm-owodb needs VOC'),
        (['s-owodb', 'x', '--voc', 'v'], 's-owodb is of COCO alone'),
        (['m-owodb', 'x', '--voc-train', 'v'], 'both --voc-train and'),
    ],
)
def test_sources_that_do_not_fit(files, capsys, arguments, message):
    with pytest.raises(SystemExit):
        build_owod.parse_args([*arguments, *files['coco']])
    assert message in capsys.readouterr().err


def counted(protocol, **changes):
    counts = {
        f't{n}_train': dict(images=k) for n, k in enumerate(TRAIN[protocol], 1)
    }
    counts.update({f't{n}_ft': dict(images=9) for n in (2, 3, 4)})
    counts['t1_test'] = dict(images=4952)
    counts.update({k: dict(images=n) for k, n in changes.items()})
    return counts


def test_published_numbers():
    notes, problems = compare('m-owodb', counted('m-owodb'), COMPLETE)
    assert problems == [] and '1743' in notes[0]
    coco = {k: n for k, n in COMPLETE.items() if k.startswith('coco')}
    wrong = counted('s-owodb', t1_train=89491, t1_test=4951)
    assert compare('s-owodb', wrong, coco)[1] == [
        't1_train has 89,491 images, the published one 89,490',
        't1_test has 4,951 images, the published one 4,952',
    ]


def test_parts_are_not_compared():
    read = {**COMPLETE, 'coco_train': 10}
    few = counted('m-owodb', t2_train=1, t1_train=16550)
    notes, problems = compare('m-owodb', few, read)
    assert problems == ['t1_train has 16,550 images, the published one 16,551']
    assert '10 of 118,287 (coco_train)' in notes[0]


def test_check_ends_the_tool(files, tmp_path, monkeypatch):
    monkeypatch.setattr(build_owod, 'compare', lambda *_: ([], ['too few']))
    run(files, tmp_path / 'out')
    with pytest.raises(SystemExit, match='too few'):
        run(files, tmp_path / 'out', '--check')
