"""What the page asks for: the only door between it and the engine, as one typed protocol.

`Engine` is one, and so is the double with which the page is tested; both are checked against it (`tests/session_types.py`). What
each method does and raises stands at the engine's own.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

from workbench.config.errors import Problem, WorkbenchError
from workbench.config.presets import Preset
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.data.library import DatasetInfo
from workbench.data.turns import Message
from workbench.engine.drafts import Drafts
from workbench.engine.fitting import MemoryFit
from workbench.engine.job_views import JobView
from workbench.engine.keeping import Keep
from workbench.engine.offers import Offer
from workbench.engine.plan import Forecast
from workbench.engine.records import RunRecord
from workbench.engine.suitability import Fit
from workbench.engine.views import Status
from workbench.hub import CachedModel, Reachable, Source, Unfinished
from workbench.hub.push import PushPlan
from workbench.models.catalog import ModelInfo
from workbench.models.shape import Shape


class Models(Protocol):
    """The base models of a home."""

    def list(self) -> Sequence[ModelInfo]:
        """All, those that can't be used with their `problem`."""

    def resolve(self, id_or_folder: str, /) -> ModelInfo:
        """The usable one of this id."""


class DataSets(Protocol):
    """The data sets of a home."""

    def list(self) -> Sequence[DatasetInfo]:
        """All, those that can't be used with their `problem`."""

    def add(self, path: Path, name: str | None = None) -> DatasetInfo:
        """Copy a file in under a new id."""


class Session(Protocol):
    """One home as the page sees it."""

    @property
    def home(self) -> Path:
        """Where everything is kept."""

    @property
    def allow_paths(self) -> bool:
        """Whether models and data may be named by a path, too."""

    @property
    def models(self) -> Models:
        """Base models."""

    @property
    def data(self) -> DataSets:
        """Data sets."""

    @property
    def drafts(self) -> Drafts:
        """The runs that visitors make up."""

    # What changes something

    def close(self) -> None:
        """Let a running training save itself, then go; while it still saves, nobody else may have what it works on."""

    def warm_up(self) -> None:
        """Import the heavy libraries in the background, so that the first run starts sooner."""

    def delete_model(self, model_id: str) -> None:
        """Remove a model's folder, or the entry of one that lies elsewhere."""

    def delete_data(self, dataset_id: str) -> None:
        """Remove one of the user's data sets. Raises as `delete_model` does."""

    def read_as(self, dataset_id: str, name: str) -> DatasetInfo:
        """Read one of the user's data sets in another format: see `DataLibrary.read_as`. Refused while a run needs it."""

    def save_preset(self, name: str, config: RunConfig) -> Preset:
        """Keep settings as a preset of a person's own: see `PresetShelf.save`."""

    def add_preset(self, content: bytes, file: str) -> Preset:
        """Keep the settings of a YAML file as one: see `PresetShelf.add`."""

    def delete_preset(self, preset_id: str) -> None:
        """Remove a preset of a person's own: see `PresetShelf.delete`."""

    def submit(self, config: RunConfig, click: str = "") -> str:
        """Queue a run; its id."""

    def stop(self, name: str) -> None:
        """Ask a run or a job to stop, whichever process does it; one that waits is stopped at once, one that is over stays."""

    def resume(self, run_id: str, overrides: dict[str, Any] | None = None) -> str:
        """Go on from the last checkpoint, or from the beginning when there is none yet; a finished run where it gets more to do."""

    def delete(self, run_id: str) -> None:
        """Remove a run with all that it made."""

    def wait(self, run_id: str, timeout: float | None = None) -> bool:
        """Wait until a run or a job that was begun here is over."""

    def status(self) -> Status:
        """What is loaded, what runs, how much memory is left. Cheap: asked every second by every page."""

    def start(self, kind: str, request: dict[str, Any]) -> str:
        """Queue a job of a kind (`engine/jobs/`); its id."""

    def measure(self, config: RunConfig) -> str:
        """Queue trial steps of a run, which say how long it will take here; the job's id. Those that go on stay the only ones."""

    def resume_job(self, job_id: str) -> str:
        """Do a job again that was stopped, interrupted or failed."""

    def push_plan(
        self, run_id: str, repo_id: str, what: Any = "adapter", *, private: bool = True, answers: bool = True
    ) -> PushPlan:
        """What uploading a run's result would send, where to, and who would see it; up to ten seconds."""

    def jobs(self) -> list[JobView]:
        """Everything that runs or waits, trainings too, and what other jobs came to, newest first."""

    def job(self, name: str) -> JobView:
        """One job or one training."""

    def dismiss(self, job_id: str) -> None:
        """Show a job that is over no more."""

    def chat(
        self,
        target: str,
        messages: list[Message],
        *,
        tuned: bool = True,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        stop: threading.Event | None = None,
    ) -> Generator[str, None, None]:
        """The answer of a model or of a run as it grows, each time whole."""

    # Where models come from

    def offers(self, words: str = "") -> Sequence[Offer]:
        """Models that can be downloaded: the recommended ones, or what the source finds; that takes up to ten seconds."""

    def download(self, repository: str) -> str:
        """Queue the download of a model: a repository's id or address, or a recommended model's id; the job's id."""

    def cached_models(self) -> list[CachedModel]:
        """Whole models in the Hub's own cache that are not in the list yet; looked for twice a minute at most."""

    def use_cached(self, repo_id: str) -> ModelInfo:
        """Take a model of the Hub's cache into the list of models, where it lies. Raises where it is not there."""

    def partial_downloads(self) -> list[Unfinished]:
        """Downloads of which something lies on the disk, but for those that are under way."""

    def discard_download(self, name: str) -> int:
        """Throw away what is there of a download; the bytes that this freed. Raises where it is going on."""

    def model_folders(self) -> tuple[Path, ...]:
        """Where models are kept, the home's own folder first, the one for new models last."""

    def use_token(self, text: str) -> None:
        """Keep an access token in this process's memory. Raises where it is none, and in a public demo."""

    def source(self) -> Source:
        """Where models come from and go to."""

    def choose_source(self, kind: str, endpoint: str = "", *, offline: bool = False, proxy: str = "") -> Reachable:
        """Take another one, for this home, and say whether it answers; that takes up to five seconds."""

    # What only looks

    def presets(self) -> list[Preset]:
        """All presets, the first-run ones first, a person's own last."""

    def preset(self, name: str) -> Preset:
        """One preset by its id."""

    def damaged_presets(self) -> dict[str, WorkbenchError]:
        """Why presets of a person's own can't be used, by their file's name."""

    def preset_fits(self) -> dict[str, Fit]:
        """Whether each preset works on this computer, by its id; what it leaves open is taken as usual."""

    def fit(self, config: RunConfig) -> Fit:
        """The same for settings."""

    def memory_fit(self, config: RunConfig, shape: Shape | None = None, row_tokens: int | None = None) -> MemoryFit:
        """Whether a run of these settings fits the memory here, and what would make it fit; of no data in particular."""

    def dataset(self, name: str) -> DatasetInfo | None:
        """What is known of a data set that can be used, also of a file where one may be named; else None."""

    def longest_row(self, name: str) -> int:
        """Tokens of a data set's longest row, guessed from its characters; 0 where it can't be read."""

    def read(self, dataset_id: str) -> dict[str, Any]:
        """A data set as it was read, without any model: what it is, its columns and their use, its problems."""

    def inspect(self, dataset_id: str, model_id: str, max_length: int, learn: str) -> dict[str, Any]:
        """Counts of a data set as a model would read it; tokenizes everything, so it may take seconds."""

    def sample(self, dataset_id: str, start: int, count: int) -> list[dict[str, Any]]:
        """Some rows of a data set, normalised."""

    def coloured(self, dataset_id: str, row: int, model_id: str, max_length: int, learn: str) -> list[Any]:
        """One row as the model sees it: pieces of text, each learned or not, cut off or not."""

    def keep(self, model: ModelInfo) -> Keep:
        """Which runs build on a model that is here, when one last did, and what deleting it frees."""

    def check(self, config: RunConfig) -> list[Problem]:
        """Everything that would keep this run from starting."""

    def unused(self, config: RunConfig) -> list[Text]:
        """The same in short: which settings, how many rows and which columns are not used, of what was read already."""

    def overlap(self, config: RunConfig) -> list[Text]:
        """Whether a run also learns the rows that it is checked with; empty when it does not."""

    def forecast(self, config: RunConfig) -> Forecast:
        """Steps, time, memory and disk of a run, before it starts."""

    def runs(self) -> list[RunRecord]:
        """All runs, newest first."""

    def run(self, run_id: str) -> RunRecord:
        """One run."""

    def damage(self, run_id: str) -> list[Text]:
        """What of a run's files cannot be read; of one whose record cannot, that record's `error` says so."""

    def events(self, run_id: str, after: int = 0) -> list[dict[str, Any]]:
        """What happened in a run after the event with this number."""

    def asking(self, run_id: str) -> tuple[tuple[str, ...], int | None]:
        """The questions that a run asks its model, and after how many steps again: 0 is a tenth, None only at the end."""

    def log(self, run_id: str, after_byte: int = 0) -> str:
        """What a run logged, from a byte on."""

    def is_run(self, name: str) -> bool:
        """Whether `name` is a run's id (and not a model's)."""

    def answers_notice(self, target: str) -> Text | None:
        """What to know about the answers of a model or a run: which of its own settings they do not follow."""
