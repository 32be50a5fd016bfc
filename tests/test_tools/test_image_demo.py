"""tools/image_demo.py: which pictures it takes and what it says of them."""

import runpy

import cv2
import numpy as np
import pytest
from mmengine.config import Config

import mmood.det
import mmood.seg
from helpers import ROOT, run_here


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """Function: what the inferencers are asked, which do nothing here."""

    def run(*inputs, options=(), scope='mmdet'):
        asked = []

        class Inferencer:
            def __init__(self, config, **options):
                asked.append(options)

            def __call__(self, images, **options):
                asked.append(dict(options, images=images))
                drawn = [
                    np.full((40, 60, 3), 40 + 20 * len(asked), np.uint8)
                ] * len(images)
                # A segmentor's are in no list if there is but one.
                is_one = scope == 'mmseg' and len(images) == 1
                return dict(visualization=drawn[0] if is_one else drawn)

        monkeypatch.setattr(mmood.det, 'OODDetInferencer', Inferencer)
        monkeypatch.setattr(mmood.seg, 'OODSegInferencer', Inferencer)
        path = tmp_path / 'config.py'
        Config(dict(default_scope=scope)).dump(path)
        run_here(monkeypatch, 'image_demo', *inputs, path, 'c.pth', *options)
        return asked

    return run


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one that is broken, a hidden file of a Mac."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for name in ('c.png', 'a.JPG', 'd.png'):
        cv2.imwrite(str(folder / name), np.zeros((4, 4, 3), np.uint8))
    (folder / 'b.png').write_bytes(b'broken')
    (folder / '._a.JPG').write_bytes(b'\0\5\26\7')
    return folder


def test_it_goes_on_and_names_what_it_left_out(demo, folder, capsys):
    with pytest.warns(UserWarning, match=r'hidden files: \._a.JPG'):
        _, call = demo(folder, options=('--out-dir', 'o', '--batch-size', 2))
    names = ('a.JPG', 'c.png', 'd.png')
    assert call['images'] == [str(folder / name) for name in names]
    assert (call['out_dir'], call['batch_size']) == ('o', 2)
    printed = capsys.readouterr()
    assert 'o/vis, boxes as JSON: o/preds' in printed.out
    assert f'left out, cannot be read: {folder}/b.png' in printed.err


@pytest.mark.filterwarnings('ignore:.*hidden')
def test_options_reach_the_call(demo, folder):
    options = ('--limit', 1, '--ood-threshold', -3, '--score', 'msp')
    _, call = demo(folder, options=(*options, '--score-thr', 0.2))
    assert call['images'] == [str(folder / 'a.JPG')]
    assert (call['ood_threshold'], call['score']) == (-3, 'msp')
    assert call['pred_score_thr'] == 0.2
    made, call = demo(
        folder / 'c.png',
        options=(*options, '--score-range', 0, 1),
        scope='mmseg',
    )
    assert made['score_range'] == [0, 1]
    assert (call['ood_threshold'], call['score']) == (-3, 'msp')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('none', 'none does not exist'),
        ('empty', 'empty has no image'),
        ('images/b.png', 'left out, cannot be read: .*b.png'),
    ],
)
def test_nothing_to_draw(demo, folder, tmp_path, name, message):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SystemExit, match=message):
        demo(tmp_path / name)


def test_a_config_in_yaml_is_data(monkeypatch, folder, tmp_path):
    path = tmp_path / 'config.yaml'
    path.write_text('model: !!python/object/apply:os.getcwd []')
    with pytest.raises(SystemExit, match='tag !!python'):
        run_here(monkeypatch, 'image_demo', folder / 'c.png', path, 'c.pth')


@pytest.mark.parametrize('limit', [0, -1])
def test_a_limit_is_a_number_of_pictures(demo, folder, limit, capsys):
    with pytest.raises(SystemExit):
        demo(folder, options=('--limit', limit))
    assert f'--limit must be 1 or more, got {limit}' in capsys.readouterr().err


def test_errors_are_one_sentence(demo, folder, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError('what is wrong')

    with pytest.raises(SystemExit, match='error: .*no .py, .yaml, .yml or'):
        run_here(monkeypatch, 'image_demo', folder / 'c.png', 'a.txt', 'c.pth')
    monkeypatch.setattr('mmood.launch.is_segmentor', fail)
    with pytest.raises(SystemExit, match='^error: what is wrong$'):
        demo(folder / 'c.png')


@pytest.fixture
def sets(tmp_path):
    """Folders as those of Shapes, with one picture each."""
    folders = []
    for name in ('near', 'far'):
        folder = tmp_path / 'shapes' / name / 'images'
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / '1.png'), np.zeros((4, 4, 3), np.uint8))
        folders.append(folder)
    return folders


def test_each_folder_is_drawn_to_one_of_its_own(demo, sets, tmp_path):
    single = sets[0] / '1.png'
    _, *calls = demo(*sets, single, options=('--out-dir', 'o'))
    assert [call['out_dir'] for call in calls] == [
        'o/near', 'o/far', 'o/pictures',
    ]  # fmt: skip
    assert calls[1]['images'] == [str(sets[1] / '1.png')]
    assert calls[2]['images'] == [str(single)]
    _, call = demo(sets[0], options=('--out-dir', 'o'))
    assert call['out_dir'] == 'o'
    assert call['return_vis'] is False


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_a_sheet_of_all_drawings(demo, sets, tmp_path, scope):
    path = tmp_path / 'sheets' / 'all.png'
    demo(*sets, options=('--sheet', path, '--columns', 1), scope=scope)
    sheet = cv2.imread(str(path))
    tops = [
        np.nonzero((sheet == value).all(-1))[0].min() for value in (80, 100)
    ]
    assert tops[0] + 40 < tops[1]


def test_columns_of_a_sheet(demo, folder, capsys):
    with pytest.raises(SystemExit):
        demo(folder, options=('--columns', 0))
    assert '--columns must be 1 or more, got 0' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('folders', 'names'),
    [
        (['d/near/images', 'd/far/images'], ['near', 'far']),
        (['d/a', 'd/b'], ['a', 'b']),
        (['d/a/x', 'e/a/y'], ['d_a_x', 'e_a_y']),
        (['d/a', 'd/a/b'], ['a', 'b']),
        (['d/a', 'd/a'], ['a', 'a']),
    ],
)
def test_names_that_tell_folders_apart(folders, names):
    tool = runpy.run_path(str(ROOT / 'tools' / 'image_demo.py'))
    assert tool['distinct'](folders) == names
