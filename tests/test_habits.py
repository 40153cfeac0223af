"""The repository's habits, read from its source without running it.

Which way imports run, what a start may load, lengths, banned calls, both languages of every text, lint, format, types.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.bootstrap import APP, ROOT, read_pins

PACKAGE = ROOT / "workbench"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "app.py"])
SHIPPED = [path for path in SOURCES if ROOT / "tests" not in path.parents]

# Which part of the package may import which others. Imports run one way: down.
ARROWS = {
    "": {"config"},  # bootstrap, installer and proxies, of which only text and errors
    "config": set(),
    "data": {"config"},
    "adapters": {"config"},
    "models": {"config", "adapters"},
    "hub": {"config", "models"},
    "methods": {"config", "data", "models", "adapters"},
    "export": {"config", "data", "models"},
    "evaluation": {"config", "data"},
    "engine": {"config", "adapters", "data", "models", "hub", "methods", "export", "evaluation"},
    "__main__": {"", "config", "engine", "methods"},  # the names of the methods' numbers
    "reference": {"config", "adapters", "methods"},  # writes docs from the settings
    "ui": {
        "",
        "config",
        "engine",
        "adapters",
        "methods",
        "data",
    },  # the form is made of the methods' options; rows have a kind
}
# Seconds of import each: only modules that are themselves imported late may import them at module level.
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "bitsandbytes", "accelerate", "safetensors.torch"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
BANNED_IMPORTS = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"}
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "os.system", "os.popen", "pandas.read_pickle"}
BANNED_TRUE = {"shell", "trust_remote_code", "allow_pickle", "share"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{getattr(node, 'lineno', 1)}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}


def part(module: str) -> str:
    """Which part of the package a module belongs to: its folder, "" for the start-up, `__main__` for the commands."""
    names = module.split(".")
    if len(names) < 2 or names[1] in ("bootstrap", "installer", "proxies"):
        return ""
    return "__main__" if names[1] == "__main__" or names[1].endswith("commands") else names[1]


def imported(path: Path, node: ast.AST) -> Iterator[str]:
    """The modules that an import statement loads, by their full names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = module_name(path).split(".")
        if node.level:
            base = base[: len(base) - node.level + (path.name == "__init__.py")]
        module = ".".join([*(base if node.level else []), *([node.module] if node.module else [])])
        yield module
        yield from (name for alias in node.names if (name := f"{module}.{alias.name}") in MODULES)


def at_module_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported; what is for type checkers alone is left out."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_module_level(node.orelse)
            continue
        yield node
        for inner in ("body", "orelse", "finalbody"):
            yield from at_module_level(getattr(node, inner, []))
        for handler in getattr(node, "handlers", []):
            yield from at_module_level(handler.body)


def test_imports_run_one_way() -> None:
    wrong = []
    for path in SHIPPED:
        if path == ROOT / "app.py":
            continue
        own = part(module_name(path))
        for node in ast.walk(tree(path)):
            for name in imported(path, node):
                if not name.startswith("workbench."):
                    continue
                other = part(name)
                if other != own and other not in ARROWS.get(own, set()):
                    wrong.append(f"{where(path, node)}: {own or 'workbench'} imports {name}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_only_the_page_imports_gradio() -> None:
    wrong = [
        f"{where(path, node)} imports {name}"
        for path in SHIPPED
        if PACKAGE / "ui" not in path.parents
        for node in ast.walk(tree(path))
        for name in imported(path, node)
        if name.split(".")[0] in ("gradio", "gradio_client")
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_heavy_is_imported_before_the_page_is_up() -> None:
    roots = ["app", "workbench.ui.page", "workbench.engine"]
    assert "workbench.ui.page" in MODULES
    # Methods and tabs are found in their folders and imported by name, which no import statement shows.
    folders = ("workbench.methods", "workbench.ui.tabs")
    roots += [name for name in MODULES if name.rpartition(".")[0] in folders]
    came_from: dict[str, str] = dict.fromkeys(roots, "")
    waiting, wrong = list(roots), []
    while waiting:
        module = waiting.pop()
        path = MODULES[module]
        for node in at_module_level(tree(path).body):
            for name in imported(path, node):
                if name.split(".")[0] in HEAVY or name in HEAVY:
                    chain = [name, where(path, node)]
                    while came_from[module]:
                        module = came_from[module]
                        chain.append(module)
                    wrong.append(" <- ".join(chain))
                # Importing a.b.c runs a and a.b too.
                steps = name.split(".")
                for end in range(1, len(steps) + 1):
                    step = ".".join(steps[:end])
                    if step in MODULES and step not in came_from:
                        came_from[step] = module
                        waiting.append(step)
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_files_stay_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    long = [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths.items() if lines > LONGEST_FILE]
    assert not long, "\n".join(long)


def test_functions_stay_short() -> None:
    long = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{where(path, node)}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path in SOURCES if not ast.get_docstring(tree(path))]
    assert not silent, "\n".join(silent)


def test_nothing_runs_foreign_code() -> None:
    wrong = []
    for path in SHIPPED:
        for node in ast.walk(tree(path)):
            wrong += [f"{where(path, node)}: {name}" for name in imported(path, node) if name in BANNED_IMPORTS]
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in BANNED_CALLS or called.endswith((".read_pickle", ".to_pickle")):
                wrong.append(f"{where(path, node)}: {called}(...)")
            for option in node.keywords:
                on = not (isinstance(option.value, ast.Constant) and not option.value.value)
                if option.arg in BANNED_TRUE and on:
                    wrong.append(f"{where(path, node)}: {option.arg} is not plainly False")
    assert not wrong, "\n".join(wrong)


def texts(path: Path) -> Iterator[tuple[ast.Call, str | None, str | None]]:
    """Every `Text(...)` in a file with its two sides; a side that is not one plain literal is None."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Text":
            sides = dict(zip(("en", "zh"), node.args, strict=False))
            sides.update({option.arg: option.value for option in node.keywords if option.arg in ("en", "zh")})
            yield node, literal(sides.get("en")), literal(sides.get("zh"))


def literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def alike(en: str, zh: str) -> bool:
    """Whether both sides are one name, but for full-width brackets and the spaces around them."""
    return unicodedata.normalize("NFKC", zh).replace(" ", "") == en.replace(" ", "")


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"(?<!\{)\{([a-z_][a-z0-9_]*)", text))


def test_every_text_says_the_same_in_both_languages() -> None:
    wrong, seen = [], 0
    for path in SHIPPED:
        for node, en, zh in texts(path):
            if any(isinstance(argument, ast.JoinedStr) for argument in node.args):
                wrong.append(f"{where(path, node)}: an f-string in a Text; use placeholders and with_")
            if en is None or zh is None:
                continue  # read from a file or built from another Text
            seen += 1
            if placeholders(en) != placeholders(zh):
                wrong.append(f"{where(path, node)}: {placeholders(en) ^ placeholders(zh)} stands on one side only")
            if bool(en.strip()) != bool(zh.strip()):
                wrong.append(f"{where(path, node)}: {en!r} and {zh!r}: one side is empty")
            letters = re.search(r"[A-Za-z]{2}", re.sub(r"\{[^}]*\}", "", zh))
            if letters and not alike(en, zh) and not re.search(r"[\u4e00-\u9fff]", zh):
                wrong.append(f"{where(path, node)}: no Chinese in {zh!r}")
            if re.search(r"[\u4e00-\u9fff]", en):
                wrong.append(f"{where(path, node)}: Chinese in {en!r}")
    assert not wrong, "\n".join(wrong)
    assert seen > 20


TYPED = ["workbench/config", "workbench/engine", "workbench/ui", "workbench/bootstrap.py", "tests/session_types.py"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ruff", "check", "--quiet", "--output-format=concise"],
        ["ruff", "format", "--check", "--output-format=concise"],
        ["mypy", "--no-error-summary", *TYPED],
    ],
    ids=["lint", "format", "types"],
)
def test_the_tools_have_nothing_to_say(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_is_a_spaces_front_matter() -> None:
    import yaml

    front = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---")[1])
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert front["sdk"] == "gradio"
    assert front["sdk_version"] == read_pins(ROOT / APP)["gradio"]
    assert (ROOT / front["app_file"]).is_file()
    assert {front["colorFrom"], front["colorTo"]} <= colours
    assert front["python_version"] == "3.12"
    assert 0 < len(front["short_description"]) <= 60
    assert front["license"] == "apache-2.0"


def test_the_entry_stays_small() -> None:
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) < 60
