"""The live pieces of the Run tab: state, numbers, chart, sentence, answers and log of a run, made from its events.

All pages that look at a run share one view of it, which reads only the events that are new.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from workbench.config.errors import WorkbenchError
from workbench.config.text import Text, same
from workbench.engine.runview import RunView
from workbench.engine.session import Session
from workbench.ui import chart, findinghtml, html, runhtml
from workbench.ui.live import Live

WATCHED = 16  # runs; one that was dropped is read again from its first event
LOG_KEPT = 40_000  # characters

LOG = Text("Log", "日志")
_NO_LOG = Text("The log is empty so far.", "日志还是空的。")


@dataclass
class _Watched:
    view: RunView
    log: str = ""
    log_bytes: int = 0
    base: Text | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class RunPieces:
    """Declares the pieces `run-status`, `run-tiles`, `run-chart`, `run-note`, `run-answers` and `run-log` for the ids of runs."""

    def __init__(self, engine: Session, live: Live) -> None:
        self.engine = engine
        self._watched: OrderedDict[str, _Watched] = OrderedDict()
        self._lock = threading.Lock()
        for name in ("status", "tiles", "chart", "note", "answers", "log"):
            live.piece(f"run-{name}", getattr(self, name))

    def status(self, run_id: str, lang: str) -> html.Markup:
        """What is trained, how far it is, how long it takes."""
        with self._look(run_id) as (record, watched):
            if watched.base is None:  # once: listing models reads files
                found = (info.name for info in self.engine.models.list() if info.id == record.base_model)
                watched.base = next(found, same(record.base_model))
            return runhtml.headline(record, watched.view, lang, watched.base.to(lang))

    def tiles(self, run_id: str, lang: str) -> html.Markup:
        """The numbers."""
        with self._look(run_id) as (record, watched):
            kept_back = record.active and self.engine.asking(run_id)[1] is not None
            return runhtml.tiles(record, watched.view, lang, kept_back)

    def chart(self, run_id: str, lang: str) -> dict[str, Any]:
        """What `chart.js` draws."""
        with self._look(run_id) as (record, watched):
            return {"run": run_id, **chart.drawing(watched.view, lang, runhtml.metrics_of(record))}

    def note(self, run_id: str, lang: str) -> html.Markup:
        """What the state means."""
        with self._look(run_id) as (record, watched):
            running = self.engine.status().running if record.status == "queued" else None
            # The next one is taken from the queue before the device is free for it.
            ahead = running.name if running is not None and running.status in ("running", "stopping") else ""
            damage = self.engine.damage(run_id)
            return runhtml.sentence(record, watched.view, lang, ahead, damage)

    def answers(self, run_id: str, lang: str) -> html.Markup:
        """First and latest answers."""
        with self._look(run_id) as (record, watched):
            asked, every = self.engine.asking(run_id) if record.active else ((), None)
            said = runhtml.answers(record, watched.view, lang, asked, every)
            return html.join([findinghtml.shown(watched.view.findings, lang), said])

    def log(self, run_id: str, lang: str) -> html.Markup:
        """The end of the log."""
        with self._look(run_id) as (_, watched):
            try:
                new = self.engine.log(run_id, after_byte=watched.log_bytes)
            except WorkbenchError as error:
                return html.note(error.message.to(lang))
            watched.log_bytes += len(new.encode("utf-8"))
            watched.log = (watched.log + new)[-LOG_KEPT:]
            return html.scrolled(watched.log or _NO_LOG.to(lang), LOG.to(lang))

    @contextmanager
    def _look(self, run_id: str) -> Iterator[tuple[Any, _Watched]]:
        """The run's record, and what its events say by now; nobody else reads or feeds it meanwhile.

        Raises:
            WorkbenchError: there is no such run.
        """
        record = self.engine.run(run_id)
        with self._lock:
            watched = self._watched.setdefault(run_id, _Watched(RunView(run_id)))
            self._watched.move_to_end(run_id)
            if len(self._watched) > WATCHED:
                self._watched.popitem(last=False)
        with watched.lock:
            with suppress(WorkbenchError):  # what lies there is no folder; the record says so
                watched.view.feed(self.engine.events(run_id, after=watched.view.cursor))
            yield record, watched
