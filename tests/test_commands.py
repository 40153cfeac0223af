"""The command line: what each command prints and leaves behind, its exit codes, and how wrong requests are answered."""

from __future__ import annotations

import _thread
import contextlib
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import app
from tests.homes import kept_in, make_home, tiny_config
from tests.steps import at_step, wait_for
from tests.tiny_models import make_base
from workbench import commands
from workbench.__main__ import main
from workbench.bootstrap import ROOT
from workbench.config.errors import WorkbenchError
from workbench.config.presets import dump
from workbench.config.text import Text

CHINESE = re.compile(r"[\u4e00-\u9fff]")
RUN_LINE = re.compile(r"(\d{8}-\d{6}-[a-z0-9-]+) (\w+)\n")


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int

    @property
    def data(self) -> dict[str, Any]:
        """The one JSON object; anything beside it on stdout is an error."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


def say(*words: object) -> Said:
    """Run a command in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:  # what --help does
            code = int(end.code or 0)
    return Said(out.getvalue(), err.getvalue(), code)


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("WORKBENCH_LANG", "en")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("commands") / "home")
    (home / "run.yaml").write_text(dump(tiny_config()), encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def trained(home):
    """What `train` said of a run that the other tests ask about."""
    return say("train", home / "run.yaml", "--home", home, "--json", "output.name=first", "optimization.max_steps=60")


# Presets and models


def test_presets_are_listed_one_a_line_with_the_id_first(home):
    listed = say("presets", "list", "--home", home)
    ids = [line.split("  ")[0] for line in listed.out.splitlines()]
    assert listed.code == 0 and listed.err == ""
    assert ids[0] == "first-run" and set(ids) == {path.stem for path in (ROOT / "presets").rglob("*.yaml")}
    assert say("presets", "--home", home) == listed, "to list is what is meant where nothing is said"
    found = say("presets", "--json", "--lang", "zh", "--home", home).data["presets"]
    assert [one["id"] for one in found] == ids and all(CHINESE.search(one["about"]) for one in found)
    assert all(one["reason"] in say("presets", "--lang", "zh", "--home", home).out for one in found)


def test_a_preset_is_shown_and_copied_but_never_over_a_file(home, tmp_path):
    shown, copy = say("presets", "show", "first-run"), tmp_path / "mine.yaml"
    values = yaml.safe_load(shown.out)
    assert shown.code == 0 and values["data"]["train"] == "pirate-voice"
    data = say("presets", "show", "first-run", "--json").data
    assert data["id"] == "first-run" and data["config"]["data"]["train"] == "pirate-voice"
    assert "weight_decay" not in values["optimization"], "with --json, what the preset does not say is filled in"
    assert data["config"]["optimization"]["weight_decay"] == 0
    copied = say("presets", "copy", "first-run", copy)
    assert (copied.code, copied.out) == (0, f"{copy}\n")
    assert yaml.safe_load(copy.read_text(encoding="utf-8")) == values
    copy.write_text("mine", encoding="utf-8")
    again = say("presets", "copy", "first-run", copy, "--json")
    assert again.code == 2 and "is there already" in again.data["error"]["message"]
    assert copy.read_text(encoding="utf-8") == "mine"


def test_models_are_listed_and_a_folder_is_added_where_it_lies(home, tmp_path):
    listed = say("models", "--home", home)
    assert [line.split("  ")[0] for line in listed.out.splitlines()] == ["starter", "tiny"] and listed.code == 0
    folder = make_base(tmp_path / "Own Model")
    added = say("models", "add", folder, "--home", home, "--json").data["models"]
    assert [model["id"] for model in added] == ["own-model"] and Path(added[0]["folder"]) == folder
    by_id = {model["id"]: model for model in say("models", "list", "--home", home, "--json").data["models"]}
    assert set(by_id) == {"starter", "tiny", "own-model"}
    assert by_id["own-model"]["parameters"] > 1000 and by_id["own-model"]["problem"] is None
    (folder / "config.json").unlink()
    broken = say("models", "list", "--home", home, "--lang", "zh")
    assert broken.code == 0 and "own-model" in broken.out and "没有 config.json" in broken.out
    assert say("models", "add", tmp_path, "--home", home).code == 2


# Runs


def test_train_prints_the_runs_id_and_its_last_state_and_tells_the_rest_on_stderr(home):
    said = say("train", home / "run.yaml", "optimization.max_steps=2", "--home", home)
    run, status = RUN_LINE.fullmatch(said.out).groups()
    assert (status, said.code) == ("completed", 0)
    assert "2/2  loss on rows kept back" in said.err
    assert say("runs", "delete", run, "--home", home).out == f"{run}\n"


def test_with_json_train_prints_the_runs_record_and_nothing_else(trained, home):
    record = trained.data
    assert (record["status"], record["error"], trained.code) == ("completed", None, 0)
    assert record == json.loads((home / "runs" / record["id"] / "run.json").read_text(encoding="utf-8"))
    assert "60/60" in trained.err and "It learned: the training loss fell" in trained.err.splitlines()[-2]


def test_settings_may_stand_before_and_after_flags(trained, home):
    flags = ("--home", home, "--json")
    for words in (("output.name=a", *flags, "model.base=b"), (*flags, "output.name=a", "model.base=b")):
        error = say("train", "first-run", *words)
        assert error.code == 2 and error.data["error"]["field"] == "model.base"
    assert say(*flags, "runs", "show", trained.data["id"]).data["config"]["optimization"]["max_steps"] == 60
    assert say(*flags, "--lang", "zh", "presets").data["presets"][0]["title"].startswith("第一次运行")


def test_interrupted_train_saves_and_resume_goes_on_to_its_end(home, monkeypatch):
    def press_control_c(run):
        _thread.interrupt_main()
        record = home / "runs" / run / "run.json"
        wait_for(lambda: json.loads(record.read_text(encoding="utf-8"))["status"] != "running", "Ctrl-C is heard")

    at_step(monkeypatch, 4, press_control_c)
    stopped = say("train", home / "run.yaml", "--home", home, "--json")
    assert (stopped.data["status"], stopped.code) == ("stopped", 1)
    run = stopped.data["id"]
    wrong = say("resume", run, "optimization.learning_rate=1", "--home", home, "--json", "--lang", "zh")
    assert wrong.code == 2 and wrong.data["error"]["field"] == "optimization.learning_rate"
    done = say("resume", run, "--home", home, "optimization.max_steps=8")
    assert (done.out, done.code, "stopped" in done.err) == (f"{run} completed\n", 0, False), "nothing is told twice"
    assert say("runs", "show", run, "--home", home, "--json").data["last_step"] == 8
    again = say("resume", run, "--home", home)
    assert again.code == 2 and "nothing to resume" in again.err and again.out == ""


def test_a_run_that_fails_says_why_in_the_readers_language(home, monkeypatch):
    def fail(run):
        raise MemoryError

    at_step(monkeypatch, 2, fail)
    failed = say("train", home / "run.yaml", "--home", home, "--json", "--lang", "zh")
    assert (failed.data["status"], failed.code) == ("failed", 1)
    assert failed.data["error"]["message"] == "内存不够了" and failed.data["error"]["hint"].startswith("请")
    assert failed.err.splitlines()[-1].startswith("optimization.batch_size: 内存不够了。请")
    run = failed.data["id"]
    assert "error: optimization.batch_size: memory ran out. Start again" in say("runs", "show", run, "--home", home).out
    assert say("runs", "show", run, "--home", home, "--json").data["error"]["message"] == "memory ran out"


def test_runs_are_listed_shown_and_deleted(trained, home):
    kept, record = trained.data["id"], trained.data
    extra = say("train", home / "run.yaml", "--home", home, "--json", "optimization.max_steps=1").data["id"]
    lines = say("runs", "--home", home, "--lang", "zh").out.splitlines()
    assert any(line.startswith(f"{extra}  已完成  1/1  ") for line in lines)
    assert any(line.startswith(f"{kept}  已完成  60/60  ") and line.endswith("  first") for line in lines)
    found = {run["id"]: run for run in say("runs", "list", "--home", home, "--json").data["runs"]}
    assert found[kept] == record and extra in found
    shown = say("runs", "show", kept, "--home", home)
    assert f"id: {kept}\n" in shown.out and "status: completed\n" in shown.out
    assert say("runs", "delete", extra, "--home", home, "--json").data == {"deleted": extra}
    assert extra not in say("runs", "--home", home).out and not (home / "runs" / extra).exists()
    assert say("runs", "delete", extra, "--home", home).code == 2


# What a run made


def test_chat_answers_one_question_with_the_run_or_its_base_model(trained, home):
    ask = ("--prompt", "3. white?", "--max-new-tokens", "16", "--home", home)
    tuned = say("chat", trained.data["id"], *ask)
    assert tuned.code == 0 and tuned.out.startswith("aye")
    assert say("chat", trained.data["id"], *ask, "--json").data == {"answer": tuned.out.removesuffix("\n")}
    base = say("chat", trained.data["id"], *ask, "--base")
    assert base.out != tuned.out and base.out == say("chat", "tiny", *ask).out
    assert len(say("chat", "tiny", *ask, "--max-new-tokens", "1").out) < len(base.out)


def test_chat_talks_until_an_empty_line(trained, home, monkeypatch):
    words = ("chat", trained.data["id"], "--max-new-tokens", "16", "--home", home)
    monkeypatch.setattr("sys.stdin", io.StringIO("3. white?\n4. black?\n\n9. never asked?\n"))
    said = say(*words)
    assert said.code == 0 and len(said.out.splitlines()) == 2 and said.out.startswith("aye")
    monkeypatch.setattr("sys.stdin", io.StringIO("3. white?\n"))
    messages = say(*words, "--json").data["messages"]
    assert [one["role"] for one in messages] == ["user", "assistant"] and messages[1]["content"].startswith("aye")


def test_merge_writes_a_model_that_answers_and_never_over_another(trained, home, tmp_path):
    run, folder = trained.data["id"], tmp_path / "merged"
    merged = say("merge", run, folder, "--home", home, "--lang", "zh")
    assert (merged.out, merged.code) == (f"{folder}\n", 0)
    assert "5 " in merged.err and CHINESE.search(merged.err)
    ask = ("--prompt", "3. white?", "--max-new-tokens", "16", "--home", home)
    assert say("chat", folder, *ask).out == say("chat", run, *ask).out
    again = say("merge", run, folder, "--home", home, "--json")
    assert again.code == 2 and "is not empty" in again.data["error"]["message"]
    half = say("merge", run, tmp_path / "half", "--dtype", "bf16", "--home", home, "--json")
    assert half.data == {"run": run, "folder": str(tmp_path / "half")}
    size = {name: (tmp_path / name / "model.safetensors").stat().st_size for name in ("merged", "half")}
    assert size["half"] < 0.6 * size["merged"]


# Wrong requests

WRONG = [
    # words, English, Chinese, field
    ("", "COMMAND is missing", "缺少 COMMAND", None),
    ("nosuch", "there is no 'nosuch'", "没有 'nosuch'", "command"),
    ("train", "PRESET_OR_YAML is missing", "缺少 PRESET_OR_YAML", None),
    ("train nosuch", "there is no preset 'nosuch'", "没有名为“nosuch”的预设", None),
    ("train nosuch.yaml", "the file nosuch.yaml cannot be read", "无法读取文件 nosuch.yaml", None),
    (f"train {'a' * 300}", "there is no preset", "没有名为", None),
    ("train first-run 5", "'5' is no setting", "“5”不是设置", None),
    ("train first-run model.base=x", "There is no model called x.", "没有名为 x 的模型。", "model.base"),
    ("train first-run adapter.rank=x", "'x' is no whole number", "'x' 不是整数", "adapter.rank"),
    ("train first-run --nosuch 5", "--nosuch 5 is not known here", "无法识别 --nosuch 5", None),
    ("presets nosuch", "there is no 'nosuch'", "没有 'nosuch'", "action"),
    ("presets show", "ID is missing", "缺少 ID", None),
    ("presets show nosuch", "there is no preset 'nosuch'", "没有名为“nosuch”的预设", None),
    ("presets copy first-run", "FILE is missing", "缺少 FILE", None),
    ("presets list more", "more is not known here", "无法识别 more", None),
    ("presets copy first-run /none/x.yaml", "/none does not exist", "/none 不存在", None),
    ("presets copy first-run {file}/x.yaml", "{file} is no folder", "{file} 不是文件夹", None),
    (f"presets copy first-run /{'a' * 300}", "is too long for this disk", "太长", None),
    ("runs show nosuch", "there is no run 'nosuch'", "没有“nosuch”这个运行", None),
    ("runs delete nosuch", "there is no run 'nosuch'", "没有“nosuch”这个运行", None),
    ("runs list --home", "a value must follow", "后面缺少值", "home"),
    ("runs list --debug=1", "no value may follow", "后面不能带值", "debug"),
    ("models add {file}", "folder {file}", "文件夹 {file}", "model.base"),
    ("resume nosuch", "there is no run 'nosuch'", "没有“nosuch”这个运行", None),
    ("chat", "MODEL_OR_RUN is missing", "缺少 MODEL_OR_RUN", None),
    ("chat nosuch --prompt a", "There is no model called nosuch.", "没有名为 nosuch 的模型。", "model.base"),
    (
        "chat ~nobody-here/x --prompt a",
        "no model called ~nobody-here/x",
        "没有名为 ~nobody-here/x 的模型",
        "model.base",
    ),
    (f"chat {'a' * 300} --prompt a", "There is no model called", "没有名为", "model.base"),
    ("train first-run data.train=~nobody-here/x", "there is no data set", "没有名为", "data.train"),
    ("chat tiny --max-new-tokens abc", "'abc' is no whole number", "'abc' 不是整数", "max_new_tokens"),
    ("chat tiny --prompt a --max-new-tokens 0", "from 1 to 32768", "应在 1 到 32768 之间", "max_new_tokens"),
    ("chat tiny --temperature hot", "'hot' is no number", "'hot' 不是数字", "temperature"),
    ("chat tiny --temp 0", "--temp 0 is not known here", "无法识别 --temp 0", None),
    ("merge nosuch there", "there is no run 'nosuch'", "没有“nosuch”这个运行", None),
    ("merge {run} there --dtype fp8", "'fp8' is no precision", "“fp8”不是一种精度", "dtype"),
    ("merge {run} {file}/there", "{file} is no folder", "{file} 不是文件夹", None),
]


@pytest.mark.parametrize(("words", "english", "chinese", "field"), WRONG, ids=[row[0][:40] or "-" for row in WRONG])
def test_a_wrong_request_is_one_sentence_in_the_readers_language_and_exit_code_2(
    words, english, chinese, field, trained, home, tmp_path
):
    (tmp_path / "file").write_text("", encoding="utf-8")
    names = {"file": tmp_path / "file", "run": trained.data["id"]}
    before = kept_in(home)
    for lang, expected in (("en", english), ("zh", chinese)):
        # Before the command: a word behind it may be the one that is wrong.
        said = say("--home", home, "--lang", lang, *words.format(**names).split())
        assert said.code == 2 and said.out == ""
        told = [line for line in said.err.splitlines() if not re.match(r"\d/\d ", line)]  # besides a merge's progress
        assert len(told) == 1 and expected.format(**names).lower() in told[0].lower()
        error = say("--home", home, "--lang", lang, "--json", *words.format(**names).split())
        assert error.code == 2 and error.err == said.err and set(error.data["error"]) == {"message", "hint", "field"}
        assert expected.format(**names) in error.data["error"]["message"]
        assert error.data["error"]["field"] == field
    assert kept_in(home) == before


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("place", ["file", "file/in/it", "~nobody-here/x", "a" * 300], ids=lambda place: place[:12])
def test_a_home_that_can_be_no_folder_is_refused_by_every_command_and_by_the_page(
    place, lang, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = {"en": "is no folder and cannot hold one", "zh": "不是文件夹，也不能在其中建文件夹"}[lang]
    for command in ("train first-run", "runs", "models", "chat starter", "presets", "resume a", "merge a b"):
        said = say(*command.split(), "--home", place, "--lang", lang, "--json")
        assert said.code == 2 and words in said.data["error"]["message"] and said.data["error"]["field"] == "home"
    monkeypatch.setattr(sys, "argv", ["app.py", "--home", place, "--lang", lang])
    assert app.main() == 2 and words in capsys.readouterr().err


def test_a_file_where_the_home_needs_a_folder_is_named(home, tmp_path):
    for name, words in (("models", ("models", "add", home / "models" / "tiny")), ("runs", ("train", "first-run"))):
        (tmp_path / name).write_text("", encoding="utf-8")
        said = say(*words, "--home", tmp_path, "--json")
        assert said.code == 2 and said.data["error"]["message"] == f"{tmp_path / name} is no folder"


@pytest.mark.parametrize(
    ("words", "english", "chinese"),
    [
        ("--port 0", "port: 0 is no port: from 1 to 65535.", "port: 0 不是有效端口：应在 1 到 65535 之间。"),
        ("--port x", "port: 'x' is no whole number.", "port: 'x' 不是整数。"),
        ("--nosuch", "--nosuch is not known here. See app.py --help.", "无法识别 --nosuch。请看 app.py --help。"),
    ],
)
def test_the_page_is_not_started_by_a_wrong_request(words, english, chinese, monkeypatch, capsys):
    monkeypatch.setattr("workbench.ui.page.serve", lambda *_: pytest.fail("it was started"))
    for lang, expected in (("en", english), ("zh", chinese)):
        monkeypatch.setattr(sys, "argv", ["app.py", *words.split(), "--lang", lang])
        assert app.main() == 2
        assert expected in capsys.readouterr().err


@pytest.mark.parametrize(("lang", "words"), [("en", "port to listen on"), ("zh", "监听端口")])
def test_the_pages_help_is_written_in_the_readers_language(lang, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["app.py", "--help", "--lang", lang])
    with pytest.raises(SystemExit):
        app.main()
    assert words in capsys.readouterr().out


def test_a_wrong_request_is_answered_before_anything_heavy_is_loaded():
    code = "import sys; from workbench.__main__ import main; c = main(sys.argv[1:]); print('pydantic' in sys.modules); sys.exit(c)"
    command = [sys.executable, "-c", code, "train", "--json", "--lang", "zh"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 2
    answer, heavy = ran.stdout.splitlines()
    assert json.loads(answer)["error"]["message"] == "缺少 PRESET_OR_YAML" and heavy == "False"
    assert ran.stderr == "缺少 PRESET_OR_YAML。请看 python -m workbench train --help。\n"


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        (WorkbenchError(Text("no room", "没有空间"), code="disk_full"), 1, "没有空间。"),
        (WorkbenchError(Text("not now", "现在不行"), code="busy"), 1, "现在不行。"),
        (WorkbenchError(Text("not so", "不能这样")), 2, "不能这样。"),
        (RuntimeError("a bug"), 1, "出现意外错误（RuntimeError：a bug）。请加上 --debug"),
        (MemoryError(), 1, "optimization.batch_size: 内存不够了。"),
        (KeyboardInterrupt(), 1, "已停止。"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_the_exit_code_tells_work_that_failed_from_a_wrong_request(raised, code, words, home, monkeypatch):
    def fail(options, lang):
        raise raised

    monkeypatch.setattr(commands, "runs", fail)
    said = say("runs", "--home", home, "--lang", "zh", "--json")
    assert said.code == code and said.err.startswith(words)
    assert words.rstrip("。").endswith(said.data["error"]["message"]) or said.data["error"]["message"] in words
    if isinstance(raised, RuntimeError):
        with pytest.raises(RuntimeError):
            say("runs", "--home", home, "--debug")


# Help


@pytest.mark.parametrize(
    "words",
    ["", *"presets train runs models resume chat merge".split(), "presets copy", "runs show", "models add"],
)
def test_help_is_written_in_the_readers_language_only(words):
    english, chinese = (say(*words.split(), "--help", "--lang", lang) for lang in ("en", "zh"))
    assert english.code == chinese.code == 0
    assert not CHINESE.search(english.out) and "usage: python -m workbench" in english.out
    told = [line for line in chinese.out.splitlines() if re.search(r"\S {2,}\S", line) and "[-" not in line]
    assert len(told) >= 4 and all(CHINESE.search(line) for line in told), chinese.out
    assert chinese.out.startswith("用法：python -m workbench") and "\n选项：\n" in chinese.out
    assert not re.search("usage|options|arguments", chinese.out)
