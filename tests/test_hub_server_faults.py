"""What goes wrong between the Hub on this machine and the real huggingface_hub client, and what the client makes of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, IncompleteSnapshotError, LocalEntryNotFoundError
from huggingface_hub.utils import _xet
from tqdm.auto import tqdm

from tests.hub import Hub, Repo, made, online_process
from tests.hub.faults import rate_limit

MIB = 1024 * 1024
WEIGHTS = "*/model.safetensors"
FILES: dict[str, bytes | str] = {"config.json": "{}", "tokenizer.json": "[]", "model.safetensors": made(300_000)}
LARGE: dict[str, bytes | str] = {"config.json": "{}", "model.safetensors": made(25 * MIB)}


def download(hub: Hub, repo: Repo, **options: Any) -> dict[str, bytes]:
    """All files of the repository, by the client, as they lie there then."""
    folder = Path(snapshot_download(repo.id, endpoint=hub.url, token=False, **options))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def spans(hub: Hub, repo: Repo) -> list[str | None]:
    return [seen.span for seen in hub.fetches(repo, "model.safetensors")]


def left_over(tmp_path: Path) -> list[Path]:
    return list(tmp_path.rglob("*.incomplete"))


# A connection that ends


def test_a_small_file_that_is_cut_starts_again(hub: Hub, waits: list[float]) -> None:
    repo = hub.add("ann/tiny", FILES)
    hub.fault(WEIGHTS, cut=1000, times=1)
    assert download(hub, repo) == repo.files
    assert spans(hub, repo) == [None, None] and waits == [1]
    assert hub.bytes_sent(repo, "model.safetensors") == 301_000
    assert hub.times_fetched(repo)["config.json"] == 1


def test_a_large_file_that_is_cut_goes_on_after_the_last_ten_megabytes(hub: Hub, waits: list[float]) -> None:
    repo = hub.add("ann/large", LARGE)
    hub.fault(WEIGHTS, cut=11 * MIB)
    assert download(hub, repo) == repo.files
    assert spans(hub, repo) == [None, f"bytes={10 * MIB}-", f"bytes={20 * MIB}-"]


def test_a_file_that_is_always_cut_is_given_up_and_leaves_nothing(hub: Hub, waits: list[float], tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", FILES)
    fault = hub.fault(WEIGHTS, cut=1000)
    with pytest.raises(httpx2.RemoteProtocolError, match="received 1000 bytes, expected 300000"):
        download(hub, repo)
    assert fault.happened == 6 and waits == [1] * 5 and not left_over(tmp_path)
    hub.faults.lift()
    assert download(hub, repo) == repo.files
    assert hub.times_fetched(repo)["config.json"] == 1


def test_a_reset_is_not_tried_again(hub: Hub, waits: list[float], tmp_path: Path) -> None:
    repo = hub.add("ann/tiny", FILES)
    fault = hub.fault(WEIGHTS, cut=1000, reset=True)
    with pytest.raises(httpx2.ReadError):
        download(hub, repo)
    assert fault.happened == 1 and not waits and not left_over(tmp_path)


def test_a_hub_that_goes_away_and_comes_back(hub: Hub, waits: list[float]) -> None:
    repo = hub.add("ann/tiny", {"model.safetensors": FILES["model.safetensors"]})
    hold = hub.fault(WEIGHTS, hold=1000)
    leaves = threading.Thread(target=lambda: (hold.reached.wait(20), hub.down()))
    leaves.start()
    with pytest.raises(httpx2.ConnectError):
        download(hub, repo)
    leaves.join()
    assert waits == [1] * 5
    with pytest.raises(httpx2.ConnectError):
        HfApi(endpoint=hub.url, token=False).model_info(repo.id)
    with pytest.raises(IncompleteSnapshotError, match="model.safetensors"):
        download(hub, repo)
    hub.faults.lift()
    hub.up()
    assert download(hub, repo) == repo.files
    hub.down()
    assert download(hub, repo) == repo.files  # complete: the client takes what it has


def test_without_a_listing_half_a_model_is_given_back(hub: Hub) -> None:
    repo = hub.add("ann/tiny", FILES)
    hf_hub_download(repo.id, "config.json", endpoint=hub.url, token=False)
    hub.down()
    assert download(hub, repo) == {"config.json": b"{}"}
    with pytest.raises(LocalEntryNotFoundError, match="Connection refused"):
        snapshot_download("ann/other", endpoint=hub.url, token=False)


# A connection that takes its time


def test_slow(hub: Hub) -> None:
    repo = hub.add("ann/tiny", FILES)
    hub.fault(WEIGHTS, slow=1_000_000)
    start = time.monotonic()
    assert download(hub, repo) == repo.files
    assert time.monotonic() - start > 0.25


def test_nothing_is_answered(hub: Hub) -> None:
    repo = hub.add("ann/tiny", FILES)
    fault = hub.fault("/api/*", silent=True)
    with pytest.raises(httpx2.ReadTimeout):
        HfApi(endpoint=hub.url, token=False).model_info(repo.id, timeout=0.1)
    hub.faults.lift(fault)
    hub.fault("*/resolve/*", silent=True, times=1)
    assert download(hub, repo, etag_timeout=0.1, max_workers=1) == repo.files


def test_what_is_held_shows_the_middle_of_a_download(hub: Hub) -> None:
    repo = hub.add("ann/large", LARGE)
    bars: dict[str, tqdm[Any]] = {}

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})
            bars[options["desc"].split()[0]] = self
            self.n = 0

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0

    hold = hub.fault(WEIGHTS, hold=12 * MIB)
    loads = threading.Thread(target=download, args=(hub, repo), kwargs={"tqdm_class": Bar})
    loads.start()
    assert hold.reached.wait(20)
    assert hub.bytes_sent(repo, "model.safetensors") == 12 * MIB
    hold.release()
    loads.join()
    assert bars["Downloading"].n == bars["Reconstructing"].n == sum(map(len, repo.files.values()))
    assert bars["Fetching"].n == 2 and spans(hub, repo) == [None]


class Stopped(Exception):
    """What a test's bar raises."""


class Stops(tqdm):
    """A bar that wants the download to end as soon as bytes have come."""

    def update(self, n: float | None = 1) -> bool | None:
        if n and self.unit == "B":
            raise Stopped
        return super().update(n)


def test_an_error_in_the_bar_ends_a_download_over_http(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add("ann/large", LARGE)
    hold = hub.fault(WEIGHTS, hold=24 * MIB)
    with pytest.raises(Stopped):
        download(hub, repo, tqdm_class=Stops, allow_patterns=["model.safetensors"])
    assert hub.bytes_sent(repo) <= 24 * MIB and not left_over(tmp_path)
    hold.release()


def test_an_error_in_the_bar_does_not_end_one_over_xet_but_its_session_can_be_aborted(
    hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    repo = hub.add("ann/large", {"model.safetensors": LARGE["model.safetensors"]}, xet=True)
    assert download(hub, repo, tqdm_class=Stops) == repo.files  # the error is printed, and that is all
    assert "Stopped" in capfd.readouterr().err
    repo.change({"model.safetensors": made(25 * MIB, seed=1)})
    hold = hub.fault(WEIGHTS, hold=1000)
    aborts = threading.Thread(target=lambda: (hold.reached.wait(20), _xet.abort_xet_session()))
    aborts.start()
    # Which of them it is depends on what notices first; the second is said to be a signal's, and there was none.
    with pytest.raises((RuntimeError, KeyboardInterrupt), match="cancelled|SIGINT"):
        download(hub, repo)
    aborts.join()
    assert not left_over(tmp_path)


# Answers that refuse


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_of_the_hub(hub: Hub, waits: list[float], status: int) -> None:
    repo = hub.add("ann/tiny", FILES)
    api = HfApi(endpoint=hub.url, token=False)
    fault = hub.fault("/api/models/ann/*", status=status, message="Internal Error - We're working hard to fix this.")
    with pytest.raises(HfHubHTTPError, match="working hard") as caught:
        api.model_info(repo.id)
    assert caught.value.response.status_code == status
    with pytest.raises(LocalEntryNotFoundError, match=f"HfHubHTTPError: Server error '{status}"):
        download(hub, repo)
    assert waits == []  # asked once each
    hub.faults.lift(fault)
    hub.fault("*/tree/*", status=status, times=2)
    assert download(hub, repo) == repo.files and waits == [1, 2]


def test_an_error_of_the_storage_is_not_tried_again(hub: Hub, waits: list[float]) -> None:
    repo = hub.add("ann/tiny", FILES)
    hub.fault("/stored/*", status=503)
    with pytest.raises(HfHubHTTPError, match="503"):
        download(hub, repo)
    assert waits == []


def test_a_rate_limit(hub: Hub, waits: list[float]) -> None:
    repo = hub.add("ann/tiny", FILES)
    api = HfApi(endpoint=hub.url, token=False)
    hub.fault("/api/models*", times=1, **rate_limit(55))
    with pytest.raises(HfHubHTTPError, match="Retry after 55 seconds") as caught:
        api.model_info(repo.id)
    assert caught.value.response.headers["Retry-After"] == "55" and waits == []
    hub.fault("/api/models", times=1, **rate_limit(55))
    assert [model.id for model in api.list_models()] == [repo.id] and waits == [56]
    hub.fault("/stored/*", status=429, times=1, headers={"Retry-After": "7"})
    assert download(hub, repo) == repo.files and waits == [56, 8]


# Xet


def test_a_block_that_is_cut_is_asked_for_again(hub: Hub, waits: list[float]) -> None:
    repo = hub.add("ann/large", LARGE, xet=True)
    fault = hub.fault("/xet/block/*", cut=1000, times=2)
    assert download(hub, repo) == repo.files
    assert fault.happened == 2
    fetched = hub.fetches(repo, "model.safetensors")
    assert len(fetched) == 9 and sum(seen.ended for seen in fetched) == 7


@pytest.mark.parametrize("what", [{"cut": 1000}, {"status": 403}, {"status": 500}], ids=["cut", "403", "500"])
def test_blocks_that_never_come(waits: list[float], hub: Hub, tmp_path: Path, what: dict[str, Any]) -> None:
    repo = hub.add("ann/tiny", FILES, xet=True)
    hub.fault("/xet/block/*", **what)
    with pytest.raises(RuntimeError, match="File reconstruction error"):
        download(hub, repo)
    assert not left_over(tmp_path)
    hub.faults.lift()
    assert download(hub, repo) == repo.files


# Another process


def process(hub: Hub, folder: Path, code: str) -> subprocess.Popen[str]:
    start = [sys.executable, "-c", f"import huggingface_hub as hub\n{code}"]
    return subprocess.Popen(start, env=online_process(hub, folder), stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("xet", [False, True], ids=["http", "xet"])
def test_what_was_finished_before_a_kill_is_not_fetched_again(hub: Hub, tmp_path: Path, xet: bool) -> None:
    repo = hub.add("ann/tiny", FILES, xet=xet)
    hold = hub.fault(WEIGHTS, hold=200_000)
    code = "print(hub.snapshot_download('ann/tiny', token=False, max_workers=1))"
    first = process(hub, tmp_path, code)
    assert hold.reached.wait(20)
    first.kill()
    assert first.communicate()[0] == ""
    assert len(left_over(tmp_path)) == 1
    hub.faults.lift()
    again = process(hub, tmp_path, code)
    folder = Path(again.communicate()[0].strip())
    assert again.returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == repo.files
    assert spans(hub, repo)[0] == spans(hub, repo)[-1]  # from its beginning
    assert hub.times_fetched(repo) == {"config.json": 1, "model.safetensors": 2, "tokenizer.json": 1}
    assert len(left_over(tmp_path)) == 1  # nobody removes it


def test_another_process_reaches_this_hub_and_no_other(hub: Hub, tmp_path: Path) -> None:
    hub.add("ann/tiny", FILES)
    code = (
        "print(hub.HfApi().model_info('ann/tiny').id)\n"
        "try: hub.HfApi(endpoint='https://huggingface.co').model_info('ann/tiny')\n"
        "except Exception as error: print(type(error).__name__)"
    )
    assert process(hub, tmp_path, code).communicate(timeout=30)[0].split() == ["ann/tiny", "ConnectError"]
