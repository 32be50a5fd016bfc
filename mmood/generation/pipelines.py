"""Loading inpainting pipelines of diffusers."""

from __future__ import annotations

import logging
import os
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.utils import digit_version

from mmood.ops import read_json
from mmood.ops.coco_records import shorten

DTYPES = {
    'fp16': torch.float16,
    'bf16': torch.bfloat16,
    'fp32': torch.float32,
}
OLDEST = '0.35'  # of diffusers; up to 0.30 pickles were read, asked or not
# What the painter works with; a pipeline with more to ask for is refused.
_NEEDED = ('vae', 'unet', 'tokenizer', 'text_encoder', 'scheduler')
_MORE = (
    'tokenizer_2',
    'text_encoder_2',
    'safety_checker',
    'feature_extractor',
    'image_encoder',
)
_UNSAFE = {'.bin', '.ckpt', '.pt', '.pth', '.pkl', '.msgpack', '.h5'}


def pick_device(device: str | None) -> torch.device:
    """The device of that name; None: the GPU of this rank, or the CPU.

    Ranks beyond the number of GPUs share them. Raises ValueError for a GPU
    where there is none.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device is None:
        if not gpus:
            return torch.device('cpu')
        return torch.device('cuda', int(os.getenv('LOCAL_RANK', 0)) % gpus)
    place = torch.device(device)
    if place.type == 'cuda' and (place.index or 0) >= gpus:
        raise ValueError(
            f'device {device!r} is not there, PyTorch sees {gpus} GPUs; '
            "give device='cpu', or None for what there is"
        )
    return place


def pick_dtype(dtype: str, device: torch.device) -> str:
    """A name of `DTYPES`; ``'auto'`` is fp16 on a CUDA GPU, else fp32.

    Warns where fp16 is asked for on the CPU, which has to be fp32. Raises
    ValueError for an unknown name.
    """
    if dtype == 'auto':
        return 'fp16' if device.type == 'cuda' else 'fp32'
    if dtype not in DTYPES:
        raise ValueError(
            f"dtype must be 'auto' or one of {list(DTYPES)}, got {dtype!r}"
        )
    if dtype == 'fp16' and device.type == 'cpu':
        warnings.warn(
            "dtype='fp16' needs a GPU, but the painter runs on the CPU: it "
            'goes on in fp32',
            stacklevel=3,
        )
        return 'fp32'
    return dtype


def load_pipeline(
    model: str,
    dtype: str = 'fp32',
    download: bool = False,
    variant: str | None = None,
):
    """The inpainting pipeline of a folder, or of an id on the hub.

    It has a U-Net and CLIP text encoders, as Stable Diffusion 1, 2 and XL
    have, and is on the CPU. Nothing is fetched unless ``download``; weights
    are read from safetensors only, and code that comes with them is refused.

    Raises ValueError for any other model, and for one that is not there or
    cannot be read; ImportError without diffusers.
    """
    loader = _import_loader()
    folder = Path(model).expanduser()
    if not folder.is_dir():
        find = _download if download else _cached
        folder = find(model, variant)
    _check_folder(model, folder)
    try:
        pipe = loader.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            variant=variant,
            # It takes accelerate, whose lack diffusers would complain of.
            low_cpu_mem_usage=find_spec('accelerate') is not None,
            **{_dtype_key(): DTYPES[dtype]},
        )
    except Exception as error:
        raise ValueError(
            f'model {model!r} cannot be loaded, a file may be missing or '
            f'broken: {error}. Give another one, or set download=True to '
            'complete one from the hub'
        ) from error
    # XL marks its pictures if a package is installed that can; a detector
    # might learn the mark in place of the object.
    pipe.watermark = None
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _import_loader():
    remedy = "pip install 'mmood[generation]'"
    try:
        import transformers  # noqa: F401
        from diffusers import DiffusionPipeline, __version__
    except ImportError as error:
        raise ImportError(
            'DiffusersPainter needs the packages diffusers and transformers: '
            + remedy
        ) from error
    if digit_version(__version__) < digit_version(OLDEST):
        raise ImportError(
            f'DiffusersPainter needs diffusers >= {OLDEST}, got {__version__}'
            f', which may read pickled weights: {remedy}'
        )
    logging.getLogger('diffusers.models.modeling_utils').addFilter(_is_news)
    return DiffusionPipeline


def _is_news(record: logging.LogRecord) -> bool:
    """Not that XL's autoencoder is cast, which is said for each picture."""
    return 'kept in float32: []' not in record.getMessage()


def _dtype_key() -> str:
    """What `from_pretrained` calls the type: the older name warns now."""
    from diffusers import __version__

    newer = digit_version(__version__) >= digit_version('0.41')
    return 'dtype' if newer else 'torch_dtype'


def _cached(model: str, variant: str | None) -> Path:
    """Where a hub id lies in the local cache, without a look at the net."""
    from huggingface_hub import try_to_load_from_cache

    try:
        path = try_to_load_from_cache(model, 'model_index.json')
    except ValueError:
        path = None  # not even an id
    if not isinstance(path, str):
        raise ValueError(
            f'model {model!r} is no folder, and is not in the local cache of '
            'the hub; give a folder, or set download=True'
        )
    return Path(path).parent


def _download(model: str, variant: str | None) -> Path:
    """Where a hub id lies after what is missing of it was fetched."""
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(model, 'model_index.json')
        # Before gigabytes of the wrong thing come.
        _check_index(model, Path(path))
        return Path(
            DiffusionPipeline.download(
                model, use_safetensors=True, variant=variant
            )
        )
    except OSError as error:
        raise ValueError(
            f'model {model!r} is no folder, and could not be fetched from '
            f'the hub; is there a network, and such a pipeline? {error}'
        ) from error


def _check_folder(model: str, folder: Path) -> None:
    """Raise ValueError unless it holds an inpainting pipeline, safely."""
    path = folder / 'model_index.json'
    if not path.is_file():
        raise ValueError(
            f'model {model!r} is a folder without model_index.json; give the '
            'folder of a pipeline, as save_pretrained of diffusers writes it'
        )
    for part in _check_index(model, path):
        kinds = {file.suffix for file in (folder / part).glob('*')}
        if kinds & _UNSAFE and '.safetensors' not in kinds:
            raise ValueError(
                f'model {model!r} has the weights of its {part} in pickles '
                f'only ({", ".join(sorted(kinds & _UNSAFE))}), which can run '
                'any code and are not read; give one with safetensors'
            )


def _check_index(model: str, path: Path) -> list[str]:
    """The names of the pipeline's parts, if it is of a kind that will do."""
    index = read_json(path)
    if not isinstance(index, dict):
        raise ValueError(f'{path} must hold a dict, got {shorten(index)}')
    kind = index.get('_class_name')
    if not isinstance(kind, str) or 'Inpaint' not in kind:
        raise ValueError(
            f'model {model!r} is a {kind}, no inpainting pipeline; give one '
            'such as Stable Diffusion (1, 2 or XL) inpainting'
        )
    parts = {
        name: value[0]
        for name, value in index.items()
        if not name.startswith('_')
        and isinstance(value, list)
        and value[:1] not in ([], [None])
    }
    missing = [name for name in _NEEDED if name not in parts]
    further = [name for name in parts if name not in _NEEDED + _MORE]
    if missing or further:
        raise ValueError(
            f'model {model!r} is a {kind}, which lacks {missing} and has '
            f'{further}; give one with the parts of Stable Diffusion (1, 2 '
            'or XL) inpainting'
        )
    _check_code(model, parts)
    return list(parts)


def _check_code(model: str, parts: dict[str, str]) -> None:
    import diffusers

    for name, package in parts.items():
        known = package in ('diffusers', 'transformers')
        if not known and not hasattr(diffusers.pipelines, str(package)):
            raise ValueError(
                f'model {model!r} brings code of its own for its {name} '
                f'({package}), which is not run; give one without'
            )
