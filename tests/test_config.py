"""The configuration: what is accepted, what is refused and in which words, and that it survives a file."""

from __future__ import annotations

from pathlib import Path

import pytest

import workbench.methods  # noqa: F401 - fills the register of methods
from workbench.config.errors import WorkbenchError
from workbench.config.fields import knobs
from workbench.config.presets import dump, find_preset, list_presets, load_preset, read_yaml, with_overrides
from workbench.config.run import RunConfig


def problems(values: dict) -> dict[str, str]:
    with pytest.raises(WorkbenchError) as caught:
        RunConfig.parse(values)
    return {problem.field: problem.message.en for problem in caught.value.problems}


def test_every_setting_has_a_label_and_a_help_that_says_what_it_does():
    settings = list(knobs(RunConfig))
    assert len(settings) > 35
    for setting in settings:
        assert setting.knob.label.en and setting.knob.label.zh, setting.path
        assert len(setting.knob.help.en) > 30 and len(setting.knob.help.zh) > 10, setting.path


def test_the_knobs_people_know_from_lora_and_the_trainer_are_there():
    paths = {setting.path for setting in knobs(RunConfig)}
    wanted = """model.base model.quantization data.train data.eval data.eval_share data.max_length data.learn method.kind
        adapter.kind adapter.rank adapter.alpha adapter.dropout adapter.target_modules adapter.bias precision.dtype
        precision.activation_checkpointing optimization.learning_rate optimization.batch_size optimization.accumulation
        optimization.epochs optimization.max_steps optimization.seed optimization.optimizer optimization.scheduler
        optimization.warmup_ratio evaluation.every_steps evaluation.questions checkpoints.every_steps checkpoints.keep
        output.name"""
    assert set(wanted.split()) <= paths


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 0, 2, 1e308, 10**30, "1e-3", True, None, [], {}])
def test_a_learning_rate_that_is_none_is_refused_at_its_field(value):
    assert list(problems({"optimization": {"learning_rate": value}})) == ["optimization.learning_rate"]


@pytest.mark.parametrize("value", [-1, 1.5, "3", True, float("nan"), 10**30])
def test_whole_numbers_stay_whole_and_in_bounds(value):
    assert list(problems({"adapter": {"rank": value}})) == ["adapter.rank"]


def test_all_problems_are_told_at_once_in_both_languages():
    with pytest.raises(WorkbenchError) as caught:
        RunConfig.parse({"optimization": {"epochs": -1, "max_step": 5}, "precision": {"dtype": "fp8"}})
    assert {problem.field for problem in caught.value.problems} == {
        "optimization.epochs",
        "optimization.max_step",
        "precision.dtype",
    }
    assert "Did you mean 'max_steps'?" in caught.value.to("en")
    assert "你是想用“max_steps”吗" in caught.value.to("zh")


def test_an_unknown_method_or_option_keeps_its_path():
    assert list(problems({"method": {"kind": "dpq"}})) == ["method.kind"]
    assert list(problems({"method": {"kind": "dpo", "bta": 0.1}})) == ["method.bta"]
    assert list(problems({"method": {"kind": "dpo", "beta": -1}})) == ["method.beta"]
    for kind in (5, None, ["dpo"], "x" * 500):
        assert list(problems({"method": {"kind": kind}})) == ["method.kind"]


def test_an_unknown_option_of_a_method_is_answered_with_the_options_of_that_method():
    with pytest.raises(WorkbenchError) as caught:
        RunConfig.parse({"method": {"kind": "dpo", "betta": 0.1}})
    assert caught.value.hint.to("en") == "Did you mean 'beta'?"
    with pytest.raises(WorkbenchError) as caught:
        RunConfig.parse({"method": {"betta": 0.1}})  # sft, which has no beta
    assert "beta" not in caught.value.hint.to("en")


HALF = "\ud800"  # half of a surrogate pair: JSON and YAML can write it, UTF-8 can't


@pytest.mark.parametrize(
    "path",
    ["model.base", "data.train", "data.eval", "output.name", "adapter.bias", "evaluation.questions",
     "adapter.target_modules", "adapter.modules_to_save"],
)  # fmt: skip
def test_text_that_no_file_can_hold_is_refused_at_its_field(path):
    section, _, name = path.partition(".")
    value = ["fine", f"a{HALF}"] if name in ("questions", "target_modules", "modules_to_save") else f"a{HALF}"
    with pytest.raises(WorkbenchError, match="broken character") as caught:
        RunConfig.parse({section: {name: value}})
    assert caught.value.field == path
    assert "损坏" in caught.value.to("zh")
    for lang in ("en", "zh"):
        assert caught.value.to(lang).encode()


@pytest.mark.parametrize(
    "values",
    [
        {HALF: {}},
        {"adapter": {HALF: 1}},
        {"method": {"kind": HALF}},
        {"method": {"kind": "dpo", HALF: 1}},
        {"adapter": {1: 2}},
        {"adapter": {"rank": 10**5000}},
        {"optimization": {"epochs": -(10**5000)}},
        {"output": {"name": 16**5000}},
        {16**5000: 1},
        {"evaluation": {"questions": 10**5 * [10**5000]}},
        {f"wrong{n}": n for n in range(1000)},
        {"wrong" * 1000: 1},
    ],
)
def test_whatever_stands_in_a_config_the_message_is_short_and_can_be_written(values):
    with pytest.raises(WorkbenchError) as caught:
        RunConfig.parse(values)
    for lang in ("en", "zh"):
        assert 0 < len(caught.value.to(lang).encode()) < 20_000
        assert max(map(len, caught.value.to(lang).splitlines())) < 300


DIGITS = [
    "9" * 400,
    "-" + "9" * 400,
    "9" * 10_000,
    "0x" + "f" * 10_000,
    "1:" * 5000 + "30",
    "1e999",
    "-1e" + "9" * 400,
    ".inf",
]


@pytest.mark.parametrize("path", ["optimization.learning_rate", "adapter.rank", "data.max_rows", "optimization.seed"])
@pytest.mark.parametrize("value", [*DIGITS, f"'{'9' * 10_000}'", f"[{'9' * 400}]"], ids=lambda value: value[:12])
def test_a_number_that_nothing_can_hold_is_one_short_error_at_its_field(path, value):
    with pytest.raises(WorkbenchError) as caught:
        RunConfig.parse(with_overrides({}, [f"{path}={value}"]))
    assert [problem.field for problem in caught.value.problems] == [path]
    assert value != "9" * 400 or "10^400 is too large" in caught.value.to("en")
    for lang in ("en", "zh"):
        assert len(caught.value.to(lang)) < 250


def test_an_override_whose_name_no_file_can_hold_is_refused_in_words_that_can_be_written():
    with pytest.raises(WorkbenchError) as caught:
        with_overrides({}, [f"epochs{HALF}=3"])
    assert caught.value.to("en").encode()


@pytest.mark.parametrize("path", ["adapter.target_modules", "adapter.modules_to_save"])
@pytest.mark.parametrize("names", [[""], ["q_proj", " "], ["q_proj", "q_proj"], ["q_proj", " q_proj "]])
def test_layers_without_a_name_or_named_twice_are_refused_at_their_field(path, names):
    section, _, name = path.partition(".")
    assert list(problems({section: {name: names}})) == [path]


def test_spaces_around_the_name_of_a_layer_are_no_part_of_it():
    config = RunConfig.parse({"adapter": {"target_modules": [" q_proj", "v_proj "]}})
    assert config.adapter.target_modules == ["q_proj", "v_proj"]


def test_full_tuning_of_a_quantized_model_is_refused_at_the_quantization():
    assert list(problems({"adapter": {"kind": "none"}, "model": {"quantization": "nf4"}})) == ["model.quantization"]


@pytest.mark.parametrize("name", ["a/b", "..\\x", "a\x00b", "a\nb", "x" * 81, "\u202egnp.exe", "<script>"])
def test_a_run_name_that_could_be_a_path_or_markup_is_refused(name):
    assert list(problems({"output": {"name": name}})) == ["output.name"]


def test_a_config_written_as_yaml_reads_back_equal(tmp_path):
    config = RunConfig.parse(
        {
            "method": {"kind": "dpo", "beta": 0.3},
            "optimization": {"learning_rate": 3e-4},
            "output": {"name": "海盗 voice"},
        }
    )
    file = tmp_path / "config.yaml"
    file.write_text(dump(config), encoding="utf-8")
    assert RunConfig.parse(load_preset(file).values) == config


@pytest.mark.parametrize("name", ["1e5", "3e-4", "7", "2024-01-05", "true", "*x", "&x", "-", "a: b"])
def test_a_name_that_looks_like_yaml_comes_back_as_that_name(tmp_path, name):
    file = tmp_path / "config.yaml"
    file.write_text(dump(RunConfig.parse({"output": {"name": name}, "evaluation": {"questions": [name]}})))
    config = RunConfig.parse(load_preset(file).values)
    assert (config.output.name, config.evaluation.questions) == (name, [name])


def test_overrides_are_read_as_yaml_and_a_new_method_drops_the_old_options():
    values = with_overrides(
        {"method": {"kind": "dpo", "beta": 0.3}}, ["optimization.learning_rate=3e-4", "method.kind=sft"]
    )
    config = RunConfig.parse(values)
    assert config.optimization.learning_rate == pytest.approx(3e-4)
    assert config.method.kind == "sft"


@pytest.mark.parametrize("word", ["epochs", "optimization.epochs", "epochs=3"])
def test_an_override_that_names_no_setting_is_refused(word):
    with pytest.raises(WorkbenchError):
        RunConfig.parse(with_overrides({}, [word]))


@pytest.mark.parametrize(
    ("text", "value"), [("3e-4", 3e-4), ("1E5", 1e5), ("0.1", 0.1), ("7", 7), ("1e", "1e"), ("-2.", -2.0)]
)
def test_numbers_in_yaml_are_what_people_mean(text, value):
    assert read_yaml(text, "test") == value
    assert type(read_yaml(text, "test")) is type(value)


def test_yaml_that_is_none_is_told_with_its_line(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("model:\n  base: starter\n bad: [\n", encoding="utf-8")
    with pytest.raises(WorkbenchError, match=r"mine\.yaml, line [34]"):
        load_preset(file)


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcd", "bcde", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [*{old}, *{old}]}}\n" for old, new in zip("abcd", "bcde", strict=True)
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("output:\n  name: 2024-13-45", 2),
        ("output:\n  name: !!int foo", 2),
        ("output:\n  name: !!int ''", 2),
        ("output:\n  name: !!float foo", 2),
        ("output:\n  name: !!bool foo", 2),
        ("output:\n  name: !!timestamp foo", 2),
        ("output:\n  name: !!binary é", 2),
        ("output:\n  name: !!python/object:os.system x", 2),
        ("output:\n  name: +-.inf", 2),
        ("output:\n  name: " + "9" * 5000, 2),
        ("output:\n  name: !!float 1" + ":59" * 500 + ".5", 2),
        ("output:\n  ? [a]\n  : b", 2),
        ("output:\n  name: a\x07", 2),
        ("a:\n" + "[" * 3000, 2),
        ("a:\n" + "[" * 3000 + "]" * 3000, 2),
        ("a:\n" + "{a: " * 3000, 2),
        ("a:\n" + "- " * 3000, 2),
        ("a: &a [x]\nb: *a", 2),
        ("a: &a [*a]", 1),
        (LAUGHS, 2),
        (MERGES, 2),
    ],
    ids=lambda value: str(value)[:40],
)
def test_yaml_that_python_or_a_reader_would_choke_on_is_told_with_its_line(tmp_path, text, line):
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(WorkbenchError, match=rf"mine\.yaml, line {line}: ") as caught:
        load_preset(file)
    assert caught.value.code == "yaml"
    assert len(caught.value.to("en")) < 300


def test_every_preset_is_a_valid_config_and_speaks_both_languages():
    presets = list_presets()
    names = {preset.id for preset in presets}
    assert {"first-run", "first-run-zh"} <= names
    assert len(presets) == len(list((presets[0].path.parent).rglob("*.yaml")))
    for preset in presets:
        assert isinstance(preset.config(), RunConfig)
        for text in (preset.title, preset.about):
            assert text.en != preset.id and any("\u4e00" <= letter <= "\u9fff" for letter in text.zh), preset.id


def test_an_unknown_preset_is_refused_with_the_nearest_name():
    with pytest.raises(WorkbenchError, match="first-runn") as caught:
        find_preset("first-runn")
    assert "first-run" in caught.value.hint.to("en")


def test_a_preset_that_somebody_changes_in_memory_or_on_disk_is_read_anew(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("optimization:\n  batch_size: 3\n", encoding="utf-8")
    load_preset(path).values["optimization"]["batch_size"] = 7
    assert load_preset(path).values == {"optimization": {"batch_size": 3}}
    path.write_text("optimization:\n  batch_size: 5\n", encoding="utf-8")
    assert load_preset(path).values == {"optimization": {"batch_size": 5}}
