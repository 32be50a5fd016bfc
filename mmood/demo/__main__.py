"""Open a page to try a model on pictures of one's own."""

from __future__ import annotations

import argparse
import os.path as osp
import sys
import threading

from mmood.launch import ignore_foreign
from mmood.scores import NotFittedError

from .model import Model
from .page import Page, import_gradio, served
from .uploads import Limits

_LOCAL = ('127.0.0.1', 'localhost', '::1')


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    usual = Limits()
    parser = argparse.ArgumentParser(
        'python -m mmood.demo', description=__doc__
    )
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--device', help='cpu, cuda:0, ...')
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen at; 0.0.0.0: everyone who reaches this '
        'machine may upload. Default: this machine alone',
    )
    parser.add_argument(
        '--port', type=int, help='default: the first free one from 7860'
    )
    parser.add_argument(
        '--max-megabytes',
        type=float,
        default=usual.megabytes,
        help=f'of an upload, default {usual.megabytes:g}',
    )
    parser.add_argument(
        '--max-megapixels',
        type=float,
        default=usual.megapixels,
        help=f'of an upload, default {usual.megapixels:g}',
    )
    parser.add_argument(
        '--side',
        type=int,
        default=usual.side,
        help='to which the longer side of larger pictures is shrunk, default '
        f'{usual.side}',
    )
    args = parser.parse_args(words)
    for name in ('max_megabytes', 'max_megapixels', 'side'):
        value = getattr(args, name)
        if not value > 0:
            option = f'--{name.replace("_", "-")}'
            parser.error(f'{option} must be more than 0, got {value}')
    if args.port is not None and not 0 < args.port < 65536:
        parser.error(f'--port must be from 1 to 65535, got {args.port}')
    return args


def main(words: list[str] | None = None) -> None:
    args = parse_args(words)
    ignore_foreign()
    limits = Limits(args.max_megabytes, args.max_megapixels, args.side)
    names = map(osp.basename, (args.config, args.checkpoint))
    try:
        import_gradio()
        model = Model(args.config, args.checkpoint, args.device)
        page = Page(model, ', '.join(names), limits)
        with served(page, args.host, args.port) as address:
            print(f'The page: {address} (Ctrl-C ends it)', flush=True)
            if args.host not in _LOCAL:
                print(
                    f'--host {args.host}: everyone who reaches this machine '
                    'may upload pictures, without a password'
                )
            threading.Event().wait()
    except KeyboardInterrupt:
        print('ended')
    except (ImportError, NotFittedError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
