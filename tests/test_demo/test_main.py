"""``python -m mmood.demo``."""

from contextlib import contextmanager

import pytest

from mmood.demo import __main__ as program
from mmood.demo.uploads import Limits


@pytest.fixture
def served(monkeypatch):
    """What is served; it ends at once, as by Ctrl-C."""
    calls = []

    class Model:
        def __init__(self, *args):
            calls.append(args)

    @contextmanager
    def serve(page, host, port):
        calls.append((page.title, page.limits, host, port))
        yield 'http://127.0.0.1:1234/'

    def end(event):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, 'import_gradio', lambda: None)
    monkeypatch.setattr(program, 'Model', Model)
    monkeypatch.setattr(program, 'served', serve)
    monkeypatch.setattr('threading.Event.wait', end)
    return calls


def test_this_machine_alone_unless_told(served, capsys):
    program.main(['a/b.py', 'c/d.pth'])
    model, page = served
    assert model == ('a/b.py', 'c/d.pth', None)
    assert page == ('b.py, d.pth', Limits(), '127.0.0.1', None)
    said = capsys.readouterr().out
    assert 'http://127.0.0.1:1234/' in said and 'without a pass' not in said


def test_options(served, capsys):
    options = [
        '--device',
        'cpu',
        '--host',
        '0.0.0.0',
        '--port',
        '80',
        '--side',
        '9',
    ]
    sizes = ['--max-megabytes', '1.5', '--max-megapixels', '2']
    program.main(['b.py', 'd.pth', *options, *sizes])
    model, page = served
    assert model[2] == 'cpu'
    assert page[1:] == (Limits(1.5, 2.0, 9), '0.0.0.0', 80)
    assert 'upload pictures, without a password' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('option', 'value', 'message'),
    [
        ('--max-megabytes', '0', '--max-megabytes must be more than 0'),
        ('--max-megapixels', 'nan', '--max-megapixels must be more than 0'),
        ('--side', '-5', '--side must be more than 0, got -5'),
        ('--port', '70000', '--port must be from 1 to 65535, got 70000'),
    ],
)
def test_options_out_of_range(served, capsys, option, value, message):
    with pytest.raises(SystemExit):
        program.main(['b.py', 'd.pth', option, value])
    assert message in capsys.readouterr().err
    assert served == []


def test_errors_are_one_sentence(served, monkeypatch):
    def missing():
        raise ImportError('the page needs gradio')

    monkeypatch.setattr(program, 'import_gradio', missing)
    with pytest.raises(SystemExit, match='^error: the page needs gradio$'):
        program.main(['b.py', 'd.pth'])
