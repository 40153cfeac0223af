"""Installing packages: which build of torch, what a person sees meanwhile, and what pip's errors mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import installer
from workbench.config.errors import WorkbenchError


def test_a_missing_venv_module_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WorkbenchError) as raised:
        installer._make(tmp_path / ".venv")
    assert raised.value.code == "no_venv"
    assert "apt install python3" in raised.value.to("en")
    assert "apt install python3" in raised.value.to("zh")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk_full"),
        ("OSError: [WinError 112] There is not enough space on the disk", "disk_full"),
        ("The virtual environment was not created successfully because ensurepip is not\navailable.", "no_venv"),
        ("NewConnectionError('Failed to establish a new connection: [Errno 111] Connection refused')", "network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no_build"),
        ("PermissionError: [Errno 13] Permission denied: '/opt/workbench/.venv'", "not_writable"),
        ("OSError: [Errno 30] Read-only file system: '/workbench/.venv'", "not_writable"),
        ("ERROR: something that nobody has seen", "pip_failed"),
        ("", "pip_failed"),
    ],
)
def test_what_pip_says_becomes_one_sentence(said: str, code: str, tmp_path: Path) -> None:
    error = installer.explain(said.splitlines(), tmp_path / ".venv")
    assert error.code == code
    assert "\n" not in error.to("en")
    assert error.to("zh") != error.to("en")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(venv: Path) -> None:
        raise PermissionError(13, "Permission denied", str(venv))

    (tmp_path / "requirements.txt").write_text("tinypackage==1.0\n", encoding="utf-8")
    monkeypatch.setattr(installer, "_make", refuse)
    with pytest.raises(WorkbenchError) as raised:
        installer.install(tmp_path, ["requirements.txt"])
    assert raised.value.code == "not_writable"


_NEW_CARD, _OLD_CARD, _OLD_DRIVER = (580.0, 8.6), (580.0, 6.1), (550.0, 8.6)


@pytest.mark.parametrize(
    ("system", "cards", "index"),
    [
        ("linux", [], "cpu"),
        ("linux", [_NEW_CARD], None),
        ("linux", [_OLD_DRIVER], "cu126"),
        ("win32", [], None),
        ("win32", [_NEW_CARD], "cu130"),
        ("win32", [_NEW_CARD, _OLD_CARD], "cu126"),
        ("darwin", [], None),
    ],
)
def test_torch_comes_from_the_index_for_this_computer(
    system: str, cards: list[tuple[float, float]], index: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "WORKBENCH_TORCH_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(installer.sys, "platform", system)
    monkeypatch.setattr(installer, "_cards", lambda: cards)
    found = installer.torch_index()[0]
    assert found == (f"https://download.pytorch.org/whl/{index}" if index else None)
    # A mirror has only what the usual index has: not the right build for a card, and for no card one that works.
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    assert installer.torch_index() == (found if cards else None, False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert installer.torch_index() == (None, False)
    monkeypatch.setenv("WORKBENCH_TORCH_INDEX", "https://mirror.example/cu130")
    assert installer.torch_index() == ("https://mirror.example/cu130", True)


@pytest.mark.parametrize("mirror", [True, False])
def test_a_card_whose_build_is_out_of_reach_is_told_about(
    mirror: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def pip(root: Path, options: list[str], version: str, total: int) -> WorkbenchError | None:
        asked.append(options)
        return installer.explain(["Max retries exceeded"], tmp_path) if "--index-url" in options else None

    (tmp_path / ".venv").mkdir()
    (tmp_path / "requirements.txt").write_text("torch==2.13.0\n", encoding="utf-8")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "WORKBENCH_TORCH_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple" if mirror else "")
    monkeypatch.setattr(installer.sys, "platform", "win32")
    monkeypatch.setattr(installer, "_cards", lambda: [_NEW_CARD])
    monkeypatch.setattr(installer, "_pip", pip)
    if mirror:
        installer._install_all(tmp_path, ["requirements.txt"], "25.0")
        assert asked[-1] == ["-r", str(tmp_path / "requirements.txt")]
        assert "WORKBENCH_TORCH_INDEX" in capsys.readouterr().err
    else:
        with pytest.raises(WorkbenchError):
            installer._install_all(tmp_path, ["requirements.txt"], "25.0")
    assert "https://download.pytorch.org/whl/cu130" in asked[0]


def test_pips_lines_become_a_count_and_a_size(capsys: pytest.CaptureFixture[str]) -> None:
    display = installer._Display(2)
    display.lang = "en"
    for line in (
        "Collecting torch==2.13.0 (from -r requirements.txt (line 4))",
        "  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (29 kB)",
        "  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (190.2 MB)",
        "Progress 1000 of 2000",
        "Collecting sympy>=1.13 (from torch==2.13.0->-r requirements.txt (line 4))",
        "  Using cached sympy-1.14.0-py3-none-any.whl (6.3 MB)",
        "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken",
        "Installing collected packages: mpmath, sympy, torch",
    ):
        display.feed(line)
    assert capsys.readouterr().err.splitlines() == [
        "1 of 2 packages: torch 2.13.0 (190.2 MB)",
        "1 of 2 packages and 1 that they need: sympy 1.14.0 (6.3 MB)",
        "The network doesn't answer; trying again",
        "Unpacking 3 packages",
    ]
