"""What a kind of job declares, and what its work is given. Each kind is a class in a file of this folder."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from workbench.config.errors import StopRequested
from workbench.config.text import Text
from workbench.data.library import DataLibrary
from workbench.engine.runs import RunStore
from workbench.hub.sources import Source, read_source
from workbench.hub.tokens import Tokens
from workbench.models.catalog import ModelCatalog

Lane = Literal["device", "network", "disk"]
LANES: dict[Lane, int] = {"device": 1, "network": 3, "disk": 1}
"""How many jobs of a lane are worked on at once. Who is in the lane `device` holds the device's lease meanwhile."""

TOLD_SECONDS = 0.2  # between two reports that are kept in memory
WRITTEN_SECONDS = 1.0  # between two that other processes can read


class Request(BaseModel):
    """Base of what a kind is asked for: only plain values, as they stand in the job's record. Unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Tools:
    """What the engine lends to jobs."""

    home: Path
    store: RunStore
    models: ModelCatalog
    data: DataLibrary
    tokens: Tokens = field(default_factory=Tokens)
    """The Hub's access token: in this process's memory, the environment or the Hub's own store; in no record."""
    allow_paths: bool = False
    """Whether what is asked for may name a place outside the home: on the command line, and where it was allowed before."""

    @property
    def source(self) -> Source:
        """Where models come from and go to. Raises a WorkbenchError where that setting is damaged."""
        source, problem = read_source(self.home)
        if problem is not None:
            raise problem
        return source


class Job:
    """One job at work: what it was asked for, how it tells where it is, and whether it is to stop.

    Args:
        report: takes the changed fields of the record, and whether other processes have to see them now.
    """

    def __init__(
        self,
        job_id: str,
        request: Any,
        folder: Path,
        tools: Tools,
        stop: threading.Event,
        report: Callable[[dict[str, Any], bool], None],
    ) -> None:
        self.id, self.request, self.folder, self.tools, self.stop = job_id, request, folder, tools, stop
        self._report = report
        self._told = self._written = 0.0
        self._words: dict[str, str] | None = None
        self._untold: dict[str, Any] | None = None  # what others have not been told yet, or not in a file

    def progress(
        self,
        words: Text,
        done: int = 0,
        total: int | None = None,
        *,
        unit: str = "",
        seconds_left: float | None = None,
    ) -> None:
        """Tell what it does now and how far it is: cheap, to be called as often as one likes.

        Args:
            done, total: in `unit`; a total that is not known makes a bar that only moves.
            unit: "bytes", or "" for steps of the work.

        Raises:
            StopRequested: somebody asked it to stop.
        """
        said = words.as_dict()
        fresh, self._words = said != self._words, said
        self._untold = {"words": said, "done": done, "total": total, "unit": unit, "seconds_left": seconds_left}
        self._tell(at_once=fresh or done == total)
        self.check()

    def _tell(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if self._untold is None or (not at_once and now - self._told < TOLD_SECONDS):
            return
        write = at_once or now - self._written >= WRITTEN_SECONDS
        self._told, self._written = now, now if write else self._written
        values, self._untold = self._untold, None if write else self._untold
        self._report(values, write)

    def check(self) -> None:
        """Raise StopRequested when somebody asked it to stop. Work that has nothing new to tell calls it now and then."""
        self._tell(at_once=False)
        if self.stop.is_set():
            raise StopRequested


class JobKind(ABC):
    """One kind of job. A subclass in a file of this folder is found by itself: page and command line show its jobs."""

    kind: ClassVar[str]
    """Its word, in ids and on the command line."""

    lane: ClassVar[Lane]
    stopping: ClassVar[Text]
    """What stopping it does, as a sentence."""

    asks: ClassVar[type[Request]]
    """What it is asked for."""

    @abstractmethod
    def title(self, tools: Tools, request: Any) -> Text:
        """What it does, for people: "merging pirate-voice"."""

    def check(self, tools: Tools, request: Any) -> None:  # noqa: B027 - most kinds need none
        """Raise a WorkbenchError for what keeps it from starting."""

    def runs(self, request: Any) -> tuple[str, ...]:
        """Ids of the runs that it needs, with their base models: they are not deleted meanwhile."""
        return ()

    @abstractmethod
    def work(self, job: Job) -> dict[str, Any]:
        """Do it, and return what came of it, as plain values. Raises what went wrong; stopped, it raises StopRequested.

        What it leaves on the disk is whole or not there, or it goes on from it when it is called again with the same
        request.
        """
