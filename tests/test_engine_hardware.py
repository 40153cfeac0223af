"""Memory as it is counted for the header and for forecasts: of the container, where that has less than the computer."""

from pathlib import Path

import pytest

from workbench.engine import container, hardware

GB = 1024**3


def group(folder: Path, version: int, limit: str, current: int, cache: int) -> Path:
    """A folder like that of a control group of this version."""
    most, used, stat, name = container.LAYOUTS[0 if version == 2 else 1]
    for file, content in ((most, limit), (used, current), (stat, f"anon 1\n{name} {cache}\nfile 2\n")):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"{content}\n")
    return folder


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_has_what_it_may_use(tmp_path, version):
    root = group(tmp_path, version, str(16 * GB), 5 * GB, 2 * GB)
    assert container.limited(20 * GB, 64 * GB, root) == (3 * GB, 16 * GB)


@pytest.mark.parametrize(("version", "limit"), [(2, "max"), (1, str(2**63 - 4096)), (2, str(64 * GB)), (2, "rubbish")])
def test_a_group_without_a_limit_leaves_the_computers_figures(tmp_path, version, limit):
    root = group(tmp_path, version, limit, 5 * GB, 2 * GB)
    assert container.limited(20 * GB, 64 * GB, root) == (20 * GB, 64 * GB)


def test_a_computer_without_groups_has_its_own_figures(tmp_path):
    assert container.limited(20 * GB, 64 * GB, tmp_path) == (20 * GB, 64 * GB)


def test_what_is_left_is_what_the_container_leaves(monkeypatch):
    monkeypatch.setattr(hardware, "cuda_module", lambda: None)
    monkeypatch.setattr(hardware, "limited", lambda used, total: (3 * GB, 16 * GB))
    assert hardware.memory().free == 13 * GB


@pytest.fixture
def cores(monkeypatch):
    """How many cores are counted, with a value of OMP_NUM_THREADS."""

    def counted(threads: str) -> int:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        return hardware.physical_cores.__wrapped__()

    return counted


@pytest.mark.parametrize(("threads", "expected"), [("1", 1), ("3", 3), ("2,1", 2)])
def test_no_more_threads_compute_than_the_environment_allows(cores, threads, expected):
    assert cores(threads) == expected


@pytest.mark.parametrize("threads", ["", "0", "many", "-2", "²"])
def test_an_environment_that_allows_no_number_changes_nothing(cores, threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    alone = hardware.physical_cores.__wrapped__()
    assert cores(threads) == alone
