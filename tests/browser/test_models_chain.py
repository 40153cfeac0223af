"""The whole road of a model from elsewhere, in both languages: found, downloaded, trained on, its adapter uploaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import TABS, App, fill, runs_of, show, type_into, wait_until
from tests.browser.traffic import settled
from tests.hub import Fault, Hub, online_process
from tests.tiny_models import make_base

REPO, NAME, HUGE = "ann/tea-house-tiny", "tea-house-tiny", "ann/tea-house-huge"
TOKEN = "hf_" + "pLaNtEdToKeN" * 2 + "0123456789"
WIDTHS = (1280, 390)
SAYS = "([place, words]) => document.querySelector(place)?.innerText.includes(words)"
SHOWN = "places => places.map(place => document.querySelector(place)?.innerText)"
PICTURES = os.environ.get("WORKBENCH_PICTURES", "")  # a folder: then a picture of each station is put there


@dataclass(frozen=True)
class Words:
    """What the page says in one language, and the data set of its readers."""

    kept: str
    cancelled: str
    here: str
    fits: str
    too_large: str
    steps: str
    finished: str
    private: str
    uploaded: str


WORDS = {
    "en": Words(
        "is used until this program ends", "stopped", "is here now", "can be trained here", "too large to train here",
        "Steps", "Finished", "only its owner sees it", "It is uploaded",
    ),
    "zh": Words("令牌已启用", "已停止", "已下载完成", "可在此训练", "太大，无法在此训练", "步数", "已完成", "只有所有者可见", "已上传"),
}  # fmt: skip


def weights(count: int) -> dict[str, Any]:
    """What a Hub says of a model's size."""
    return {"total": count, "parameters": {"F32": count}}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub with three models, one of which is a real one whose weights lie in several files."""
    folder = make_base(tmp_path / "made", shard="100KB")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1024}))  # room for real rows
    about: dict[str, Any] = {"tags": ["safetensors"], "pipeline_tag": "text-generation", "license": "mit"}
    with Hub() as hub:
        files: dict[str, bytes | str] = {path.name: path.read_bytes() for path in folder.iterdir()}
        hub.add(REPO, files, downloads=12_000, safetensors=weights(91_000), **about)
        hub.add(HUGE, {}, safetensors=weights(10**12), **about)
        hub.add("ben/coffee-house", {}, **about)
        hub.account("ben", token=TOKEN)
        yield hub


@dataclass
class Road:
    """One reader's way; each method is a station."""

    page: Any
    app: App
    hub: Hub
    lang: str

    @property
    def words(self) -> Words:
        return WORDS[self.lang]

    def says(self, place: str, words: str) -> None:
        """Wait until it is said there."""
        try:
            self.page.wait_for_function(SAYS, arg=[place, words])
        except Exception as error:
            told = self.page.evaluate(SHOWN, [place, ".toast-wrap"])
            raise AssertionError(f"{place} does not say {words!r}: {told}") from error

    def looks_right(self, station: str) -> None:
        """At each width: nothing is wider than the screen."""
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 900})
            self.page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)
            if PICTURES:
                self.page.wait_for_timeout(600)
                self.page.screenshot(path=f"{PICTURES}/{station}-{self.lang}-{width}.png", full_page=True)
        self.page.set_viewport_size({"width": WIDTHS[0], "height": 900})

    def give_token(self) -> None:
        """Type the access token into its field, which forgets it."""
        self.page.click("#find > button")
        self.page.wait_for_selector("#find-results label")
        self.page.click("#find-source > button")
        type_into(self.page, "#find-token input", TOKEN)
        self.page.click("#find-token-use")
        self.says("#find-token-note", self.words.kept)
        assert self.page.input_value("#find-token input") == ""
        self.looks_right("token")

    def search(self) -> None:
        """Find the model by words and choose it among what was found."""
        if not self.page.is_visible("#find-words"):
            self.page.click("#find > button")
            self.page.wait_for_selector("#find-results label")
        type_into(self.page, "#find-words :is(input, textarea)", "tea house")
        self.page.click("#find-search")
        self.page.wait_for_function("() => document.querySelectorAll('#find-results label').length === 2")
        assert self.words.too_large in self.page.inner_text(f"#find-results label:has-text('{HUGE}')")
        found = self.page.locator(f"#find-results label:has-text('{REPO}')")
        assert self.words.fits in found.inner_text()
        found.click()
        self.page.wait_for_selector("#find-download:not([disabled])")
        self.says("#find-about", REPO)

    def far(self) -> int:
        """How far the bar on the Model tab is, in percent; -1 without one."""
        bar = "document.querySelector('#find-progress [role=progressbar]')"
        return int(self.page.evaluate(f"() => {bar}?.getAttribute('aria-valuenow') ?? -1"))

    def bar_passes(self, share: int) -> int:
        """Wait until the bar is further than that."""
        bar = "document.querySelector('#find-progress [role=progressbar]')"
        self.page.wait_for_function(f"share => +({bar}?.getAttribute('aria-valuenow') ?? -1) > share", arg=share)
        return self.far()

    def cancel(self, place: str) -> None:
        """At the bar, or in the list that opens at the top; both are there."""
        self.page.click("#chip-run")
        self.page.wait_for_selector("#header-jobs [data-deed=cancel]")
        self.looks_right("jobs")
        if place != "#header-jobs":
            self.page.keyboard.press("Escape")
            self.page.wait_for_selector("#header-jobs", state="hidden")
        self.page.click(f"{place} [data-deed=cancel]")
        self.says("#find-progress", self.words.cancelled)
        assert self.far() == -1
        self.page.keyboard.press("Escape")
        self.looks_right("cancelled")

    def choose(self) -> None:
        """The model is in the list of those on this computer; take it as the base."""
        here = self.page.locator(f"#model-choice label:has-text('{NAME}')")
        assert self.words.fits in here.inner_text()
        here.click()
        self.says("#model-about", NAME)
        self.looks_right("chosen")

    def train(self, steps: int) -> dict[str, Any]:
        """The record of a run with a data set that ships."""
        show(self.page, "train")
        self.page.wait_for_function(
            "name => document.querySelector('#field-model-base input').value.includes(name)", arg=NAME
        )
        self.page.wait_for_selector("#train-forecast .facts")
        if not self.page.locator("#field-optimization-max_steps input").is_visible():
            self.page.click("#fold-optimization > button")
        fill(self.page, "optimization-max_steps", str(steps))
        self.page.wait_for_function(
            "([words, steps]) => new RegExp(`${words}\\\\s+${steps}\\\\b`).test("
            "document.querySelector('#train-forecast').innerText)",
            arg=[self.words.steps, steps],
        )
        self.looks_right("train")
        self.page.click("#train-start")
        wait_until(lambda: runs_of(self.app.home))
        wait_until(lambda: runs_of(self.app.home)[0]["status"] not in ("queued", "running"))
        self.says("#run-status", self.words.finished)
        self.looks_right("run")
        return runs_of(self.app.home)[0]

    def upload(self, name: str) -> None:
        """What would be sent is shown, then it is sent."""
        show(self.page, "export")
        self.page.wait_for_selector("#export-facts .kpis")
        self.page.click("#push > button")
        type_into(self.page, "#push-name :is(input, textarea)", name)
        self.page.click("#push-look")
        self.says("#push-plan", "adapter_model.safetensors")
        self.says("#push-plan", self.words.private)
        self.looks_right("plan")
        self.page.click("#push-start:not([disabled])")
        self.says("#push-progress", self.words.uploaded)
        self.page.wait_for_selector(f"#push-progress a[href='{self.hub.url}/ben/{name}']")
        self.looks_right("uploaded")

    def delete(self) -> None:
        """The chosen model goes, after a question that names the run that builds on it."""
        show(self.page, "model")
        settled(self.page)  # the tab that opens looks anew, and its answer shows no question
        self.says("#model-about", NAME)
        self.page.click("#model-delete")
        self.says("#model-delete-words", NAME)
        self.says("#model-delete-words", runs_of(self.app.home)[0]["name"])
        self.looks_right("delete")
        self.page.click("#model-delete-yes")
        gone = "name => !document.querySelector('#model-choice').innerText.includes(name)"
        self.page.wait_for_function(gone, arg=NAME)
        self.page.wait_for_selector("#model-delete", state="hidden")
        self.page.wait_for_function("() => !document.querySelector('#find-progress').innerText.trim()")
        assert not (self.app.home / "models" / NAME).exists()
        self.looks_right("deleted")


def held(hub: Hub, number: int) -> Fault:
    """From now on, a file of the weights stops half-way until it is released."""
    path = next(name for name in sorted(hub.repo(REPO).files) if name.startswith(f"model-{number:05}-"))
    return hub.fault(f"/stored/*/{path}", method="GET", hold=len(hub.repo(REPO).files[path]) // 2)


def comes_to(fault: Fault) -> None:
    wait_until(fault.reached.is_set)


def secrets(folder: Path) -> list[str]:
    """The files in which the token stands."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_model_is_found_downloaded_trained_its_adapter_uploaded_and_it_is_deleted(
    hub: Hub, open_page: Any, tmp_path: Path, lang: str
) -> None:
    app = App(tmp_path / "home", environment=online_process(hub, tmp_path)).start()
    try:
        road = Road(open_page(app.url, lang=lang), app, hub, lang)
        road.give_token()
        download_with_a_break(road, again="search" if lang == "en" else "resume")
        road.choose()
        run = road.train(steps=10)
        assert (run["status"], run["base_model"], run["last_step"]) == ("completed", NAME, 10), run["error"]
        road.upload(f"tuned-{lang}")
        repo = hub.repo(f"ben/tuned-{lang}")
        assert repo.private and {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= set(repo.files)
        adapter = app.home / "runs" / run["id"] / "adapter" / "adapter_model.safetensors"
        assert repo.files["adapter_model.safetensors"] == adapter.read_bytes()
        assert f"base_model: {REPO}" in repo.files["README.md"].decode()
        road.delete()
        for tab in TABS:
            show(road.page, tab)
            settled(road.page)
            assert TOKEN not in road.page.content()
        assert TOKEN not in road.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    finally:
        app.close()
    assert not secrets(tmp_path) and TOKEN not in "".join(app.printed)


def download_with_a_break(road: Road, again: str) -> None:
    """The bar moves, stays over a reload, and goes on; what is whole is not fetched twice after Cancel."""
    page, hub = road.page, road.hub
    first, second, third = (held(hub, number) for number in (1, 2, 3))
    road.search()
    road.looks_right("found")
    page.click("#find-download")
    comes_to(first)
    far = road.bar_passes(0)
    road.says("#find-progress", REPO)
    first.release()
    comes_to(second)
    far = road.bar_passes(far)
    page.reload()
    page.wait_for_selector("#find-progress [role=progressbar]")
    assert far <= road.far() < 100
    second.release()
    comes_to(third)
    road.bar_passes(far)
    road.looks_right("bar")
    road.cancel("#header-jobs" if again == "search" else "#find-progress")
    there = {name for name, seen in fetched(hub).items() if all(seen)}
    hub.faults.lift()
    hub.seen.clear()
    if again == "search":
        road.search()
        page.click("#find-download")
    else:
        page.click("#find-progress [data-deed=resume]")
    road.says("#find-progress", road.words.here)
    twice = there & set(fetched(hub))
    assert twice <= {"config.json"}, "the plan reads it to know whether the model can be used"
    assert len(there) > 5 and [seen.span for seen in hub.fetches(hub.repo(REPO), "model-00003-*")] != [None]
    road.says("#model-choice", NAME)
    page.wait_for_function(
        "() => !document.querySelector('#find-progress [data-deed]')"
    )  # nothing is left to be resumed
    road.looks_right("here")


def fetched(hub: Hub) -> dict[str, list[bool]]:
    """The files of the model that were asked for, and whether each time all was sent."""
    found: dict[str, list[bool]] = {}
    for seen in hub.fetches(hub.repo(REPO)):
        found.setdefault(seen.file[1], []).append(seen.ended)  # type: ignore[index]
    return found
