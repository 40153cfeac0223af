"""Tokenizers that hang, swell or crash over a short text are refused in time, whatever part of theirs does it; usual ones are not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import psutil
import pytest

from tests.tiny_models import make_tokenizer
from workbench.config.errors import WorkbenchError
from workbench.models import tokenizer_file, tokenizer_probe
from workbench.models.tokenizer_file import check_tokenizer


def replace(pattern: str, content: str, kind: str = "String") -> dict[str, Any]:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def split(regex: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


def sequence(name: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", name: list(parts)}


def template(*ids: int, times: int = 1) -> dict[str, Any]:
    special = {"id": "<|end|>", "ids": list(ids), "tokens": ["<|end|>"] * len(ids)}
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}] * times
        + [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<|end|>": special},
    }


SWELL = replace("a", "a" * 100_000)
# Which limit is reached first, that of memory or that of time, is the computer's affair.
EITHER = "memory|come to an end"
# What is changed in the file, and what is said of it.
HOSTILE = {
    "normalizer, three times": ({"normalizer": sequence("normalizers", SWELL, SWELL, SWELL)}, EITHER),
    "normalizer, fifty-fold": ({"normalizer": replace("a", "a" * 50)}, "far more"),
    "normalizer, of a rare word": ({"normalizer": replace("zzq", "zzq" * 200)}, "far more"),
    "normalizer, doubling": (
        {"normalizer": sequence("normalizers", *[replace("e", "ee")] * 30)},
        EITHER,
    ),
    "normalizer, of everything": ({"normalizer": replace(".", "b" * 1000, "Regex")}, "memory|far more"),
    "normalizer, in front": ({"normalizer": {"type": "Prepend", "prepend": "a" * 10**6}}, "memory|far more"),
    "normalizer, slow regex": ({"normalizer": replace("(x+x+)+y", "", "Regex")}, "fails|come to an end"),
    "pre-tokenizer, slow regex": ({"pre_tokenizer": split("(a+)+$")}, "fails|come to an end"),
    "pre-tokenizer, slow regex of a rare letter": ({"pre_tokenizer": split("(ж|ж)*б")}, "fails|come to an end"),
    "pre-tokenizer, no length": ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "fails"),
    "post-processor, many": ({"post_processor": template(1, times=100_000)}, "far more|memory"),
    "post-processor, many in one": ({"post_processor": template(*[1] * 100_000)}, "far more|memory"),
    "decoder, three times": ({"decoder": sequence("decoders", SWELL, SWELL, SWELL)}, EITHER),
    "decoder, hundred-fold": ({"decoder": replace("a", "a" * 100)}, "far more"),
    "padding of 400 digits": ({"padding": {"strategy": {"Fixed": 10**400}}}, "damaged"),
    "truncation of 400 digits": ({"truncation": {"max_length": 10**400}}, "damaged"),
    "nested": ({"normalizer": "nested"}, "damaged"),
}
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
PADDING = {"direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<|pad|>"}
USUAL = {
    "as it is": {},
    "llama 3": {"pre_tokenizer": sequence("pretokenizers", split(LLAMA3), BYTES), "post_processor": template(1)},
    "gemma": {
        "normalizer": replace(" ", "▁"),
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        "decoder": sequence("decoders", replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}),
    },
    "llama 2": {
        "normalizer": sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")),
        "pre_tokenizer": None,
        "decoder": sequence(
            "decoders",
            replace("▁", " "),
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ),
    },
    "decomposed": {"normalizer": sequence("normalizers", {"type": "NFKD"}, {"type": "Lowercase"})},
    "padded and cut": {
        "padding": {"strategy": {"Fixed": 10**9}, **PADDING},
        "truncation": {"max_length": 2**60, "direction": "Right", "strategy": "LongestFirst", "stride": 0},
    },
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    make_tokenizer(folder)
    return json.loads((folder / "tokenizer.json").read_text())


@pytest.fixture
def nothing_tried_out(monkeypatch):
    """No tokenizer's content is known yet."""
    monkeypatch.setattr(tokenizer_file, "_verdicts", {})


def write(folder, sound: dict[str, Any], changes: dict[str, Any]):
    text = json.dumps({**sound, **changes})
    if changes.get("normalizer") == "nested":
        text = text.replace('"nested"', '{"type": "Sequence", "normalizers": [' * 5000 + "]}" * 5000)
    (folder / "tokenizer.json").write_text(text)
    return folder


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if tokenizer_probe.__file__ in child.cmdline()]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tokenizer_that_hangs_swells_or_crashes_is_refused(tmp_path, sound, name):
    changes, reason = HOSTILE[name]
    before = psutil.Process().memory_info().rss
    with pytest.raises(WorkbenchError, match=reason) as caught:
        check_tokenizer(write(tmp_path, sound, changes))
    assert caught.value.code in ("bad_tokenizer", "broken_tokenizer") and caught.value.field == "model.base"
    assert "tokenizer.json" in caught.value.to("zh") and caught.value.hint
    assert psutil.Process().memory_info().rss - before < 100 * 1024**2
    assert not children()


@pytest.mark.parametrize("name", USUAL)
def test_a_usual_tokenizer_is_accepted(tmp_path, sound, name):
    check_tokenizer(write(tmp_path, sound, USUAL[name]))


def test_what_a_file_says_about_padding_and_cutting_is_not_used(tmp_path, sound):
    from workbench.models.loading import load_tokenizer

    make_tokenizer(tmp_path)
    expected = load_tokenizer(tmp_path)("Hello 你好")["input_ids"]
    cut = {**USUAL["padded and cut"]["truncation"], "max_length": 1}
    for changes in (USUAL["padded and cut"], {"truncation": cut}):
        assert load_tokenizer(write(tmp_path, sound, changes))("Hello 你好")["input_ids"] == expected


def test_a_bad_tokenizer_is_not_loaded_and_its_process_is_started_once(tmp_path, sound, monkeypatch, nothing_tried_out):
    from workbench.models.loading import load_tokenizer

    make_tokenizer(tmp_path)
    write(tmp_path, sound, {"normalizer": sequence("normalizers", SWELL, SWELL, SWELL)})
    started = []
    real = tokenizer_file.run_probe
    monkeypatch.setattr(tokenizer_file, "run_probe", lambda *args: started.append(args) or real(*args))
    copy = shutil.copytree(tmp_path, tmp_path / "copy")
    for folder in (tmp_path, tmp_path, copy):
        with pytest.raises(WorkbenchError) as caught:
            load_tokenizer(folder)
        assert caught.value.code == "bad_tokenizer"
    assert len(started) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("'ready', 'read'", "bad_tokenizer"),  # it worked with texts when it crashed
        ("'ready'", "broken_tokenizer"),  # it was still reading
    ],
)
def test_a_process_that_crashes_condemns_the_tokenizer(tmp_path, sound, monkeypatch, nothing_tried_out, words, code):
    script = tmp_path / "script.py"
    script.write_text(f"import os; print({words}, flush=True); os.abort()")
    monkeypatch.setattr(tokenizer_probe, "__file__", str(script))
    with pytest.raises(WorkbenchError) as caught:
        check_tokenizer(write(tmp_path, sound, {}))
    assert caught.value.code == code


KILLED = {"reading": "'ready'", "working": "'ready', 'read'", "done": "'ready', 'read', 'fine'"}


@pytest.mark.skipif(sys.platform == "win32", reason="no signal of that kind")
@pytest.mark.parametrize("when", KILLED)
def test_a_process_that_the_system_kills_took_too_much_memory(tmp_path, sound, monkeypatch, nothing_tried_out, when):
    """In a container with less memory than the process may take; in this one, the same would be killed with everything."""
    write(tmp_path, sound, {})
    script, begun = tmp_path / "script.py", []
    script.write_text(f"import os; print({KILLED[when]}, flush=True); os.kill(os.getpid(), 9)")
    real = tokenizer_file.run_probe
    monkeypatch.setattr(tokenizer_file, "run_probe", lambda *args: begun.append(1) or real(*args))
    with monkeypatch.context() as patch:
        patch.setattr(tokenizer_probe, "__file__", str(script))
        for _ in range(2):
            if when == "done":
                check_tokenizer(tmp_path)
                continue
            with pytest.raises(WorkbenchError, match="memory") as caught:
                check_tokenizer(tmp_path)
            assert caught.value.code == "bad_tokenizer"
    assert len(begun) == (2 if when == "reading" else 1)
    if when == "reading":  # the memory is there another time
        check_tokenizer(tmp_path)


@pytest.mark.parametrize("ended", ["by the process itself", "from here"])
@pytest.mark.parametrize("words", ["'ready'", "'ready', 'read'"])
def test_what_only_the_clock_says_is_not_remembered(tmp_path, sound, monkeypatch, nothing_tried_out, words, ended):
    """A computer that sleeps or is held up makes a good one late."""
    write(tmp_path, sound, {})
    script = tmp_path / "script.py"
    script.write_text(
        f"import faulthandler, time; print({words}, flush=True); "
        f"faulthandler.dump_traceback_later({0.2 if ended == 'by the process itself' else 60}, exit=True); time.sleep(60)"
    )
    with monkeypatch.context() as patch:
        patch.setattr(tokenizer_probe, "__file__", str(script))
        patch.setattr(tokenizer_file, "LONGEST_SECONDS", 1.5)
        with pytest.raises(WorkbenchError, match="come to an end"):
            check_tokenizer(tmp_path)
    check_tokenizer(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there the clock is the only limit")
def test_processor_time_ends_a_probe_before_the_clock_does():
    """Or a busy computer would make a good tokenizer late."""
    probe = tokenizer_probe
    assert probe.READ_LAST >= 2 * probe.READ_SECONDS and probe.WORK_LAST >= 2 * probe.WORK_SECONDS
    assert tokenizer_file.LONGEST_SECONDS > probe.READ_LAST + probe.WORK_LAST
    code = (
        "import sys, time; sys.path.append(sys.argv[1]); import template_probe as probe\n"
        "probe.limit(2**30, 30, 1); probe.limit(2**30, 30, 60); time.sleep(1.2); print('after', flush=True)\n"
        "probe.limit(2**30, 30, 1); time.sleep(9)"
    )
    folder = str(tokenizer_probe.__file__).rpartition("tokenizer_probe")[0]
    done = subprocess.run([sys.executable, "-I", "-c", code, folder], capture_output=True, text=True, timeout=30)
    assert done.stdout == "after\n" and done.stderr.startswith("Timeout") and done.returncode == 1


def refused_as_broken(folder):
    with pytest.raises(WorkbenchError) as caught:
        check_tokenizer(folder)
    return caught.value.code == "broken_tokenizer"


def test_a_tokenizer_is_read_once_until_it_changes(tmp_path, sound, monkeypatch, nothing_tried_out):
    read, real = [], tokenizer_file.run_probe
    monkeypatch.setattr(tokenizer_file, "run_probe", lambda *args: read.append(1) or real(*args))
    for _ in range(2):
        check_tokenizer(write(tmp_path, sound, {}))
    assert len(read) == 1
    (tmp_path / "tokenizer.json").write_text("{}")
    assert refused_as_broken(tmp_path) and refused_as_broken(tmp_path)
    assert len(read) == 2


def test_a_tokenizer_that_nobody_can_try_out_is_not_refused(tmp_path, monkeypatch, nothing_tried_out):
    (tmp_path / "tokenizer.json").write_text("{}")
    script = tmp_path / "script.py"
    script.write_text("raise ImportError('tokenizers')")
    with monkeypatch.context() as patch:
        patch.setattr(tokenizer_file.probe, "__file__", str(script))
        check_tokenizer(tmp_path)
    assert refused_as_broken(tmp_path)


def test_the_other_process_knows_neither_torch_nor_transformers_nor_the_workbench(tmp_path, sound):
    path = write(tmp_path, sound, {}) / "tokenizer.json"
    code = (
        "import runpy, sys\n"
        f"sys.argv[1:] = {[*tokenizer_file.package_folders('tokenizers'), str(tmp_path), str(path)]!r}\n"
        f"sys.path.append({str(tokenizer_probe.__file__).rpartition('tokenizer_probe')[0]!r})\n"
        f"runpy.run_path({tokenizer_probe.__file__!r}, run_name='__main__')\n"
        "print([name for name in ('torch', 'transformers', 'numpy', 'workbench') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "[]"
