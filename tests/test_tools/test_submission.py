"""tools/test.py --submission, read as the benchmarks' servers read it."""

import json
import os
import re
import subprocess
import sys

import cv2
import h5py
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from helpers import QUIET, SEGMENTOR, assert_near, run_here, run_script
from mmood.registry import MODELS
from mmood.seg import OODSegInferencer

NAMES = {
    'AnomalyTrack-all': ['cow_0001.jpg', 'validation0000.jpg'],
    'ObstacleTrack-all': ['gravel_bag_3.webp', 'snowstorm1_00_16_02.578.webp'],
}


def picture(seed, size=(64, 96)):
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (15, 15), 4)


@pytest.fixture
def model(shapes, tmp_path, tiny_seg_config):
    """A config's file and a checkpoint, with two scores of logits."""
    more = {'ood.scores': ['energy', 'msp']}
    cfg = tiny_seg_config(SEGMENTOR, shapes, tmp_path / 'work', **more)
    cfg.dump(tmp_path / 'config.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        built = MODELS.build(cfg.model)
    for parameter in built.decode_head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    names = [f'class {i}' for i in range(built.num_classes)]
    meta = dict(dataset_meta=dict(classes=names, palette=None))
    content = dict(state_dict=built.state_dict(), meta=meta)
    torch.save(content, tmp_path / 'model.pth')
    return tmp_path / 'config.py', tmp_path / 'model.pth'


@pytest.fixture
def tracks(tmp_path):
    """Folders of two tracks, images alone: SPLIT -> folder."""
    folders = {}
    for seed, (split, names) in enumerate(NAMES.items()):
        folders[split] = tmp_path / f'dataset_{split.split("-")[0]}'
        (folders[split] / 'images').mkdir(parents=True)
        for i, name in enumerate(names):
            path = folders[split] / 'images' / name
            cv2.imwrite(str(path), picture(10 * seed + i))
    return folders


@pytest.fixture
def submit(model, tracks, tmp_path, monkeypatch):
    """Function: run the tool; submits energy maps of both tracks to `out`."""

    def run(*rest, out=tmp_path / 'out', name='smiyc', method='ours'):
        arguments = [*model, '--work-dir', tmp_path / 'work']
        arguments += ['--out-dir', out, '--submission', name]
        arguments += ['--method', method] if method else []
        if name == 'smiyc' and '--frames' not in rest:
            pairs = [f'{k}={v}' for k, v in tracks.items()]
            arguments += ['--frames', *pairs]
        run_here(monkeypatch, 'test', *arguments, *rest)
        return out

    return run


def frames_of(out, method='ours'):
    """SPLIT/FRAME -> what the kit would read."""
    found = {}
    for path in (out / 'anomaly_p' / method).rglob('*.hdf5'):
        with h5py.File(path, 'r') as file:
            found[f'{path.parent.name}/{path.stem}'] = file['value'][:]
    return found


def test_frames_of_two_tracks(submit, model, tracks):
    out = submit('--score', 'msp')
    found = frames_of(out)
    wanted = {f'{k}/{n.rsplit(".", 1)[0]}' for k in NAMES for n in NAMES[k]}
    assert set(found) == wanted
    inferencer = OODSegInferencer(
        *map(str, model), device='cpu', ood_threshold=0
    )
    for split, folder in tracks.items():
        for path in (folder / 'images').iterdir():
            one = inferencer(str(path), score='msp', ood_threshold=0)
            expected = one['ood_scores']
            value = found[f'{split}/{path.stem}']
            assert value.dtype == np.float16 and value.shape == (64, 96)
            assert value.std() > 1e-3
            assert_near(value.astype(np.float32), expected, 1e-3, 1e-3)
    about = json.loads((out / 'ours.json').read_text())
    assert about['score'] == 'msp' and set(os.listdir(out)) == {
        *('anomaly_p', 'ours.json')
    }


def test_a_stopped_run_goes_on(submit, monkeypatch, capsys):
    seen = []
    write = h5py.File

    def counted(target, mode='r'):
        seen.append(target) if mode == 'w' else None
        return write(target, mode)

    out = submit()
    first = frames_of(out)
    cow = out / 'anomaly_p/ours/AnomalyTrack-all/cow_0001.hdf5'
    bag = out / 'anomaly_p/ours/ObstacleTrack-all/gravel_bag_3.hdf5'
    times = {p: p.stat().st_mtime_ns for p in out.rglob('*.hdf5')}
    cow.unlink()
    bag.write_bytes(bag.read_bytes()[:-200])
    monkeypatch.setattr(h5py, 'File', counted)
    submit()
    assert len(seen) == 2
    kept = {p for p in times if p.stat().st_mtime_ns == times[p]}
    assert set(times) - kept == {cow, bag}
    for name, value in frames_of(out).items():
        assert_near(value.astype(float), first[name].astype(float), atol=2e-3)
    capsys.readouterr()
    monkeypatch.setattr('mmood.launch.build_runner', None)  # nothing to do
    submit()
    assert len(seen) == 2


def test_two_processes_share_the_frames(submit, model, tracks, tmp_path):
    one = frames_of(submit())
    # An odd number, of which a sampler gives one process a frame twice.
    (tracks['ObstacleTrack-all'] / 'images/gravel_bag_3.webp').unlink()
    pairs = [f'{split}={folder}' for split, folder in tracks.items()]
    out = tmp_path / 'two'
    rest = ('--submission', 'smiyc', '--method', 'ours', '--out-dir', out)
    work = ('--work-dir', tmp_path / 'work', '--launcher', 'pytorch')
    arguments = (*model, *work, *rest, '--frames', *pairs)
    output = run_script('tools/test.py', *arguments, ranks=2)
    assert 'submission/frames: 3' in output
    two = frames_of(out)
    assert set(one) - set(two) == {'ObstacleTrack-all/gravel_bag_3'}
    for name, value in two.items():
        assert_near(value.astype(float), one[name].astype(float), atol=2e-3)


def test_frames_of_another_score_are_not_mixed_in(submit, tmp_path, capsys):
    out = submit()
    with pytest.raises(SystemExit):
        submit('--score', 'msp')
    assert 'of another score: choose' in capsys.readouterr().err
    (out / 'ours.json').unlink()
    with pytest.raises(SystemExit):
        submit()
    assert 'which says what they were made with' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('rest', 'options', 'message'),
    [
        ([], dict(name='coco'), "invalid choice: 'coco'"),
        (['--score', 'knn'], {}, "'knn' is not predicted: .*'energy', 'msp'"),
        ([], dict(method='a/b'), "got 'a/b': give --method"),
        ([], dict(method=None), 'got None: give --method'),
        (['--frames', 'Road-all=x'], {}, "split must be .*got 'Road-all'"),
        (['--frames', 'AnomalyTrack-all'], {}, 'is not SPLIT=FOLDER'),
        (['--frames'], {}, 'expected at least one argument'),
        (['--results', 'boxes'], {}, 'has no boxes'),
        (['--frames', 'a=b'], dict(name='fishyscapes'), 'is for .* smiyc'),
        (['--score', 'x'], dict(name='fishyscapes'), "'x' is not predicted"),
        ([], dict(name='fishyscapes', method='../a'), "got '../a'"),
    ],
)
def test_arguments_that_do_not_fit(submit, capsys, rest, options, message):
    with pytest.raises(SystemExit):
        submit(*rest, **options)
    assert re.search(message, capsys.readouterr().err)


def test_they_are_for_submissions_of_segmentors(config_of, capsys):
    for scope, options, message in (
        ('mmseg', ['--method', 'a'], '--score and --frames are for --subm'),
        ('mmdet', ['--submission', 'smiyc'], '--submission is for segmentors'),
        ('mmseg', ['--submission', 'smiyc'], 'needs --out-dir'),
    ):
        with pytest.raises(SystemExit):
            config_of('test', dict(default_scope=scope), 'a.pth', *options)
        assert message in capsys.readouterr().err


def test_missing_frames_are_an_error(submit, tmp_path):
    with pytest.raises(SystemExit, match='^error: .*nowhere/images'):
        submit('--frames', f'AnomalyTrack-all={tmp_path}/nowhere')


# Calls the folder's function, then runs its script as the container does.
ALONE = """
import runpy
import sys

import numpy as np

import mmood
import run

picture, found, inputs, outputs = sys.argv[1:]
image = np.load(picture)
before = image.copy()
np.save(found, run.anomaly_score(image))
assert (image == before).all()
sys.argv = ['run.py', '--input', inputs, '--output', outputs]
runpy.run_path('run.py', run_name='__main__')
print(mmood.__file__)
"""


def alone(folder, script, *arguments):
    """What Python prints that has nothing but that folder's code."""
    (folder / 'script.py').write_text(script)
    keep = ('PATH', 'HOME', 'LANG', 'OMP_NUM_THREADS')
    env = {key: os.environ[key] for key in keep if key in os.environ}
    result = subprocess.run(
        [sys.executable, 'script.py', *map(str, arguments)],
        cwd=folder,
        env={**QUIET, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


def test_a_folder_for_fishyscapes(submit, model, tmp_path, capsys):
    out = submit('--score', 'msp', name='fishyscapes')
    assert capsys.readouterr().out.strip().endswith(str(out / 'ours'))
    folder = tmp_path / 'container'
    (out / 'ours').rename(folder)
    copy = (folder / 'checkpoint.pth').read_bytes()
    assert copy == model[1].read_bytes()
    inferencer = OODSegInferencer(
        *map(str, model), device='cpu', ood_threshold=0
    )
    for path in model:  # what it was made of is gone
        path.rename(path.with_suffix('.gone'))

    def expected(picture):
        """Of an RGB picture."""
        bgr = picture[..., ::-1].copy()
        found = inferencer(bgr, score='msp', ood_threshold=0)
        return found['ood_scores'], found['predictions']

    image = picture(0, (70, 90))
    inputs, outputs = tmp_path / 'input', tmp_path / 'output'
    inputs.mkdir()
    names = {'0010': '0010_b.png', '0002': '0002_04_Maurener_Weg_8_rgb.png'}
    pictures = {key: picture(seed) for seed, key in enumerate(names)}
    for key, name in names.items():
        cv2.imwrite(str(inputs / name), pictures[key][..., ::-1])
    np.save(tmp_path / 'image.npy', image)
    paths = (tmp_path / 'image.npy', tmp_path / 'score.npy', inputs, outputs)
    printed = alone(folder, ALONE, *paths).splitlines()
    assert f'maps of 2 pictures are in {outputs}' in printed
    assert printed[-1] == str(folder / 'mmood/__init__.py')

    score = np.load(tmp_path / 'score.npy')
    assert score.dtype == np.float32 and score.shape == (70, 90)
    assert_near(score, expected(image)[0])
    # RGB is not BGR.
    assert abs(score - expected(image[..., ::-1])[0]).max() > 1e-3
    check_server(outputs, {k: expected(pictures[k]) for k in names})


def check_server(outputs, expected):
    """Read the folder as the server's evaluation does."""
    numbers = sorted(expected)
    assert len(list(outputs.iterdir())) == 2 * len(numbers)
    for i, ending in enumerate(('_anomaly.npy', '_segmentation.npy')):
        files = [p for p in outputs.iterdir() if p.name.endswith(ending)]
        files.sort(key=lambda path: int(path.name.split('_')[0]))
        assert [p.name[:4] for p in files] == numbers
        for number, path in zip(numbers, files):
            value = np.load(path)
            assert value.shape == (64, 96)
            if ending == '_anomaly.npy':
                assert_near(value, expected[number][i])
            else:
                assert np.issubdtype(value.dtype, np.integer)
                assert (value == expected[number][i]).mean() > 0.999


def test_a_folder_is_not_written_over(submit, tmp_path):
    out = tmp_path / 'out'
    (out / 'ours').mkdir(parents=True)
    with pytest.raises(SystemExit, match='^error: .*is there already'):
        submit(name='fishyscapes')
    assert os.listdir(out) == ['ours'] and not os.listdir(out / 'ours')


def test_a_model_that_does_not_run_leaves_nothing(submit, model, tmp_path):
    cfg = Config.fromfile(model[0])
    cfg.model.scores = ['energy', 'mahalanobis']
    cfg.dump(model[0])
    with pytest.raises(SystemExit, match='^error: .*not fitted'):
        submit('--score', 'mahalanobis', name='fishyscapes')
    assert not os.listdir(tmp_path / 'out')
