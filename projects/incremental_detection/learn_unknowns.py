"""From a detector and images to a detector with more classes.

Mines the unknown objects and, once some groups have names, merges them with
the training set, trains the next step and tests before and after it. Called
again it goes on; all is in --out. Call it from the repository's root.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / 'tools'))
sys.path.append(f'{sys.path[-1]}/dataset_converters')
sys.path.append(f'{sys.path[-2]}/analysis_tools')

import merge_labels
import mine_unknowns
import mmengine
import run
from annotator import corrected, names_of_groups, shown_classes
from experiments.spec import Row
from mmengine.config import Config
from stages import Stage, stage_config
from trainings import prepare

from mmood.launch import OptionsAction, clear_errors
from mmood.mining import Truth
from mmood.ops import atomic_write, read_coco, write_json


def detector_config(args: argparse.Namespace) -> Config:
    """That of the detector which has learned all steps of the config."""
    row = Row('detector', args.config, cfg_options=args.cfg_options)
    method = prepare(row)
    last = Stage('detector', 'base', len(method.plan.steps) - 1)
    return stage_config(method.cfg, method.plan, last, seed=0)


def mine(args: argparse.Namespace, call: Sequence[str], cfg: Config) -> dict:
    """unknown.json; one whose groups get names now stays as it was seen."""
    path = args.out / 'unknown.json'
    if not (path.is_file() and (args.names or args.corrected)):
        args.out.mkdir(parents=True, exist_ok=True)
        with atomic_write(call[0]) as file:
            file.write(cfg.pretty_text)
        mine_unknowns.main(call)
    return read_coco(path)


def annotate(args: argparse.Namespace, mined: dict) -> tuple[Path, list[str]]:
    """What merge_labels.py takes: a file, and names of groups."""
    if args.corrected:
        return args.corrected, args.names
    if not args.annotator:
        return args.out / 'unknown.json', args.names
    shown = shown_classes(mined, Truth(*args.truth))
    names = names_of_groups(mined, shown, args.annotator)
    given = [f'{group}={name}' for group, name in names.items()]
    print('the annotator gives --names', *given)
    if not args.correct:
        return args.out / 'unknown.json', given
    content, changed = corrected(mined, shown, names)
    path = args.out / 'corrected.json'
    write_json(path, content)
    print(f'and puts {changed} boxes of these groups right: {path}')
    return path, []


def learn(
    args: argparse.Namespace, cfg: Config, labels: Path, names: list[str]
) -> None:
    """Merge, then train and test the stages of the next step."""
    data, out = Path(cfg.get('data_root') or ''), args.out / 'next.json'
    call = [labels, '--base', data / cfg.train_ann, '--out', out]
    call += ['--mined', args.out / 'unknown.json', '--config', args.config]
    call += ['--test', *(args.test or [data / cfg.test_ann])]
    call += ['--groups', *names] if names else []
    call += ['--drop-unknown-images'] if args.drop_unknown_images else []
    merge_labels.main([str(part) for part in call])
    new = read_coco(out)['info']['steps'][-1]
    start = {'incremental.start': str(args.checkpoint)}
    row = dict(
        name=f'+ {", ".join(new)}',
        config=str(out.with_suffix('.py')),
        cfg_options={**args.cfg_options, **start},
    )
    spec = args.out / 'next.yaml'
    table = dict(out=str(args.out), seeds=args.seeds, rows=[row])
    mmengine.dump(table, spec)
    run.main([str(spec), '--every-stage'])


def parse_args(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, list[str]]:
    """Those of this command, and the call of tools/mine_unknowns.py."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0],
        epilog='All other options are those of tools/mine_unknowns.py.',
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('config', type=Path, help='of this project; its steps are learned')
    add('checkpoint', type=Path, help='of the detector that knows them')
    add('images', type=Path, help='folder to mine')
    add('--out', type=Path, required=True, help='folder for all that is made')
    text = 'names of groups; without, the command ends before the names'
    add('--names', nargs='+', default=[], metavar='GROUP=NAME', help=text)
    text = 'unknown.json as it came back from an annotation tool'
    add('--corrected', type=Path, metavar='JSON', help=text)
    text = 'sets to test on, joined; default test_ann of the config'
    add('--test', nargs='+', metavar='JSON', help=text)
    add('--drop-unknown-images', action='store_true', help='when merging')
    add('--seeds', nargs='+', type=int, default=[0], help='of the trainings')
    text = 'overrides of the config, for all stages'
    add('--cfg-options', nargs='+', action=OptionsAction, help=text)
    text = 'COCO files: their images alone are mined, and groups measured'
    add('--truth', nargs='+', metavar='JSON', help=text)
    text = 'have groups of so many new classes named by --truth'
    add('--annotator', type=int, metavar='CLASSES', help=text)
    text = 'with --annotator: boxes of named groups are put right too'
    add('--correct', action='store_true', help=text)
    args, rest = parser.parse_known_args(argv)
    args.cfg_options = args.cfg_options or {}
    if args.annotator is not None and (args.annotator < 1 or not args.truth):
        parser.error('--annotator takes a number from 1 up, and --truth')
    if args.annotator and (args.names or args.corrected):
        parser.error('--annotator is instead of --names and --corrected')
    if args.correct and not args.annotator:
        parser.error('--correct is for --annotator')
    detector = args.out / 'detector.py'
    call = [detector, args.checkpoint, args.images, '--out', args.out, *rest]
    call += ['--truth', *args.truth] if args.truth else []
    words = [str(part) for part in call]
    mine_unknowns.parse_args(words)
    return args, words


@clear_errors(OSError, ValueError)
def main(argv: Sequence[str] | None = None) -> None:
    args, call = parse_args(argv)
    cfg = detector_config(args)
    mined = mine(args, call, cfg)
    if not (args.names or args.corrected or args.annotator):
        print(
            f'now look at {args.out}/index.html, and give the same command '
            'the names of groups: --names 0=NAME ...'
        )
        return
    labels, names = annotate(args, mined)
    learn(args, cfg, labels, names)


if __name__ == '__main__':
    main()
