"""The page, laid out with gradio, which is imported when it is built."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import markup
from .headers import PolicyHeader
from .model import Answer, Model
from .sweep import swept
from .uploads import Limits, UploadError, read_upload
from .verdicts import Span

if TYPE_CHECKING:
    import gradio

_CONFIDENCE = Span(0.05, 1.0, 0.01)
_SESSION = 1800  # seconds that an answer is remembered
_SESSIONS = 16  # visitors whose answers are remembered
_TURNS = dict(
    concurrency_id='model', concurrency_limit=1, api_visibility='private'
)


def import_gradio() -> ModuleType:
    """gradio, told to be silent; ImportError, with the remedy, without it."""
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    try:
        import gradio
    except ImportError as error:
        raise ImportError(
            'the page needs gradio: pip install "mmood[demo]"'
        ) from error
    return gradio


class Page:
    """What the page shows, and what its parts do.

    Args:
        title: what is tried, in a line, such as the names of its files.
    """

    def __init__(self, model: Model, title: str, limits: Limits) -> None:
        self.model, self.title, self.limits = model, title, limits

    def build(self) -> gradio.Blocks:
        gr = self.gr = import_gradio()
        with gr.Blocks(
            title='mmood: known or unknown?',
            analytics_enabled=False,
        ) as blocks:
            gr.HTML(self._heading())
            self.answer = gr.State(None, time_to_live=_SESSION)
            with gr.Row(equal_height=False):
                with gr.Column(
                    scale=7, min_width=400, visible=False
                ) as self.shown:
                    self._lay_pictures()
                with gr.Column(scale=4, min_width=320):
                    self._lay_controls()
            self._connect()
        return blocks

    def _heading(self) -> str:
        classes = ', '.join(self.model.classes)
        what = 'pixels' if self.model.is_segmentor else 'objects'
        return (
            '<h1>Known or unknown?</h1>'
            f'<p>Upload a picture and see which {what} this model knows, and '
            f'which it should not be trusted with. It was trained on '
            f'{escape(classes)}.</p><p class="files">{escape(self.title)}</p>'
        )

    def _lay_pictures(self) -> None:
        labels = ['What it finds']
        if self.model.is_segmentor:
            labels = ['What it sees; striped: unknown', 'How unknown']
        self.pictures = [
            self.gr.Image(
                label=label,
                format='jpeg',
                interactive=False,
                buttons=['download', 'fullscreen'],
                elem_id=f'picture{i}',
            )
            for i, label in enumerate(labels)
        ]
        self.table = self.gr.HTML(elem_id='table')

    def _lay_controls(self) -> None:
        gr, model = self.gr, self.model
        self.file = gr.File(
            label=f'Upload a picture: {self.limits.said()}',
            height=280,
            elem_id='upload',
        )
        self.counts = gr.HTML(elem_id='counts')
        with gr.Group(visible=False) as self.controls:
            self.score = gr.Dropdown(
                model.names,
                value=model.names[0],
                label='Score',
                info='Each measures in its own unit how unknown something is.',
                visible=len(model.names) > 1,
                elem_id='score',
            )
            self.limit = gr.Slider(
                -1,
                1,
                0,
                label='Limit',
                info='What scores above it is called unknown.',
                buttons=[],
                elem_id='limit',
            )
            self.reset = gr.Button(
                "Back to the checkpoint's limit", size='sm', elem_id='reset'
            )
            self.least = gr.Slider(
                _CONFIDENCE.low,
                _CONFIDENCE.high,
                round(model.confidence or _CONFIDENCE.low, 2),
                step=_CONFIDENCE.step,
                label='Least confidence',
                info='Boxes with less are left out.',
                buttons=[],
                visible=not model.is_segmentor,
                elem_id='least',
            )

    def _connect(self) -> None:
        """All that asks or draws shares one turn."""
        chosen = [self.answer, self.score, self.limit, self.least]
        result = [*self.pictures, self.counts, self.table]
        moved = [self.limit, *result]
        self.file.upload(
            self.look,
            [self.file, self.score, self.least],
            [self.file, self.answer, self.shown, self.controls, *moved],
            **_TURNS,
        )
        at_once = dict(_TURNS, show_progress='hidden')
        for part in (self.limit, self.least):
            part.input(
                self.judge,
                chosen,
                result,
                trigger_mode='always_last',
                **at_once,
            )
        again = [self.answer, self.score, self.least]
        self.score.input(self.restart, again, moved, **at_once)
        self.reset.click(self.restart, again, moved, **at_once)

    def look(self, path: str, score: str, least: float) -> list[Any]:
        """At an uploaded file, which goes; there is room for the next one."""
        try:
            picture = read_upload(path, self.limits)
        except UploadError as error:
            picture, refused = None, str(error)
        finally:
            with suppress(OSError):
                Path(path).unlink()
        free = self.gr.update(value=None, height=150)
        is_seen = self.gr.update(visible=picture is not None)
        if picture is None:
            result = self._nothing(refused)
            return [free, None, is_seen, is_seen, self.gr.skip(), *result]
        answer = self.model(picture)
        result = self.restart(answer, score, least)
        return [free, answer, is_seen, is_seen, *result]

    def _nothing(self, why: str) -> list[Any]:
        return [None] * len(self.pictures) + [markup.refusal(why), '']

    def restart(
        self, answer: Answer | None, score: str, least: float
    ) -> list[Any]:
        """With the limit of the checkpoint or, without one, all known."""
        if answer is None:
            return [self.gr.skip(), *self.judge(answer, score, 0, least)]
        span = answer.span(score)
        limit = self.model.limits[score]
        start = span.high if math.isnan(limit) else limit
        slider = self.gr.update(
            minimum=span.low,
            maximum=span.high,
            step=span.step,
            value=round(start / span.step) * span.step,
        )
        return [slider, *self.judge(answer, score, start, least)]

    def judge(
        self, answer: Answer | None, score: str, limit: float, least: float
    ) -> list[Any]:
        """Pictures, counts and table, without asking the model again."""
        if answer is None:
            return self._nothing(
                'The picture is not remembered any more. Upload it again.'
            )
        stored = self.model.limits[score]
        limit = answer.span(score).limit(limit, stored)
        if self.model.confidence is not None:
            least = _CONFIDENCE.limit(least, self.model.confidence)
        judged = answer.judged(score, limit, least)
        return [*judged.pictures, judged.counts, judged.table]


def _theme(gr: ModuleType) -> gradio.Theme:
    """Fonts come from this server; the half-bold one has no letters."""
    font = gr.themes.LocalFont('Source Sans Pro', (400, 700))
    theme = gr.themes.Default(
        primary_hue='blue', font=[font, 'system-ui', 'sans-serif']
    )
    return theme.set(
        body_text_color_subdued='*neutral_500',
        block_info_text_color='*neutral_500',
    )


@contextmanager
def served(
    page: Page, host: str = '127.0.0.1', port: int | None = None
) -> Iterator[str]:
    """The page's address, as long as the block lasts.

    Uploads and drawings go to a folder of their own, which goes with it.
    Raises OSError for a port that is taken.
    """
    with (
        tempfile.TemporaryDirectory(prefix='mmood-demo-') as folder,
        swept(Path(folder)),
    ):
        os.environ['GRADIO_TEMP_DIR'] = folder  # read whenever it writes
        blocks = page.build()
        blocks.queue(max_size=32)
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                share=False,
                inbrowser=False,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=page.limits.bytes,
                run_history=False,
                enable_monitoring=False,
                mcp_server=False,
                ssr_mode=False,
                pwa=False,
                state_session_capacity=_SESSIONS,
                footer_links=[],
                theme=_theme(page.gr),
                css_paths=Path(__file__).with_name('page.css'),
                app_kwargs=dict(
                    docs_url=None,
                    redoc_url=None,
                    openapi_url=None,
                    middleware=[PolicyHeader.wanted()],
                ),
            )
            yield address
        finally:
            blocks.close(verbose=False)
