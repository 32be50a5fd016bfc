"""A folder that Fishyscapes' container is made of.

The server runs a container that reads ``/input/DDDD_*.png`` and writes
``/output/DDDD_anomaly.npy`` and ``/output/DDDD_segmentation.npy``.
Source: Blum et al., "The Fishyscapes Benchmark", IJCV 2021, and the
submission page of its site.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from importlib import import_module, metadata
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmseg.datasets import CityscapesDataset

import mmood
from mmood.families import short_name, type_name
from mmood.launch import for_first_set
from mmood.ops import NotWrittenError, file_sha256, write_json

from . import run
from .names import check_method, check_score
from .pipeline import without_labels

# By the names of their distributions, of either family; of those that are
# not installed the first.
REQUIRED = (
    *(('torch',), ('numpy',), ('mmengine', 'onedl-mmengine')),
    *(('mmcv', 'onedl-mmcv'), ('mmdet', 'onedl-mmdetection')),
    *(('mmsegmentation', 'onedl-mmsegmentation'), ('ftfy',), ('regex',)),
    *(('Pillow',), ('PyYAML',), ('filelock',), ('matplotlib',)),
    *(('opencv-python', 'opencv-python-headless'), ('pycocotools',)),
    *(('rich',), ('scikit-learn',), ('scipy',), ('tabulate',), ('tqdm',)),
)
# Modules of packages that some models need, and their distributions.
OPTIONAL = dict(timm='timm', faiss='faiss-cpu', FrEIA='FrEIA')
_CONTAINER = """\
# apptainer build {method}.simg container.def, in this folder.
Bootstrap: docker
From: python:{python}

%files
    . /submission

%post
    apt-get update && apt-get install -y libgl1
    pip install "setuptools<80.9" wheel ninja {torch}
    pip install --no-build-isolation -r /submission/requirements.txt
    chmod -R a+rX /submission

%runscript
    exec python /submission/run.py
"""
_SIZE = (64, 128)  # of the picture that is tried


def write_package(
    cfg: Config,
    checkpoint: str,
    out_dir: str,
    *,
    method: str,
    score: str | None = None,
) -> Path:
    """Write ``out_dir/METHOD``, which runs by itself, and return it.

    It has ``run.py`` (`mmood.seg.submission.run`), ``requirements.txt`` with
    the installed versions, ``container.def`` for Apptainer, the config of
    model and pipeline, the checkpoint, ``submission.json`` and the source of
    mmood and of modules of the config's ``custom_imports`` that are not
    installed packages. Before the folder is in its place, a grey picture is
    run in it. Logs a warning if the classes are not those of Cityscapes.

    Raises ValueError for a name or score that cannot be and for a model that
    does not run, NotFittedError for a score that is not fitted,
    NotWrittenError if the folder is there already.
    """
    target = Path(out_dir, check_method(method))
    score = check_score(cfg, score)
    if target.exists():
        raise NotWrittenError(
            f'{target} is there already: remove it or choose another --method'
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f'.{method}-', dir=target.parent
    ) as parent:
        folder = Path(parent, method)
        folder.mkdir()
        for module in _own_modules(cfg):
            _copy(module, folder)
        shutil.copyfile(run.__file__, folder / 'run.py')
        shutil.copyfile(checkpoint, folder / 'checkpoint.pth')
        portable(cfg).dump(folder / 'config.py')
        about = dict(
            method=method,
            score=score,
            checkpoint=file_sha256(checkpoint),
            mmood=mmood.__version__,
        )
        write_json(folder / 'submission.json', about, indent=1)
        _try(folder)
        pinned = requirements()
        (folder / 'requirements.txt').write_text('\n'.join([*pinned, '']))
        (folder / 'container.def').write_text(
            _CONTAINER.format(
                method=method,
                python=f'{sys.version_info.major}.{sys.version_info.minor}',
                torch=pinned[0],
            )
        )
        folder.replace(target)
    return target


def portable(cfg: Config) -> Config:
    """What inference needs of a config, without caches of outputs."""
    plain = for_first_set(cfg)
    first = plain.test_dataloader.dataset
    model = plain.model.to_dict()
    _forget_caches(model)
    content = dict(
        default_scope='mmseg',
        model=model,
        test_dataloader=dict(
            dataset=dict(
                type=type_name(first),
                pipeline=without_labels(first.pipeline),
            )
        ),
    )
    if plain.get('custom_imports'):
        content['custom_imports'] = plain.custom_imports
    return Config(content)


def _forget_caches(part: object) -> None:
    """The container's file system is not to be written to."""
    if isinstance(part, dict):
        if short_name(part) == 'FrozenBackbone':
            part['cache'] = None
        part = list(part.values())
    for one in part if isinstance(part, (list, tuple)) else ():
        _forget_caches(one)


def _own_modules(cfg: Config) -> list[Path]:
    """Files and folders of modules that no index has."""
    names = (cfg.get('custom_imports') or {}).get('imports') or ()
    names = [names] if isinstance(names, str) else names
    found = [Path(mmood.__file__).parent]
    for top in sorted({name.partition('.')[0] for name in names} - {'mmood'}):
        module = import_module(top)
        paths = getattr(module, '__path__', None) or [module.__file__]
        path = Path(next(iter(paths)))
        if not {'site-packages', 'dist-packages'} & set(path.parts):
            found.append(path)
    return found


def _copy(source: Path, folder: Path) -> None:
    if source.is_file():
        shutil.copyfile(source, folder / source.name)
        return
    ignored = shutil.ignore_patterns('__pycache__', '*.pyc', '.*')
    shutil.copytree(source, folder / source.name, ignore=ignored)


def _try(folder: Path) -> None:
    """Run a grey picture; warn if the classes are others than the server's."""
    method = run.Method(folder, 'cpu')
    method.predict(np.full((*_SIZE, 3), 128, np.uint8))
    classes = tuple(method.classes)
    if classes != CityscapesDataset.METAINFO['classes']:
        MMLogger.get_current_instance().warning(
            f'the classes are {list(classes)}, and not those of Cityscapes in '
            'its order: the mIoU that Fishyscapes measures means nothing'
        )


def requirements() -> list[str]:
    """``name==version`` of what a model needs that has been run, torch first.

    A name alone for what is not installed under it.
    """
    names = list(REQUIRED)
    names += [(name,) for key, name in OPTIONAL.items() if key in sys.modules]
    return [_pinned(options) for options in names]


def _pinned(options: tuple[str, ...]) -> str:
    for name in options:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return f'{name}=={version.partition("+")[0]}'  # not of one build
    return options[0]
