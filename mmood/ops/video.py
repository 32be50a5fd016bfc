"""Videos and cameras: frames in, frames out, and how fast.

Shapes: frames are BGR uint8 (H, W, 3), as OpenCV reads them.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np

from .files import NotWrittenError

CODECS = {
    '.mp4': 'mp4v',
    '.mov': 'mp4v',
    '.mkv': 'mp4v',
    '.avi': 'MJPG',
    '.webm': 'VP80',
}


class VideoError(ValueError):
    """No video or camera, or none that can be written."""


@contextmanager
def quiet() -> Iterator[None]:
    """OpenCV's reasons are said in our words."""
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)


def open_source(source: str) -> cv2.VideoCapture:
    """A camera by its number, or the file of a video.

    Raises VideoError, with the remedy, for a camera that cannot be opened, a
    file that is not there and one that is no video. A text is none, although
    FFmpeg draws it, and a picture neither, although OpenCV counts it as one
    frame.
    """
    if source.isdecimal():
        with quiet():
            capture = cv2.VideoCapture(int(source))
        if not capture.isOpened():
            raise VideoError(
                f'source: camera {source} cannot be opened: is it plugged '
                'in, may you read it (on Linux /dev/video*, group video), '
                'does another program use it? Or name the file of a video'
            )
        return capture
    if not os.path.isfile(source):
        raise VideoError(
            f'source: there is no file {source}: name a video, or a camera '
            'by its number, such as 0'
        )
    if is_picture(source):
        raise VideoError(
            f'source: {source} is a picture: tools/image_demo.py draws those'
        )
    with quiet():
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG)
    if _is_text(source) or not capture.isOpened():
        raise VideoError(
            f'source: {source} is no video that OpenCV can read: convert it, '
            'for instance to .mp4 (H.264)'
        )
    return capture


def is_picture(path: str) -> bool:
    with quiet(), suppress(cv2.error):
        return cv2.haveImageReader(path)
    return False


def _is_text(path: str) -> bool:
    """Containers of videos have zeros among their first bytes."""
    with open(path, 'rb') as file:
        return b'\0' not in file.read(4096)


def frames(
    capture: cv2.VideoCapture, limit: int | None = None
) -> Iterator[np.ndarray]:
    """Its frames to the end, at most ``limit``; the capture is closed."""
    try:
        count = 0
        while limit is None or count < limit:
            is_read, frame = capture.read()
            if not is_read:
                return
            yield frame
            count += 1
    finally:
        capture.release()


def stated(capture: cv2.VideoCapture, what: int, default: float) -> float:
    """A property that may be missing: then zero, negative or absurd."""
    value = capture.get(what)
    return value if 0 < value < 1e7 else default


def codec_of(path: str, codec: str | None = None) -> str:
    """The code of four letters, or the one that goes with the suffix.

    Raises VideoError for another suffix and for a code of another length.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in CODECS:
        raise VideoError(f'--out must end in {", ".join(CODECS)}, got {path}')
    codec = codec or CODECS[suffix]
    if len(codec) != 4 or not codec.isascii():
        raise VideoError(
            f'--codec must have four letters, such as mp4v, got {codec!r}'
        )
    return codec


@contextmanager
def video_file(
    path: str, rate: float, codec: str | None = None
) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that adds a frame to a video, which appears when it is whole.

    Until the block ends well the frames are in a hidden file beside it, which
    goes after an error, or without a frame. Of an odd width or height the
    last column or row is left out.

    Raises VideoError if OpenCV cannot write that, NotWrittenError if the
    disk cannot, and ValueError for a frame of another size.
    """
    codec, target = codec_of(path, codec), Path(path)
    partial = target.with_name(f'.{target.stem}.partial{target.suffix}')
    writers: list[tuple[cv2.VideoWriter, tuple]] = []

    def write(frame: np.ndarray) -> None:
        if not writers:
            writers.append(
                (_writer(partial, path, rate, codec, frame), frame.shape)
            )
        writer, shape = writers[0]
        if frame.shape != shape:
            raise ValueError(
                f'frames of one video have one size: got {frame.shape} after '
                f'{shape}'
            )
        writer.write(frame)

    try:
        _make_folder(target)
        yield write
        for writer, _ in writers:
            writer.release()
            if not _is_readable(partial):
                raise NotWrittenError(
                    f'cannot write --out {path}: make room on the disk'
                )
            os.replace(partial, target)
    finally:
        for writer, _ in writers:
            writer.release()
        with suppress(OSError):
            partial.unlink()


def _make_folder(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWrittenError(
            f'cannot write --out {target}: {error.strerror}; name another '
            'folder'
        ) from error
    if target.is_dir() or not os.access(target.parent, os.W_OK):
        raise NotWrittenError(
            f'cannot write --out {target}: it is a folder, or its folder is '
            'read-only; name another file'
        )


def _writer(
    partial: Path, path: str, rate: float, codec: str, frame: np.ndarray
) -> cv2.VideoWriter:
    height, width = frame.shape[:2]
    code = cv2.VideoWriter.fourcc(*codec)
    with quiet():
        writer = cv2.VideoWriter(
            str(partial), cv2.CAP_FFMPEG, code, rate, (width, height)
        )
    if not writer.isOpened():
        suffix = os.path.splitext(path)[1].lower()
        raise VideoError(
            f'--codec {codec} cannot be written to {path} by this OpenCV: '
            f'leave --codec out ({CODECS[suffix]}), or take --out NAME.avi '
            'with --codec MJPG'
        )
    return writer


def _is_readable(path: Path) -> bool:
    with quiet():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        is_read = capture.isOpened() and capture.read()[0]
    capture.release()
    return is_read


class FrameRate:
    """Frames per second: of the last ``window`` ones, and of all.

    Args:
        clock: says the time in seconds.
    """

    def __init__(
        self, window: int = 10, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._clock = clock
        self._start = clock()
        self._times = deque([self._start], maxlen=window + 1)
        self.count = 0

    def tick(self) -> None:
        """Another frame is done."""
        self._times.append(self._clock())
        self.count += 1

    @property
    def now(self) -> float:
        """0 before the first frame."""
        return _rate(len(self._times) - 1, self._times[-1] - self._times[0])

    @property
    def mean(self) -> float:
        return _rate(self.count, self.elapsed)

    @property
    def elapsed(self) -> float:
        """Seconds from the begin to the last frame."""
        return self._times[-1] - self._start


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def copies(elapsed: float, rate: float, written: int) -> int:
    """How often a camera's frame is written, to play as fast as it was seen.

    A camera gives a frame when the last one is done, which may take longer
    than a frame is shown.
    """
    return max(1, round(elapsed * rate) - written)
