"""Memory as it is counted for the header and for forecasts: of the container, where that has less than the computer."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench.config.errors import WorkbenchError
from workbench.config.run import RunConfig
from workbench.engine import checks, container, hardware

GB = 1024**3
CONFIG = RunConfig()


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


def card(built, capability=(8, 6), name="A card", gfx=None):
    """A double of torch.cuda with one card, in a torch that was built for some kinds of cards."""

    def properties(index):
        return SimpleNamespace(gcnArchName=gfx) if gfx else SimpleNamespace()

    return SimpleNamespace(
        get_arch_list=lambda: built,
        get_device_name=lambda index: name,
        get_device_capability=lambda index: capability,
        get_device_properties=properties,
    )


@pytest.mark.parametrize(
    ("built", "capability"),
    [
        (["sm_80", "sm_86"], (8, 6)),
        (["sm_80"], (8, 9)),  # a binary for an earlier card of its kind
        (["sm_50", "compute_50"], (12, 0)),  # compiled for it when it is needed
        (["sm_90a"], (9, 0)),
        (["sm_100f"], (10, 3)),
        (["sm_120"], (12, 0)),
        ([], (3, 5)),  # nothing is known
        (["something"], (3, 5)),
    ],
)
def test_a_card_that_torch_was_built_for_is_taken(monkeypatch, built, capability):
    monkeypatch.setattr(hardware, "cuda_module", lambda: card(built, capability))
    assert hardware.unsupported_card() is None
    checks.check_device(CONFIG, "cuda:0")


@pytest.mark.parametrize(
    ("built", "capability", "newer"),
    [
        (["sm_80", "sm_86", "sm_90"], (12, 0), True),
        (["sm_75", "sm_80", "compute_120"], (6, 1), False),
        (["sm_86"], (8, 0), False),  # of its kind, and built for a later one
        (["sm_90a", "sm_80"], (9, 1), True),
        (["sm_100f"], (12, 0), True),
        (["compute_90"], (8, 9), False),
    ],
)
def test_a_card_without_kernels_is_named_before_anything_starts(monkeypatch, built, capability, newer):
    monkeypatch.setattr(hardware, "cuda_module", lambda: card(built, capability, "GeForce Something"))
    with pytest.raises(WorkbenchError, match="GeForce Something") as caught:
        checks.check_device(CONFIG, "cuda:1")
    assert caught.value.code == "no_kernels" and f"{capability[0]}.{capability[1]}" in caught.value.to("zh")
    assert ("newer" in caught.value.to("en")) == newer == ("比 torch 新" in caught.value.to("zh"))
    checks.check_device(CONFIG, "cpu")
    monkeypatch.setattr(checks, "torch_is_loaded", lambda: True)
    monkeypatch.setattr(checks, "cuda_module", hardware.cuda_module)
    assert [problem.message for problem in checks._hardware(CONFIG)] == [caught.value.message]


@pytest.mark.parametrize(("own", "fits"), [("gfx1100:sramecc+:xnack-", True), ("gfx1036", False), (None, True)])
def test_cards_of_amd_go_by_their_names(monkeypatch, own, fits):
    monkeypatch.setattr(hardware, "cuda_module", lambda: card(["gfx90a", "gfx1100"], (11, 0), gfx=own))
    assert (hardware.unsupported_card() is None) == fits


def test_a_driver_that_says_nothing_and_a_computer_without_cards_stop_nobody(monkeypatch):
    def silent(index):
        raise RuntimeError("driver")

    broken = card(["sm_80"])
    broken.get_device_capability = silent
    monkeypatch.setattr(hardware, "cuda_module", lambda: broken)
    assert hardware.unsupported_card() is None
    monkeypatch.setattr(hardware, "cuda_module", lambda: None)
    assert hardware.unsupported_card() is None


def test_chat_loads_no_model_for_a_card_without_kernels(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    from workbench.engine import chats
    from workbench.models import loading

    monkeypatch.setattr(loading, "pick_device", lambda: "cuda:0")
    monkeypatch.setattr(hardware, "cuda_module", lambda: card(["sm_90"], (7, 5)))
    with pytest.raises(WorkbenchError) as caught:
        chats._load(tmp_path, None, "none")
    assert caught.value.code == "no_kernels"
