"""Beside the forecast: trial steps, which say how long the run takes on this computer instead of a guess."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.ui import html
from workbench.ui.jobs import course
from workbench.ui.shell import Shell, press
from workbench.ui.tabtools import TOLD, panel

KIND = "measure"
_MEASURE = Text("Measure the time with a few trial steps", "试训几步，实测耗时")


class Measure:
    """The button, and how far the trial is. `bind` after the form is there."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        with gr.Column(elem_id="train-trial"):
            self.button = gr.Button(shell.text(_MEASURE), size="sm", visible=False, elem_id="train-measure")
            self.progress = panel("train-measure-progress")
        self._seen = gr.State("")

    def shown(self, forecast: Any) -> Any:
        """The button for a run with this forecast; none where it was measured, or where nothing can be said (None)."""
        return gr.Button(visible=forecast is not None and forecast.measured is None)

    def bind(self, read: Callable[[Any], dict[str, Any]], inputs: list[Any], again: gr.Button) -> None:
        """React.

        Args:
            read: makes the settings of what the form's `inputs` hold.
            again: is pressed when there is something new to say of the form.
        """
        shell = self._shell

        def begin(*values: Any, request: gr.Request) -> Any:
            shell.engine.measure(RunConfig.parse(read(values)))
            return self._course(shell.lang(request)), ""

        def changed(seen: str, request: gr.Request) -> Any:
            job = self._newest()
            now = f"{job.id} {job.status} {job.dismissed}" if job is not None else ""
            return gr.skip() if now == seen else (self._course(shell.lang(request)), now)

        begun = self.button.click(shell.safe(begin), inputs, [self.progress, self._seen], **TOLD)
        begun.then(None, None, None, js=press(shell.beat))
        self.progress.change(None, None, None, js=press(again))
        shell.on_tick(changed, [self._seen], [self.progress, self._seen])

    def _newest(self) -> Any:
        return next((job for job in self._shell.engine.jobs() if job.kind == KIND), None)

    def _course(self, lang: str) -> html.Markup:
        """How far the newest trial is, or why it came to nothing; what it measured stands in the forecast."""
        job = self._newest()
        shown = [job] if job is not None and job.status != "completed" else []
        return course(self._shell.live, shown, lang, lambda job: job.title)
