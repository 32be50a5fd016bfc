"""Which pipelines are taken, from where, and what is refused."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import tiny_pipelines
from helpers import ROOT, run
from mmood.generation.pipelines import load_pipeline, pick_device, pick_dtype

CPU, GPU = torch.device('cpu'), torch.device('cuda', 0)


@pytest.fixture(scope='module')
def saved(tmp_path_factory) -> Path:
    return tiny_pipelines.save_inpainting(tmp_path_factory.mktemp('saved'))


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(saved, tmp_path / 'pipe')


def edit_index(folder, **values):
    path = folder / 'model_index.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refusal(model, **options):
    with pytest.raises(ValueError) as error:
        load_pipeline(str(model), **options)
    message = str(error.value)
    assert repr(str(model)) in message
    return message


@pytest.mark.parametrize('dtype', ['fp32', 'bf16'])
def test_loads_the_weights_of_a_folder(saved, dtype):
    pipe = load_pipeline(str(saved), dtype)
    stored = load_file(saved / 'unet/diffusion_pytorch_model.safetensors')
    loaded = pipe.unet.state_dict()
    assert stored.keys() == loaded.keys()
    expected = {'fp32': torch.float32, 'bf16': torch.bfloat16}[dtype]
    for name, values in stored.items():
        assert torch.equal(loaded[name], values.to(expected)), name
    assert pipe.text_encoder.dtype == pipe.vae.dtype == expected
    assert pipe.watermark is None


def test_refuses_a_pipeline_that_cannot_inpaint(tmp_path):
    message = refusal(tiny_pipelines.save_text_to_image(tmp_path))
    assert 'is a StableDiffusionPipeline, no inpainting' in message
    assert 'give one such as Stable Diffusion' in message


def test_refuses_a_folder_that_is_no_pipeline(folder):
    message = refusal(folder / 'unet')
    assert 'without model_index.json' in message
    assert 'save_pretrained' in message


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"_class_name": ', 'is not valid JSON'),
        ('[3]', r'must hold a dict, got \[3\]'),
        ('[' * 99999, 'is nested too deeply'),
        ('{"_class_name": "AInpaint", "": [], "unet": []}', 'lacks .*unet'),
    ],
)
def test_refuses_a_broken_index(folder, text, message):
    (folder / 'model_index.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        load_pipeline(str(folder))


def test_refuses_other_parts(folder):
    edit_index(
        folder, unet=[None, None], transformer=['diffusers', 'Flux'], _note=[1]
    )
    message = refusal(folder)
    assert "lacks ['unet'] and has ['transformer']" in message


@pytest.mark.parametrize('part', ['unet', 'text_encoder'])
def test_refuses_pickled_weights(folder, part):
    for path in (folder / part).glob('*.safetensors'):
        # Valid weights: only the way they are stored is in the way.
        name = path.name.replace('model.safetensors', 'pytorch_model.bin')
        torch.save(load_file(path), path.with_name(name))
        torch.save(load_file(path), path.with_suffix('.bin'))
        path.unlink()
    message = refusal(folder)
    assert f'weights of its {part} in pickles only (.bin)' in message
    assert 'safetensors' in message


def test_pickles_beside_safetensors_are_not_read(folder):
    expected = load_pipeline(str(folder)).unet.conv_in.weight
    for part in ('unet', 'text_encoder'):
        for path in (folder / part).glob('*.safetensors'):
            path.with_suffix('.bin').write_bytes(b'no pickle')
    loaded = load_pipeline(str(folder)).unet.conv_in.weight
    assert torch.equal(loaded, expected)


@pytest.mark.parametrize(
    'values, expected',
    [
        (dict(unet=['my_code', 'Net']), 'code of its own for its unet'),
        (dict(_class_name=['my_code', 'Inpaint']), 'no inpainting pipeline'),
    ],
)
def test_runs_no_code_of_the_folder(folder, values, expected):
    ran = folder / 'ran'
    code = f'open({str(ran)!r}, "w"); Net = Inpaint = None'
    for place in (folder, folder / 'unet'):
        (place / 'my_code.py').write_text(code)
    edit_index(folder, **values)
    assert expected in refusal(folder)
    assert not ran.exists()


@pytest.mark.parametrize('part', ['unet', 'vae', 'text_encoder'])
def test_says_which_file_is_missing_or_broken(folder, part):
    path = next((folder / part).glob('*.safetensors'))
    path.write_bytes(path.read_bytes()[:-40])
    assert 'cannot be loaded, a file may be missing or' in refusal(folder)
    path.unlink()
    message = refusal(folder)
    assert 'cannot be loaded' in message and 'safetensors' in message


def test_refuses_a_variant_that_is_not_there(folder):
    assert 'variant=fp16' in refusal(folder, variant='fp16')


def test_loads_a_variant(folder):
    for path in folder.glob('*/*model.safetensors'):
        path.rename(path.with_name(f'{path.stem}.fp16.safetensors'))
    pipe = load_pipeline(str(folder), variant='fp16')
    assert pipe.unet.dtype == torch.float32
    assert 'no file named' in refusal(folder)


@pytest.mark.parametrize('model', ['/not/there', 'not/in-cache', 'a b'])
def test_refuses_what_is_not_there(model):
    message = refusal(model)
    assert 'is no folder, and is not in the local cache' in message
    assert 'give a folder, or set download=True' in message


def hub(monkeypatch, index, fetch):
    """Stand-ins for what fetches the index and the rest of an id."""
    monkeypatch.setattr('huggingface_hub.hf_hub_download', index)
    monkeypatch.setattr('diffusers.DiffusionPipeline.download', fetch)


def test_downloads_if_told_to(folder, monkeypatch):
    asked = []

    def fetch(*arguments, **options):
        asked.append((arguments, options))
        return str(folder)

    hub(monkeypatch, lambda *_: str(folder / 'model_index.json'), fetch)
    pipe = load_pipeline('me/tiny', download=True)
    assert pipe.unet.config.in_channels == 9
    options = dict(use_safetensors=True, variant=None)
    assert asked == [(('me/tiny',), options)]


def test_downloads_no_weights_of_the_wrong_kind(folder, monkeypatch):
    edit_index(folder, _class_name='FluxPipeline')
    index = str(folder / 'model_index.json')
    hub(monkeypatch, lambda *_: index, lambda *_, **__: pytest.fail())
    assert 'is a FluxPipeline' in refusal('me/tiny', download=True)


def test_says_why_a_download_failed(monkeypatch):
    def unreachable(*_):
        raise ConnectionError('no route')

    hub(monkeypatch, unreachable, None)
    message = refusal('me/tiny', download=True)
    assert 'could not be fetched' in message and 'no route' in message


def test_says_how_to_get_diffusers(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, 'diffusers', None)
    message = r"diffusers and transformers: pip install 'mmood\[generation\]'"
    with pytest.raises(ImportError, match=message):
        load_pipeline(str(saved))


def test_refuses_a_diffusers_that_reads_pickles(saved, monkeypatch):
    monkeypatch.setattr('diffusers.__version__', '0.30.3')
    message = r'diffusers >= 0.35, got 0.30.3.*mmood\[generation\]'
    with pytest.raises(ImportError, match=message):
        load_pipeline(str(saved))


OFFLINE = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit('tried to reach a network: %s' % (args,))
socket.getaddrinfo = socket.socket.connect = refuse
import mmood.generation
import mmood.generation.diffusers_painter as painter
# MMEngine's runner imports transformers itself, where it is installed.
assert not {'diffusers', 'torchmetrics'} & set(sys.modules)
import numpy as np
crop, mask = np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), bool)
prompts = painter.PAINTERS.module_dict['ClassEmbeddings'](1)
pictures = []
for model in sys.argv[1:3]:
    made = painter.DiffusersPainter(model, prompts, steps=2)
    pictures.append(made.paint(crop, mask, 'cat', 0).image)
assert (pictures[0] == pictures[1]).all()
try:
    painter.DiffusersPainter('nobody/has-this', prompts)
except ValueError as error:
    print(error)
print('done')
"""


def test_needs_no_network_for_folders_and_the_local_cache(saved, tmp_path):
    repository = tmp_path / 'hub' / 'models--me--tiny'
    shutil.copytree(saved, repository / 'snapshots' / 'abc')
    (repository / 'refs').mkdir()
    (repository / 'refs' / 'main').write_text('abc')
    # An empty value is as good as none.
    offline = {f'{name}_OFFLINE': '' for name in ('HF_HUB', 'TRANSFORMERS')}
    path = os.pathsep.join([str(ROOT), os.getenv('PYTHONPATH', '')])
    output = run(
        *(sys.executable, '-c', OFFLINE, saved, 'me/tiny'),
        HF_HOME=str(tmp_path),
        PYTHONPATH=path,
        **offline,
    )
    assert 'set download=True' in output
    assert output.rstrip().endswith('done')


def test_auto_device_is_this_ranks(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    assert pick_device(None) == GPU
    for rank, place in [(0, 0), (3, 3), (5, 1)]:
        monkeypatch.setenv('LOCAL_RANK', str(rank))
        assert pick_device(None) == torch.device('cuda', place)
    assert pick_device('cuda:2') == torch.device('cuda', 2)
    assert pick_device('cpu') == CPU
    with pytest.raises(ValueError, match="'cuda:4' is not there.* 4 GPUs"):
        pick_device('cuda:4')


def test_devices_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert pick_device(None) == CPU
    with pytest.raises(ValueError, match="sees 0 GPUs.*device='cpu'"):
        pick_device('cuda')


def test_dtypes(recwarn):
    for name in ('auto', 'fp16', 'bf16', 'fp32'):
        assert pick_dtype(name, GPU) == name.replace('auto', 'fp16')
    for name in ('auto', 'bf16', 'fp32'):
        assert pick_dtype(name, CPU) == name.replace('auto', 'fp32')
    assert not recwarn
    with pytest.warns(UserWarning, match='needs a GPU.*goes on in fp32'):
        assert pick_dtype('fp16', CPU) == 'fp32'
    with pytest.raises(ValueError, match="'fp16', .*got 'half'"):
        pick_dtype('half', CPU)
