"""One page of everything: data, pictures, scripts and the library inside.

Names and paths of the tests stand in one block of JSON, in which nothing
can end the block, and the scripts set them as text. The page's policy lets
no other script run and nothing be loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from mmood.visualization.pages import fill_page, page_json, script_hash

from .cases import box_cases, box_scene
from .detection import Boxes, box_summary, read_boxes
from .pictures import jpeg_uri
from .runs import Run, facts_of, find_runs
from .segmentation import pixel_cases, pixel_summary

MAX_BYTES = 20_000_000
_SCRIPTS = ('state.js', 'charts.js', 'tables.js', 'gallery.js', 'main.js')
_APART = ('of', 'path', 'levels')


class NoPlotlyError(ImportError):
    """The library that draws is not installed; says how to get it."""


def build_report(folders: Sequence[str | Path], limit: int = 8) -> str:
    """The HTML of a report on all tests below the folders.

    ``limit``: cases of each kind, for each set and score; of them as many
    are shown as fit into 20 MB, the first ones first. Raises NoTestError for
    a folder without a finished test, NoPlotlyError without plotly.
    """
    library = _plotly()
    found = [_part(run, limit) for run in find_runs(folders)]
    scripts = {'plotly': library}
    scripts['scripts'] = '\n'.join(_file(name) for name in _SCRIPTS)
    template, style = _file('page.html'), _file('page.css')
    runs = [part for part, _ in found]
    content = dict(runs=runs, pictures=[], levels=[], dropped=0)
    parts = *scripts.values(), template, style, page_json(content)
    used = sum(len(part.encode()) for part in parts)
    _add_cases(content, [cases for _, cases in found], MAX_BYTES - used)
    hashes = ' '.join(map(script_hash, scripts.values()))
    blocks = dict(scripts, style=style, data=page_json(content), hashes=hashes)
    return fill_page(template, blocks)


def _part(run: Run, limit: int) -> tuple[dict, list[dict]]:
    """A run's numbers, and its cases with their scenes yet as ``of``."""
    details = run.details
    sets: dict[str, Boxes] = {}
    if details['task'] == 'detection':
        sets = read_boxes(run)
        counted = box_summary(run, sets)
        cases = box_cases(run, sets, limit)
        for case in cases:
            name, image = case['scene']
            case['path'] = sets[name].images[image]
            case['of'] = (run, sets[name], image)
    else:
        counted = pixel_summary(run)
        cases = pixel_cases(run, counted)
        cases = [case for case in cases if case['rank'] < limit]
        for case in cases:
            case['path'] = case['scene']
    part = dict(
        name=run.name,
        folder=str(run.folder),
        task=details['task'],
        protocol=details['protocol'],
        tpr=details['tpr'],
        sets=run.sets,
        scores=[score for score in details['scores'] if score in counted],
        allScores=details['scores'],
        counted=counted,
        measures=_measures(run),
        facts=facts_of(run),
        config=run.facts.get('config'),
        overall={
            key: value
            for key, value in run.metrics.items()
            if key in ('bbox_mAP', 'bbox_mAP_50', 'AP_K')
        },
        scenes=[],
        cases=[],
    )
    return part, cases


def _measures(run: Run) -> list[dict]:
    """A row for each set and score, with all that the test measured."""
    rows = []
    for name in run.sets:
        for score in run.details['scores']:
            start = f'{name}/{score}/'
            values = {
                key[len(start) :]: value
                for key, value in run.metrics.items()
                if key.startswith(start)
            }
            rows.append(dict(set=name, score=score, values=values))
    return rows


def _add_cases(content: dict, cases: list[list[dict]], space: int) -> None:
    """Fill scenes, cases and pictures, best ranks first, while there is room.

    What has none is counted as ``dropped``. A picture or a map that several
    cases show is there once.
    """
    queue = [(run, case) for run, part in enumerate(cases) for case in part]
    queue.sort(key=lambda item: item[1]['rank'])  # stable
    pictures: dict[str | None, int] = {}
    scenes: dict[tuple, int] = {}
    levels: dict[str | None, int | None] = {None: None}
    for number, case in queue:
        run = content['runs'][number]
        place = (number, case['scene'])
        parts, picture, scene = [], None, None
        if case['path'] not in pictures:
            found = jpeg_uri(case['path'])
            picture = found and dict(zip(('uri', 'width', 'height'), found))
            parts.append(picture)
        if place not in scenes:
            scene = box_scene(*case['of']) if 'of' in case else {}
            scene['path'] = case['path']
            parts.append(scene)
        level = case.get('levels')
        if level not in levels:
            parts.append(level)
        shown = {k: v for k, v in case.items() if k not in _APART}
        cost = len(page_json([*parts, shown])) + 100
        if cost > space:
            content['dropped'] += 1
            continue
        space -= cost
        if case['path'] not in pictures:
            pictures[case['path']] = len(content['pictures'])
            content['pictures'].append(picture)
        if scene is not None:
            scenes[place] = len(run['scenes'])
            scene['picture'] = pictures[case['path']]
            run['scenes'].append(scene)
        if level not in levels:
            levels[level] = len(content['levels'])
            content['levels'].append(level)
        shown.update(scene=scenes[place], levels=levels[level])
        run['cases'].append(shown)


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text('utf-8')


def _plotly() -> str:
    """The source of plotly.js, which the Python package brings."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise NoPlotlyError(
            'the report draws with plotly, which is not installed: pip '
            'install "mmood[report]" or pip install plotly'
        ) from error
    # A parser of HTML ends lines so, and the policy goes by what it reads.
    return get_plotlyjs().replace('\r\n', '\n')
