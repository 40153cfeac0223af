"""The way from a bare Python to a running program, with one tiny package in place of the large ones."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import app
from tests.__main__ import wants_browser, wants_two_processes
from workbench import bootstrap, installer
from workbench.config.first_words import refuse_old_python

ROOT = bootstrap.ROOT
# What a Python reads until it is told that it is too old.
ANY_PYTHON = (
    "app.py",
    "tests/__init__.py",
    "tests/__main__.py",
    "workbench/__init__.py",
    "workbench/__main__.py",
    "workbench/config/__init__.py",
    "workbench/config/first_words.py",
)
# What is read before the packages are there.
FIRST_READ = (
    "app.py",
    "tests/__init__.py",
    "tests/__main__.py",
    "workbench/__init__.py",
    "workbench/bootstrap.py",
    "workbench/installer.py",
    "workbench/proxies.py",
    "workbench/__main__.py",
    "workbench/config/arguments.py",
    "workbench/config/chatter.py",
    "workbench/config/errors.py",
    "workbench/config/first_words.py",
    "workbench/config/signals.py",
    "workbench/config/text.py",
)
PROGRAM = """
from workbench.bootstrap import ensure
ensure()
import sys, tinypackage
print("runs", tinypackage.VERSION, sys.argv[1:], sys.prefix)
"""


class Copy:
    """A repository with nothing but its start-up, whose one requirement lies in a folder of wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.venv = folder / ".venv"
        for name in FIRST_READ[3:]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        # As on a bare machine, where the rest of the package can't be imported yet.
        shutil.copy(ROOT / "workbench/config/__init__.py", folder / "workbench/config/__init__.py")
        (folder / "app.py").write_text(PROGRAM, encoding="utf-8")
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        for version in ("1.0", "2.0"):
            self._wheel(version)
        self.require("1.0")

    def _wheel(self, version: str) -> None:
        about = f"tinypackage-{version}.dist-info"
        with zipfile.ZipFile(self.wheels / f"tinypackage-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("tinypackage.py", f"VERSION = {version!r}\n")
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tinypackage\nVersion: {version}\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(
                f"{about}/RECORD", f"tinypackage.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n"
            )

    def require(self, version: str) -> None:
        (self.folder / "requirements.txt").write_text(f"# why\ntinypackage=={version}\n", encoding="utf-8")

    def start(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "WORKBENCH_"))}
        kept.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(self.wheels), PIP_CONFIG_FILE=os.devnull)
        kept.update(variables)
        command = [sys.executable, "app.py", *arguments]
        return subprocess.run(command, cwd=self.folder, env=kept, capture_output=True, encoding="utf-8", timeout=120)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy that was started once on a bare machine."""
    copy = Copy(tmp_path_factory.mktemp("repository"))
    first = copy.start("--flag", "two words")
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == f"runs 1.0 ['--flag', 'two words'] {copy.venv}"
    assert "Installing 1 packages" in first.stderr
    return copy


def test_the_second_start_installs_nothing(installed: Copy) -> None:
    again = installed.start()
    assert again.returncode == 0
    assert again.stdout.startswith("runs")
    assert again.stderr == ""


def test_changed_pins_are_installed_and_changed_comments_are_not(installed: Copy) -> None:
    installed.require("2.0")
    changed = installed.start()
    assert changed.stdout.startswith("runs 2.0"), changed.stderr
    installed.require("2.0  # another reason")
    assert installed.start().stderr == ""


def test_an_install_that_was_cut_off_is_begun_anew(installed: Copy) -> None:
    # What a kill leaves while pip copies files: the package looks installed and is not whole.
    (installed.venv / installer._BEGUN).write_text("", encoding="utf-8")
    (installed.venv / bootstrap.MARK).unlink()
    for module in installed.venv.glob("**/tinypackage.py"):
        module.unlink()
    mended = installed.start()
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout.startswith("runs")
    assert not (installed.venv / installer._BEGUN).exists()


def test_a_package_that_somebody_removed_comes_back(installed: Copy) -> None:
    subprocess.run(
        [bootstrap.venv_python(installed.folder), "-m", "pip", "uninstall", "-qy", "tinypackage"], check=True
    )
    assert installed.start().stdout.startswith("runs")


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "the network doesn't answer"), ("zh", "网络没有响应")], ids=["en", "zh"]
)
def test_a_dead_network_is_one_sentence_and_leaves_no_mark(installed: Copy, lang: str, words: str) -> None:
    installed.require("3.0")
    nowhere = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_RETRIES": "1", "PIP_INDEX_URL": "http://127.0.0.1:9/"}
    failed = installed.start("--lang", lang, **nowhere)
    assert failed.returncode == 2
    assert words in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr
    assert not (installed.venv / bootstrap.MARK).exists()


def test_a_package_that_nobody_has_is_named(installed: Copy) -> None:
    installed.require("3.0")
    failed = installed.start()
    assert failed.returncode == 2
    assert "There is no tinypackage==3.0 for Python" in failed.stderr
    assert "tinypackage==3.0" in (installed.venv / installer.LOG).read_text(encoding="utf-8")


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 8, 18), (3, 10, 13)])
@pytest.mark.parametrize(
    ("lang", "words"), [("en", "needs Python 3.11 or newer"), ("zh", "需要 Python 3.11 或更新版本")]
)
def test_a_python_that_is_too_old_is_told_so(
    version: tuple[int, ...], lang: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lang", lang])
    with pytest.raises(SystemExit) as left:
        refuse_old_python(version)
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert words in told and ".".join(map(str, version)) in told
    refuse_old_python((3, 11, 0))


@pytest.mark.parametrize("door", ["app.py", "tests/__main__.py", "workbench/__main__.py"])
def test_a_door_tells_it_before_anything_else(door: str) -> None:
    # The standard library is imported first, because it asks for the version too.
    code = (
        "import argparse, locale, pathlib, runpy, sys; sys.version_info = (3, 6, 15);"
        f"sys.meta_path.insert(0, type('Finder', (), {{'find_spec': lambda name, *rest: print(name)}}));"
        f"runpy.run_path({door!r}, run_name='__main__')"
    )
    left = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert left.returncode == 2, left.stderr
    assert "3.6.15" in left.stderr and "Traceback" not in left.stderr
    assert {name for name in left.stdout.split() if name.startswith(("workbench", "tests"))} <= {
        "workbench",
        "workbench.config",
        "workbench.config.first_words",
    }


def test_every_python_3_can_read_what_tells_it_so() -> None:
    # What came after 3.4, apart from what a parser of today no longer tells apart.
    newer = (ast.JoinedStr, ast.NamedExpr, ast.AnnAssign, ast.Match, ast.AsyncFunctionDef, ast.Await)
    for name in ANY_PYTHON:
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"), name, feature_version=(3, 8))
        for node in ast.walk(tree):
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            assert not isinstance(node, newer) and not future, f"{name}:{getattr(node, 'lineno', 0)}"
    # Here they are evaluated before the version is known; in the other files only afterwards.
    tree = ast.parse((ROOT / "workbench/config/first_words.py").read_text(encoding="utf-8"))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for annotation in (function.returns, *(argument.annotation for argument in function.args.args)):
            assert isinstance(annotation, ast.Constant | ast.Name), f"{function.name}: types in quotes"


def test_what_is_read_before_the_packages_are_there_needs_none() -> None:
    allowed = {
        "workbench",
        "workbench.bootstrap",
        "workbench.config",
        "workbench.config.arguments",
        "workbench.config.chatter",
        "workbench.config.errors",
        "workbench.config.first_words",
        "workbench.config.signals",
        "workbench.config.text",
        "workbench.proxies",
    }
    for name in FIRST_READ:
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"), name, feature_version=(3, 8))
        for node in tree.body:
            if isinstance(node, ast.Import):
                modules = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules = {str(node.module)}
            else:
                continue
            foreign = {module for module in modules if module.split(".")[0] not in sys.stdlib_module_names}
            assert foreign <= allowed, f"{name} imports {foreign - allowed} before the packages are there"


def test_the_check_imports_nothing_heavy() -> None:
    code = "import sys; from workbench.bootstrap import *; compare(read_pins(ROOT / APP)); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"torch", "pydantic", "gradio", "transformers"} & set(modules.split())


def test_every_requirement_is_pinned_exactly_and_has_a_reason() -> None:
    for name in (bootstrap.APP, bootstrap.TESTS):
        lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line]
        wanted = [line for line in lines if not line.startswith("#")]
        assert len(bootstrap.read_pins(ROOT / name)) == len(wanted)
        for line, above in zip(lines[1:], lines, strict=False):
            assert line.startswith("#") or above.startswith("#"), f"{name}: {line} has no reason above it"


def test_a_local_build_of_the_same_version_counts_as_that_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cpu")
    assert bootstrap.compare({"torch": "2.13.0"}) == ([], [])
    assert bootstrap.compare({"torch": "2.14.0"}) == ([], ["torch 2.13.0+cpu (2.14.0)"])


def test_environment_keeps_this_machine_away_from_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "intern.example")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "True")
    bootstrap.environment()
    bootstrap.environment()
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "intern.example,127.0.0.1,localhost,::1"
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    monkeypatch.setenv("NO_PROXY", "*")
    bootstrap.environment()
    assert os.environ["NO_PROXY"] == "*"


def test_a_space_listens_everywhere_and_another_computer_only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert (app._arguments().host, app._arguments().no_browser) == ("127.0.0.1", False)
    monkeypatch.setenv("SPACE_ID", "somebody/workbench")
    assert (app._arguments().host, app._arguments().no_browser) == ("0.0.0.0", True)


def test_language_comes_from_the_flag_then_the_variable_then_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.delenv("WORKBENCH_LANG", raising=False)
    assert bootstrap.language([]) == "zh"
    monkeypatch.setenv("WORKBENCH_LANG", "en")
    assert bootstrap.language([]) == "en"
    assert bootstrap.language(["--port", "1", "--lang", "zh"]) == "zh"
    assert bootstrap.language(["--lang=zh"]) == "zh"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], True),
        (["-q", "-x"], True),
        (["tests"], True),
        (["tests/browser/test_page.py::test_opens"], True),
        (["tests/test_bootstrap.py"], False),
        (["-m", "not browser"], False),
        (["--collect-only"], False),
    ],
)
def test_a_browser_is_wanted_only_for_browser_tests(
    arguments: list[str], wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests/browser").mkdir(parents=True)
    (tmp_path / "tests/browser/test_page.py").write_text("", encoding="utf-8")
    (tmp_path / "tests/test_bootstrap.py").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tests.__main__.BROWSER_TESTS", tmp_path / "tests/browser")
    assert wants_browser(arguments) is wanted


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], True),
        (["-m", "not browser"], True),
        (["-q", "--durations=9"], True),
        (["tests/test_bootstrap.py"], False),
        (["tests/test_bootstrap.py::test_something", "-v"], False),
        (["-n", "4"], False),
        (["-n0"], False),
        (["--dist=no"], False),
        (["--pdb"], False),
        (["--collect-only"], False),
    ],
)
def test_two_processes_share_the_tests_when_all_of_them_are_run(
    arguments: list[str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert wants_two_processes(arguments) is wanted
