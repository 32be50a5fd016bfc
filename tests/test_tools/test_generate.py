"""Dream-Box's tool in processes of its own: killed, short of disk, ranks."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from pycocotools.coco import COCO

from helpers import ROOT, run_here, run_script, write_coco
from job_helpers import content
from mmood.generation.settings import Settings
from mmood.ops import lock_folder
from processes import start_script

TOOL = ROOT / 'tools/dream_box/generate.py'
CONFIGS = ROOT / 'configs/dream_box/generation'
BOXES = [[[2, 3, 20, 22], [15, 20, 30, 25]], [[10, 4, 25, 30]]]


@pytest.fixture
def data(tmp_path):
    """40 images, two of noise that compresses badly."""
    folder = tmp_path / 'data'
    write_coco(folder, BOXES * 20, ['dining table', 'cat'])
    for i in set(range(1, 41)) - {10, 20}:
        flat = np.full((48, 48, 3), 5 * i, np.uint8)
        cv2.imwrite(str(folder / f'{i}.png'), flat)
    return folder


def arguments(data, out, *options, config='shapes'):
    """Arguments for the Shapes config, turned to other images."""
    return [
        *('--config', CONFIGS / f'{config}.py', '--out', out),
        *('--cfg-options', f'data.ann_file={data}/ann.json'),
        *(f'data.img_root={data}', 'min_area=100', *options),
    ]


@pytest.fixture
def whole(data, tmp_path, monkeypatch):
    """What a run that nobody disturbed leaves."""
    out = tmp_path / 'whole'
    run_here(monkeypatch, 'dream_box/generate', *arguments(data, out))
    found = content(out)
    assert sum(path.suffix == '.png' for path in found) == 40 + 1
    return found


@contextmanager
def files_up_to(size: int):
    """No file gets larger, as on a disk without space."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def refused(monkeypatch, *options):
    with pytest.raises(SystemExit) as error:
        run_here(monkeypatch, 'dream_box/generate', *options)
    return str(error.value)


def test_killed_and_started_again(data, whole, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    (process,) = start_script(os.devnull, ROOT, TOOL, *arguments(data, out))
    end = time.time() + 120
    while len(list(out.glob('records/*.json'))) < 3:
        assert process.is_alive() and time.time() < end
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (out / 'annotations.json').exists()
    for path in out.glob('images/*.png'):
        assert cv2.imread(str(path)).shape == (48, 48, 3)
    run_here(monkeypatch, 'dream_box/generate', *arguments(data, out))
    assert content(out) == whole


def test_two_ranks_paint_what_one_paints(data, whole, tmp_path):
    out = tmp_path / 'out'
    text = run_script(TOOL, *arguments(data, out), ranks=2)
    assert content(out) == whole
    assert text.count('images: 40 painted') == 1
    assert ' 20/20 ' in text and '<00:00' in text  # with the time left


def test_out_of_disk(data, whole, tmp_path, monkeypatch):
    """A limit of the files' size that two pictures go beyond."""
    out = tmp_path / 'out'
    sizes = sorted(len(v) for k, v in whole.items() if k.parts[0] == 'images')
    assert sizes[-3] < sizes[-2]
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)
    with files_up_to(sizes[-3]):
        text = refused(monkeypatch, *arguments(data, out))
    assert f'error: cannot write {out}/images/' in text
    assert 'File too large; make room or set the rights. What is' in text
    assert 'Traceback' not in text
    done = content(out)
    assert 3 < len(done) < len(whole)
    assert all(value == whole[path] for path, value in done.items())
    assert not (out / 'annotations.json').exists()
    run_here(monkeypatch, 'dream_box/generate', *arguments(data, out))
    assert content(out) == whole


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['std=0.5'], '--cfg-options: std is no setting; there are data, '),
        (['data.ann_file=no.json'], 'there is no file no.json'),
        (['attempts=0'], 'attempts must be a number >= 1, got 0'),
        (['min_area=9999'], 'no object to paint (skipped: 60 small)'),
        (['painter.swaps=[]'], 'swaps must be'),
    ],
)
def test_settings_that_cannot_work(
    data, tmp_path, monkeypatch, options, message
):
    out = tmp_path / 'out'
    text = refused(monkeypatch, *arguments(data, out, *options))
    assert text.startswith('error: ') and message in text
    assert not out.exists()


def test_options_of_the_command_line(data, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    options = arguments(data, out)
    few = ('--num-images', 3, '--seed', 5)
    run_here(monkeypatch, 'dream_box/generate', *few, *options)
    assert 'images: 3 painted' in capsys.readouterr().out
    settings = json.loads((out / 'settings.json').read_text())
    assert (settings['num_images'], settings['seed']) == (3, 5)
    assert settings['painter']['type'] == 'mmood.ProceduralPainter'
    text = refused(monkeypatch, *options)
    assert 'other settings: seed: 5 there, 0 now. Give another' in text


def test_all_images_missing(data, tmp_path, monkeypatch, capsys):
    options = arguments(data, tmp_path / 'out', 'data.img_root=nowhere')
    text = refused(monkeypatch, '--num-images', 2, *options)
    assert 'none of the 2 images could be read: check data.img_root' in text
    printed = capsys.readouterr().out
    assert 'failed images (2):\n  nowhere/' in printed


@pytest.mark.parametrize('name', ['shapes', 'voc_generic', 'voc_embeddings'])
def test_configs_are_settings(name):
    config = Config.fromfile(CONFIGS / f'{name}.py').to_dict()
    found = Settings.from_config(config)
    if name == 'shapes':
        assert found.painter['type'] == 'mmood.ProceduralPainter'
        assert (found.min_area, found.num_images) == (200, None)
        return
    assert found.painter['type'] == 'mmood.DiffusersPainter'
    assert (found.min_area, found.num_images) == (2000, 5000)
    generic = dict(type='mmood.GenericPrompts')
    shifted = dict(type='mmood.ClassEmbeddings', std=0.1)
    wanted = (20, generic) if name == 'voc_generic' else (12, shifted)
    prompts = found.painter['prompts']
    assert (found.painter['guidance'], prompts) == wanted


def test_diffusion_from_a_folder(data, tmp_path, monkeypatch):
    pipelines = pytest.importorskip('tiny_pipelines')
    model = pipelines.save_inpainting(tmp_path / 'model')
    out = tmp_path / 'out'
    options = (
        f'painter.model={model}', 'painter.download=False',
        'painter.steps=2', 'painter.device=cpu', 'seed=1', 'num_images=2',
    )  # fmt: skip
    tiny = arguments(data, out, *options, config='voc_embeddings')
    run_here(monkeypatch, 'dream_box/generate', *tiny)
    coco = COCO(str(out / 'annotations.json'))
    assert len(coco.getImgIds()) == 2
    for annotation in coco.loadAnns(coco.getAnnIds()):
        assert annotation['ood'] == 1
        provenance = annotation['provenance']
        assert provenance['painter'] == str(model)
        assert provenance['label'] == 'dining table'
        assert provenance['std'] == 0.1
        assert len(provenance['tokens']) == 3
        image = coco.loadImgs(annotation['image_id'])[0]
        before = cv2.imread(str(data / image['source']))
        after = cv2.imread(str(out / image['file_name']))
        x, y, w, h = annotation['bbox']
        part = np.s_[y : y + h, x : x + w]
        assert (before[part] != after[part]).any(2).mean() > 0.9
    text = refused(monkeypatch, *tiny, 'painter.guidance=3')
    assert 'painter.guidance: 12 there, 3 now' in text


def test_a_second_run_in_the_folder_is_refused(data, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    with lock_folder(out):
        text = refused(monkeypatch, *arguments(data, out))
    assert text.startswith(f'error: {out} is in use by process {os.getpid()} ')
    assert {path.name for path in out.iterdir()} == {'.mmood-lock'}


def test_yaml_is_data(data, tmp_path, monkeypatch):
    config = tmp_path / 'a.yaml'
    config.write_text('painter: !!python/object/apply:os.getcwd []')
    options = ('--config', config, '--out', tmp_path / 'out')
    text = refused(monkeypatch, *options)
    assert text.startswith(f'error: {config}: line 1: the tag !!python/obj')
