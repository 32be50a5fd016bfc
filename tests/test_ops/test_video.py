"""Videos and cameras."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmood.ops import NotWrittenError
from mmood.ops.video import (
    CODECS,
    FrameRate,
    VideoError,
    codec_of,
    copies,
    frames,
    open_source,
    stated,
    video_file,
)

GRAYS = (20, 90, 160, 230)


def frame(gray, size=(48, 64)):
    return np.full((*size, 3), gray, np.uint8)


@pytest.fixture
def video(tmp_path):
    """A file of four gray frames."""
    path = str(tmp_path / 'in.avi')
    with video_file(path, 5) as add:
        for gray in GRAYS:
            add(frame(gray))
    return path


def grays(path):
    capture = open_source(str(path))
    return [round(float(one.mean())) for one in frames(capture)]


@pytest.mark.parametrize('suffix', CODECS)
def test_what_is_written_can_be_read(tmp_path, suffix):
    path = tmp_path / 'new' / f'a{suffix}'
    with video_file(str(path), 5) as add:
        for gray in GRAYS:
            add(frame(gray))
        assert not path.exists()
    np.testing.assert_allclose(grays(path), GRAYS, atol=6)
    capture = open_source(str(path))
    assert stated(capture, cv2.CAP_PROP_FPS, 1) == pytest.approx(5)
    assert list(path.parent.iterdir()) == [path]


def test_of_an_odd_size_the_last_row_goes(tmp_path):
    path = str(tmp_path / 'a.mp4')
    with video_file(path, 5) as add:
        add(frame(90, (47, 65)))
    (found,) = frames(open_source(path))
    assert found.shape == (46, 64, 3)


def test_an_error_leaves_the_old_file(video):
    with pytest.raises(KeyError), video_file(video, 5) as add:
        add(frame(7))
        raise KeyError
    np.testing.assert_allclose(grays(video), GRAYS, atol=6)


def test_without_a_frame_there_is_no_file(tmp_path):
    with video_file(str(tmp_path / 'a.mp4'), 5):
        pass
    assert list(tmp_path.iterdir()) == []


def test_frames_have_one_size(tmp_path):
    path = str(tmp_path / 'a.mp4')
    with (
        pytest.raises(ValueError, match=r'one size: got \(40, 64, 3\) after'),
        video_file(path, 5) as add,
    ):
        add(frame(7))
        add(frame(7, (40, 64)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('name', 'codec', 'message'),
    [
        ('a.txt', None, r'--out must end in .mp4, .* got a.txt'),
        ('a', None, '--out must end in'),
        ('a.mp4', 'h264x', "--codec must have four letters.* got 'h264x'"),
        ('a.mp4', 'äbcd', '--codec must have four letters'),
    ],
)
def test_names_that_cannot_be_written(name, codec, message):
    with pytest.raises(VideoError, match=message):
        codec_of(name, codec)


def test_the_usual_codec_of_a_file():
    assert codec_of('A.MP4') == 'mp4v'
    assert codec_of('a.avi') == 'MJPG'
    assert codec_of('a.avi', 'XVID') == 'XVID'


def test_a_codec_that_opencv_does_not_have(tmp_path):
    path = str(tmp_path / 'a.mp4')
    with (
        pytest.raises(VideoError, match='--codec zzzz cannot .* MJPG'),
        video_file(path, 5, 'zzzz') as add,
    ):
        add(frame(7))
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('x')
    (tmp_path / 'folder.mp4').mkdir()
    for name in ('file/a.mp4', 'folder.mp4'):
        path = str(tmp_path / name)
        with (
            pytest.raises(NotWrittenError, match='cannot write --out .*name'),
            video_file(path, 5) as add,
        ):
            add(frame(7))


def test_a_full_disk(tmp_path, monkeypatch):
    class Full:
        """A writer whose bytes do not reach the disk."""

        def __init__(self, *args):
            self._path = Path(args[0])

        def isOpened(self):
            return True

        def write(self, frame):
            self._path.write_bytes(b'')

        def release(self):
            pass

    monkeypatch.setattr(cv2, 'VideoWriter', Full)
    path = str(tmp_path / 'a.mp4')
    with (
        pytest.raises(NotWrittenError, match='make room on the disk'),
        video_file(path, 5) as add,
    ):
        add(frame(7))
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_frames(video):
    capture = open_source(video)
    assert len(list(frames(capture, 2))) == 2
    assert not capture.isOpened()
    assert len(list(frames(open_source(video), 99))) == len(GRAYS)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('none.mp4', None, 'there is no file .*none.mp4: name a video, or'),
        ('text.txt', b'hello\n' * 99, 'no video that OpenCV can read'),
        ('text.mp4', b'hello\n' * 99, 'no video that OpenCV can read'),
        ('a.m3u8', b'#EXTM3U\nhttp://127.0.0.1/a.ts\n', 'no video'),
        ('empty.mp4', b'', 'no video'),
        ('noise.mp4', bytes(range(256)) * 9, 'no video'),
    ],
)
def test_what_is_no_video(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=f'^source: .*{message}'):
        open_source(str(tmp_path / name))


def test_a_picture_is_no_video(tmp_path):
    path = str(tmp_path / 'a.png')
    cv2.imwrite(path, frame(7))
    with pytest.raises(VideoError, match='is a picture: tools/image_demo.py'):
        open_source(path)


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(VideoError, match='there is no file'):
        open_source(str(tmp_path))


def test_a_camera_that_is_not_there():
    with pytest.raises(VideoError, match='camera 97 cannot be opened: is it'):
        open_source('97')


def test_properties_that_are_missing(video):
    capture = open_source(video)
    assert stated(capture, cv2.CAP_PROP_FPS, 25) == 5
    assert stated(capture, cv2.CAP_PROP_ZOOM, 25) == 25


def test_frames_per_second():
    times = iter([10.0, 11.0, 12.0, 12.5, 13.0])
    rate = FrameRate(window=2, clock=lambda: next(times))
    assert (rate.now, rate.mean, rate.count) == (0, 0, 0)
    rate.tick()
    assert (rate.now, rate.mean) == (1, 1)
    rate.tick()
    rate.tick()
    assert rate.now == 2 / 1.5 and rate.mean == 3 / 2.5
    rate.tick()
    assert rate.now == 2 and rate.mean == 4 / 3
    assert (rate.count, rate.elapsed) == (4, 3)


@pytest.mark.parametrize('seconds', [0.01, 0.1, 0.35, 2.0])
def test_a_camera_plays_as_fast_as_it_was_seen(seconds):
    written = 0
    for i in range(1, 41):
        written += copies(i * seconds, 10, written)
    assert abs(written - max(40, 400 * seconds)) <= 1
