"""Where models come from: what is offered, downloads, the Hub's own cache, the source and its token."""

from __future__ import annotations

import time
from pathlib import Path

from workbench.config.demo import is_demo, refuse_in_demo
from workbench.config.errors import WorkbenchError
from workbench.config.text import Text
from workbench.engine import offers
from workbench.engine.board import Board
from workbench.engine.fitting import shape_of_folder
from workbench.engine.jobs.base import Tools
from workbench.engine.looking import Looking
from workbench.engine.owners import Owners
from workbench.hub import (
    CachedModel,
    Reachable,
    Source,
    Tokens,
    Unfinished,
    cached,
    discard,
    make_source,
    reachable,
    read_source,
    save_source,
    scan,
    unfinished,
)
from workbench.models.catalog import ModelInfo
from workbench.models.folders import choose_models_folder, model_folders
from workbench.models.shape import Shape

CACHE_SECONDS = 30.0  # between two looks into the Hub's cache


class Supply(Looking):
    """The part of the engine that brings models; an `Engine` is one."""

    tokens: Tokens
    _tools: Tools
    _owners: Owners
    _board: Board
    _cached: tuple[float, list[CachedModel]] | None = None

    def offers(self, words: str = "") -> list[offers.Offer]:
        """Models that can be downloaded: the recommended ones, or what the source finds; that takes up to ten seconds."""
        if is_demo() or not words.strip():
            return offers.recommended(self.source(), words)
        return offers.found(self._tools.source, words, self.tokens.current())

    def shape(self, model: str) -> Shape:
        """The shape of a model, wherever it is: here, recommended, or at the source, which is asked for its config.json.

        Raises:
            WorkbenchError: there is no such model.
        """
        try:
            info = self.models.resolve(model, self.allow_paths)
        except WorkbenchError as error:
            if error.code != "unknown_model" or not offers.can_come(model):
                raise
            return offers.shape_named(self._tools.source, model, self.tokens.current())
        return shape_of_folder(info.folder, info.parameters)

    def download(self, repository: str) -> str:
        """Queue the download of a model: a repository's id or address, or a recommended model's id; the job's id.

        One that was stopped, interrupted or failed goes on under its own id; one that is under way here stays the only one.
        """
        request = offers.request_for(self._tools.source, repository)
        with self._owners.beginning():
            known = next((job for job in self._board.jobs() if (job.kind, job.request) == ("download", request)), None)
            if known is not None and known.active and self._owners.mine(known.id):
                return known.id
            if known is not None and known.resumable:
                return self._board.resume(known.id)
            return self._board.start("download", request)

    def cached_models(self) -> list[CachedModel]:
        """Whole models in the Hub's own cache that are not in the list yet; looked for twice a minute at most."""
        now = time.monotonic()
        if self._cached is None or now - self._cached[0] > CACHE_SECONDS:
            self._cached = now, [] if is_demo() else scan()
        return offers.unregistered(self._cached[1], [info.folder for info in self.models.list()])

    def use_cached(self, repo_id: str) -> ModelInfo:
        """Take a model of the Hub's cache into the list of models, where it lies. Raises where it is not there."""
        refuse_in_demo()
        found = cached(repo_id)
        if found is None:
            raise offers.not_cached(repo_id)
        return self.models.add(found.folder, found.name)

    def partial_downloads(self) -> list[Unfinished]:
        """Downloads of which something lies on the disk, but for those that are under way."""
        under_way = {job.request.get("repo_id") for job in self._board.jobs() if job.kind == "download" and job.active}
        parts = [part for folder in dict.fromkeys(model_folders(self.home)) for part in unfinished(folder)]
        return [part for part in parts if part.record.repo_id not in under_way]

    def discard_download(self, name: str) -> int:
        """Throw away what is there of a download; the bytes that this freed. Raises where it is going on."""
        return sum(discard(folder / name) for folder in dict.fromkeys(model_folders(self.home)))

    def model_folders(self) -> tuple[Path, ...]:
        """Where models are kept, the home's own folder first, the one for new models last."""
        return model_folders(self.home)

    def choose_models_folder(self, folder: Path) -> Path:
        """Put new models into another folder from now on, such as one on another disk. Only for who may name paths.

        Raises:
            WorkbenchError: nothing can be written there, or it belongs to the home.
        """
        if not self.allow_paths:
            raise WorkbenchError(
                Text("the page chooses no folders", "页面不能选择文件夹"),
                Text(
                    "On the command line: python -m workbench models folder DIR",
                    "请用命令行：python -m workbench models folder 文件夹",
                ),
                code="no_paths",
            )
        return choose_models_folder(self.home, folder)

    def use_token(self, text: str) -> None:
        """Keep an access token in this process's memory. Raises where it is none, and in a public demo."""
        refuse_in_demo()
        self.tokens.use(text)

    def source(self) -> Source:
        """Where models come from and go to."""
        return read_source(self.home)[0]

    def choose_source(self, kind: str, endpoint: str = "", *, offline: bool = False, proxy: str = "") -> Reachable:
        """Take another one, for this home, and say whether it answers; that takes up to five seconds.

        Raises:
            WorkbenchError: the address is none; nothing was changed then.
        """
        refuse_in_demo()
        source = make_source(kind, endpoint, offline, proxy)
        save_source(self.home, source)
        return reachable(source)
