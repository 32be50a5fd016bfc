"""A test that writes a submission to SegmentMeIfYouCan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger

from mmood.launch import for_first_set
from mmood.ops import file_sha256, image_size, write_json
from mmood.seg.datasets import SMIYCFramesDataset
from mmood.seg.datasets.smiyc_frames import check_split

from .frames import frame_path, import_h5py, is_complete, method_folder
from .names import check_method, check_score
from .pipeline import without_labels


def prepare(
    cfg: Config,
    checkpoint: str,
    frames: Mapping[str, str],
    out_dir: str,
    *,
    method: str,
    score: str | None = None,
    writes: bool = True,
) -> int:
    """Have a test write the score maps of frames; the number of these.

    The config's test set and metrics give way to frames of SegmentMeIfYouCan
    and their files below ``out_dir``; the pipeline is that of its first test
    set. Frames whose file is there and whole are left out. What the files
    were made with, score, model and checkpoint, is in ``out_dir/METHOD.json``.

    Args:
        frames: of each split its folder, which has the folder ``images``.
        method: name of the method.
        score: a predicted one; None: the first.
        writes: whether this process is the one that writes ``METHOD.json``.

    Raises ValueError for a name, score or split that cannot be, without
    frames, and if the method's files were made with something else;
    ImportError without h5py; FileNotFoundError for missing images.
    """
    import_h5py()
    score = check_score(cfg, score)
    made_with = dict(
        score=score,
        checkpoint=file_sha256(checkpoint),
        model=hashlib.sha256(repr(cfg.model).encode()).hexdigest(),
    )
    if not frames:
        raise ValueError(
            'there are no frames: give --frames SPLIT=FOLDER, such as '
            'AnomalyTrack-all=data/dataset_AnomalyTrack'
        )
    _check_made_with(out_dir, check_method(method), made_with, writes)
    plain = for_first_set(cfg)
    pipeline = without_labels(plain.test_dataloader.dataset.pipeline)
    sets, count = [], 0
    for split, folder in frames.items():
        done, pending = _sorted_out(split, folder, out_dir, method)
        count += pending
        if pending:
            sets.append(
                dict(
                    type='mmood.SMIYCFramesDataset',
                    split=split,
                    data_root=str(folder),
                    skipped=done,
                    pipeline=pipeline,
                )
            )
    cfg.test_dataloader = dict(
        plain.test_dataloader,
        dataset=dict(type='ConcatDataset', datasets=sets),
    )
    cfg.test_evaluator = dict(
        type='mmood.SMIYCFrameWriter',
        folder=str(out_dir),
        method=method,
        score=score,
    )
    return count


def _check_made_with(
    out_dir: str, method: str, made_with: dict, writes: bool
) -> None:
    """Raises ValueError if there are files that something else made."""
    path = Path(out_dir, f'{method}.json')
    if path.is_file():
        before = json.loads(path.read_text(encoding='utf-8'))
        changed = [k for k, v in made_with.items() if before.get(k) != v]
        if changed:
            raise ValueError(
                f'{path} says that the frames there are of another '
                f'{" and ".join(changed)}: choose another --method or '
                '--out-dir, or remove them and this file'
            )
    elif any(method_folder(out_dir, method).glob('*/*.hdf5')):
        raise ValueError(
            f'{method_folder(out_dir, method)} has frames, and {path}, which '
            'says what they were made with, is not there: remove them or '
            'choose another --method'
        )
    elif writes:
        write_json(path, made_with, indent=1)


def _sorted_out(
    split: str, folder: str, out_dir: str, method: str
) -> tuple[list[str], int]:
    """Names of the split's frames that are done, number of those that aren't.

    Logs how many of each there are, and if they are not all of the split.
    """
    expected = check_split(split)
    found = SMIYCFramesDataset(split=split, data_root=folder, lazy_init=True)
    paths = [Path(info['img_path']) for info in found.load_data_list()]
    done = [
        path.stem
        for path in paths
        if is_complete(
            frame_path(out_dir, method, expected.folder, path.stem),
            image_size(path),
        )
    ]
    logger = MMLogger.get_current_instance()
    if len(paths) != expected.number:
        logger.warning(
            f'{folder} has {len(paths)} frames of {split}, and the benchmark '
            f'has {expected.number}'
        )
    logger.info(
        f'{split}: {len(done)} of {len(paths)} frames are there already'
    )
    return done, len(paths) - len(done)
