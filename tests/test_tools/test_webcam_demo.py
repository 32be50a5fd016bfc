"""tools/webcam_demo.py: what it takes, writes and says."""

import runpy

import cv2
import numpy as np
import pytest
from mmengine.config import Config

import mmood.det
from helpers import ROOT, run_here
from mmood.ops.drawing import enlarging
from mmood.ops.video import frames, open_source, video_file
from tiny_models import write_detector, write_segmentor

GRAYS = (20, 90, 160, 230)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'in.avi'
    with video_file(str(path), 5) as add:
        for gray in GRAYS:
            add(np.full((48, 64, 3), gray, np.uint8))
    return path


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the detector's inferencer is asked, which only doubles pictures."""
    calls = []

    class Inferencer:
        def __init__(self, config, **options):
            calls.append(options)

        def __call__(self, frame, **options):
            calls.append(dict(options, mean=frame.mean()))
            drawn = np.repeat(np.repeat(frame, 8, 0), 8, 1)[..., ::-1]
            return dict(visualization=[drawn])

    monkeypatch.setattr(mmood.det, 'OODDetInferencer', Inferencer)
    return calls


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """Function: run the tool with a detector's config."""
    path = tmp_path / 'config.py'
    Config(dict(default_scope='mmdet')).dump(path)

    def run(source, *options):
        run_here(monkeypatch, 'webcam_demo', source, path, 'c.pth', *options)

    return run


def read(path):
    return list(frames(open_source(str(path))))


def test_each_frame_is_drawn_and_the_rate_is_said(
    demo, asked, video, tmp_path, capsys
):
    out = tmp_path / 'new' / 'out.mp4'
    demo(video, '--out', out, '--score', 'msp', '--ood-threshold', -3)
    made, *calls = asked
    assert made == dict(weights='c.pth', device=None)
    means = [call['mean'] for call in calls]
    np.testing.assert_allclose(means, GRAYS, atol=6)
    assert {call['score'] for call in calls} == {'msp'}
    assert {call['ood_threshold'] for call in calls} == {-3}
    printed = capsys.readouterr().out
    assert f'{out}: 4 frames, ' in printed.replace('\n', '')
    assert 'frames per second on average' in printed
    assert '4 drawn' in printed
    found = read(out)
    assert len(found) == 4
    capture = cv2.VideoCapture(str(out))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    capture.release()
    for drawn, gray in zip(found, GRAYS):
        line = len(drawn) - 8 * 48  # above the picture: the rate in words
        assert 0 < line < 40
        assert drawn[:line].min() < 120 < 220 < drawn[:line].max()
        assert abs(drawn[line:].mean() - gray) < 6


def test_a_limit(demo, asked, video, tmp_path):
    demo(video, '--out', tmp_path / 'out.avi', '--limit', 2)
    assert len(read(tmp_path / 'out.avi')) == 2 == len(asked) - 1


def camera(monkeypatch, count):
    """A camera of so many frames that says 10 a second."""

    class Camera:
        left = count

        def __init__(self, number):
            assert number == 3

        def isOpened(self):
            return True

        def get(self, what):
            return 10.0 if what == cv2.CAP_PROP_FPS else -1.0

        def read(self):
            Camera.left -= 1
            frame = np.full((48, 64, 3), 90, np.uint8)
            return Camera.left >= 0, frame

        def release(self):
            pass

    real = cv2.VideoCapture

    def choose(source, *rest):
        return Camera(source) if source == 3 else real(source, *rest)

    monkeypatch.setattr(cv2, 'VideoCapture', choose)


def test_a_camera(demo, asked, monkeypatch, tmp_path):
    camera(monkeypatch, 5)
    demo(3, '--out', tmp_path / 'out.avi')
    assert len(asked) == 1 + 5
    # Frames that took long stand for as long.
    assert len(read(tmp_path / 'out.avi')) >= 5


def test_ctrl_c_ends_a_camera_and_keeps_the_video(
    demo, asked, monkeypatch, tmp_path
):
    camera(monkeypatch, 10**9)
    draw = mmood.det.OODDetInferencer.__call__

    def tired(self, frame, **options):
        if len(asked) > 3:
            raise KeyboardInterrupt
        return draw(self, frame, **options)

    monkeypatch.setattr(mmood.det.OODDetInferencer, '__call__', tired)
    demo(3, '--out', tmp_path / 'out.avi')
    assert len(read(tmp_path / 'out.avi')) >= 3


def test_a_window_where_there_is_a_display(demo, asked, video, monkeypatch):
    shown = []
    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(cv2, 'imshow', lambda name, frame: shown.append(frame))
    monkeypatch.setattr(
        cv2, 'waitKey', lambda wait: ord('q') if len(shown) == 2 else -1
    )
    demo(video, '--show')
    assert len(shown) == 2 and shown[0].shape[1] == 8 * 64


def test_no_window_without_a_display(demo, video, monkeypatch):
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr('sys.platform', 'linux')
    with pytest.raises(SystemExit, match='--show needs a display, .* --out'):
        demo(video, '--show')


@pytest.mark.parametrize(
    ('source', 'options', 'message'),
    [
        ('none.mp4', ('--out', 'o.mp4'), 'source: there is no file none.mp4'),
        ('97', ('--out', 'o.mp4'), 'source: camera 97 cannot be opened'),
        ('in.avi', ('--out', 'o.txt'), '--out must end in .mp4'),
        ('in.avi', ('--out', 'o.mp4', '--codec', 'zzzz'), '--codec zzzz'),
        ('in.avi', ('--out', 'in.avi'), '--out in.avi is the source'),
    ],
)
def test_what_is_refused(
    demo, asked, video, monkeypatch, source, options, message
):
    before = video.read_bytes()
    monkeypatch.chdir(video.parent)
    with pytest.raises(SystemExit, match=f'^error: {message}'):
        demo(source, *options)
    assert not (video.parent / 'o.mp4').exists()
    assert video.read_bytes() == before


def test_a_source_without_a_frame(demo, asked, monkeypatch, tmp_path):
    camera(monkeypatch, 0)
    with pytest.raises(SystemExit, match='source: 3 gave no frame: take'):
        demo(3, '--out', tmp_path / 'out.avi')
    assert not (tmp_path / 'out.avi').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ((), 'say what to do with the frames: --out FILE or --show'),
        (('--show', '--limit', 0), '--limit must be 1 or more, got 0'),
    ],
)
def test_options_that_make_no_sense(demo, video, capsys, options, message):
    with pytest.raises(SystemExit):
        demo(video, *options)
    assert message in capsys.readouterr().err


def test_the_colours_of_a_video_rest():
    tool = runpy.run_path(str(ROOT / 'tools' / 'webcam_demo.py'))
    ends = tool['widened'](None, np.array([1.0, 2.0]))
    assert ends == (1, 2)
    assert tool['widened'](ends, np.array([1.5, np.inf])) == (1, 2)
    assert tool['widened'](ends, np.array([-3.0, 5.0, np.nan])) == (-3, 5)


@pytest.mark.parametrize(
    ('write', 'panels'), [(write_detector, 1), (write_segmentor, 3)]
)
def test_models(monkeypatch, tmp_path, video, write, panels):
    cfg, weights = write(tmp_path)
    cfg.dump(tmp_path / 'model.py')
    out = tmp_path / 'out.avi'
    options = ('--out', out, '--limit', 2, '--device', 'cpu')
    files = (video, tmp_path / 'model.py', weights)
    run_here(monkeypatch, 'webcam_demo', *files, *options)
    found = read(out)
    factor = enlarging(48, 64)
    assert len(found) == 2
    assert found[0].shape[1] == panels * factor * 64
    assert found[0].shape[0] > factor * 48
    assert np.abs(found[0].astype(int) - found[1]).mean() > 10
