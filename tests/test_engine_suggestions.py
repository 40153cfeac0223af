"""What is suggested for small sets and other models, with the reason: the rule, on the form and on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.small_sets import small_sets
from tests.test_commands import say
from tests.ui_double import FakeEngine
from workbench.config.presets import find_preset, list_presets
from workbench.config.run import RunConfig, put
from workbench.engine import Engine, suited
from workbench.engine.draft import Draft, copied
from workbench.engine.fitting import FITS, TOO_LARGE, MemoryFit, longest_row
from workbench.engine.plan import kept_back, plan_steps, split_counts
from workbench.engine.suggestions import ACCUMULATION, BATCH, EPOCHS, LENGTH, RATE, Subject, suggestions
from workbench.engine.training import split

STARTER = 3.8e6


def rule(preset: str, rows: int, parameters: float = STARTER, **changes: Any) -> dict[str, float]:
    """What is suggested for a preset with other data, by path."""
    config = find_preset(preset).config().changed({"data.train": "mine", **changes})
    return {one.path: one.value for one in suggestions(find_preset(preset).values, config, Subject(rows, parameters))}


@pytest.mark.parametrize("name", ["owl", "lines", "reviews", "pairs"])
def test_the_small_sets_of_the_trial_get_the_settings_that_were_tried(name: str) -> None:
    one = small_sets()[name]
    preset = "own-pairs" if one.method == "dpo" else "own-data"
    found = rule(preset, len(one.rows))
    config = find_preset(preset).config().changed(found)
    learned, _ = split(one.rows, None, config)
    assert split_counts(config, len(one.rows))[0] == len(learned)
    assert 100 <= plan_steps(config, len(learned)).total <= 105
    assert (config.optimization.learning_rate, list(found)) == (2e-3, [EPOCHS])


@pytest.mark.parametrize(
    ("rows", "changes", "steps"),
    [(40, {}, 100), (40, {"optimization.batch_size": 4}, 108), (90, {}, 110), (110, {}, 104),
     (40, {"optimization.batch_size": 2, "optimization.accumulation": 2}, 108),
     (20, {}, 90), (12, {}, 60), (5, {}, 30), (40, {"data.eval_share": 0.0}, 100), (300, {"data.max_rows": 30}, 100)],
)  # fmt: skip
def test_few_rows_are_read_as_often_as_makes_enough_steps(rows: int, changes: dict[str, Any], steps: int) -> None:
    found = rule("own-data", rows, **changes)
    config = find_preset("own-data").config().changed({**changes, **found})
    assert plan_steps(config, split_counts(config, rows)[0]).total == steps


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 12, 40, 1999, 2001, 5000])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5])
def test_rows_are_counted_as_they_are_split(rows: int, share: float) -> None:
    for changes in ({}, {"data.max_rows": 30}, {"data.eval": "other"}):
        config = RunConfig().changed({"data.eval_share": share, **changes})
        evaluation = [{}] if config.data.eval else None
        learned, kept = split([{}] * rows, evaluation, config)
        assert split_counts(config, rows) == (len(learned), 0 if evaluation else len(kept)), changes
    assert split_counts(RunConfig().changed({"data.eval_share": 0.1}), 5000) == (4800, 200)
    assert len(kept_back(RunConfig().changed({"data.eval_share": share}), max(rows, 1))) < max(rows, 1)


@pytest.mark.parametrize("rows", [1, 2, 5, 12, 20, 22, 23, 40, 300])
def test_the_reason_does_not_refute_what_it_is_given_for(rows: int) -> None:
    preset = find_preset("own-data")
    config = preset.config().changed({"data.train": "mine"})
    for one in suggestions(preset.values, config, Subject(rows, STARTER)):
        steps = plan_steps(config.changed({one.path: one.value}), split_counts(config, rows)[0]).total
        english, chinese = one.why.to("en"), one.why.to("zh")
        assert f"{steps} steps" in english and f"{steps} 步" in chinese
        enough = steps >= 100
        assert ("with 60 and fewer" in english) == enough == ("或更少" in chinese)
        assert ("more rows are needed" in english) == (not enough) == ("需要增加样本" in chinese)
        assert "1 rows" not in english.replace("31 rows", "")


def test_the_reason_speaks_of_what_the_method_teaches() -> None:
    for name, said, zh, other in (
        ("own-data", "a voice was not yet learned", "口吻", "preference"),
        ("own-pairs", "100 steps taught a preference", "偏好", "voice"),
    ):
        preset = find_preset(name)
        found = suggestions(preset.values, preset.config().changed({"data.train": "mine"}), Subject(36, STARTER))
        why = next(one.why for one in found if one.path == EPOCHS)
        assert said in why.to("en") and zh in why.to("zh") and other not in why.to("en")
        assert ("口吻" in why.to("zh")) == (zh == "口吻")


def test_nothing_is_suggested_where_the_preset_fits() -> None:
    assert rule("own-data", 300) == {} == rule("own-pairs", 300)
    assert rule("own-data", 0) == {} == rule("own-data", 40, parameters=0), "of what nobody knows nothing is said"
    assert rule("own-data", 40, **{"adapter.kind": "none"}) == {}, "full tuning was not tried"
    first = find_preset("first-run")
    assert suggestions(first.values, first.config(), Subject(30, STARTER)) == [], (
        "it was made for this model and this data"
    )
    assert EPOCHS not in rule("own-data", 40, **{"optimization.max_steps": 20})


@pytest.mark.parametrize(
    ("preset", "parameters", "rate"),
    [("own-data", 1.7e9, 2e-4), ("own-data", 6e8, 2e-4), ("own-data", 32e9, 1e-4), ("own-pairs", 1.7e9, 1e-5),
     ("lora-8gb", 4e9, None), ("dpo-lora", 4e9, None)],
)  # fmt: skip
def test_larger_models_get_the_usual_rate_and_the_reason_says_that_it_was_not_tried(
    preset: str, parameters: float, rate: float | None
) -> None:
    made = find_preset(preset)
    config = made.config().changed({"model.base": "other", "data.train": "mine"})
    found = suggestions(made.values, config, Subject(40, parameters))
    assert [(one.path, one.value) for one in found] == ([(RATE, rate)] if rate else [])
    for one in found:
        assert "Not tried" in one.why.to("en") and "没有在这个模型上试过" in one.why.to("zh")


def test_a_preset_for_a_large_model_gives_the_starter_the_rate_that_it_needs() -> None:
    assert rule("lora-8gb", 900, **{"model.base": "starter"}) == {RATE: 2e-3}
    few = rule("lora-8gb", 40, **{"model.base": "starter"})
    assert few[RATE] == 2e-3 and few[EPOCHS] == 30.0


@pytest.mark.parametrize(
    ("preset", "rate", "weight", "found"),
    [("dpo-lora", None, None, {}), ("dpo-lora", None, 0.5, {RATE: 2e-3, EPOCHS: 30.0}), ("dpo-lora", 1e-3, 1.0, {RATE: 2e-3, EPOCHS: 30.0}),
     ("own-pairs", None, 0.0, {}), ("own-pairs", None, 1.0, {EPOCHS: 20.0})],
)  # fmt: skip
def test_a_small_model_gets_what_was_tried_with_pairs_only_beside_their_chosen_answers(
    preset: str, rate: float | None, weight: float | None, found: dict[str, float]
) -> None:
    changes = {"model.base": "starter", "optimization.learning_rate": rate, "method.sft_weight": weight}
    assert rule(preset, 40, **{path: value for path, value in changes.items() if value is not None}) == found


def test_the_reason_for_a_rate_holds_for_whatever_stood_there() -> None:
    for name in ("lora-8gb", "dpo-lora", "qlora-24gb"):
        made = find_preset(name)
        for rate in (1e-5, 2e-4, 1e-2):
            changes = {"optimization.learning_rate": rate, "optimization.max_steps": 50}
            config = made.config().changed({"model.base": "starter", "data.train": "mine", **changes})
            for one in suggestions(made.values, config, Subject(300, STARTER)):
                assert one.path == RATE and "our trial" in one.why.to("en") and "试过" in one.why.to("zh")
                assert "times" not in one.why.to("en") and "倍" not in one.why.to("zh")


# -- on the form


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    found = FakeEngine(tmp_path)
    monkeypatch.setattr(found, "presets", list_presets)
    monkeypatch.setattr(found, "preset", find_preset)
    for name, rows in (("bakery", 40), ("garden", 20), ("library", 400)):
        info = found.data.add(Path(f"{name}.jsonl"))
        found.data._all = [
            replace(one, rows=rows, usable=rows) if one.id == info.id else one for one in found.data._all
        ]
    return found


def chosen(engine: FakeEngine, *data: str, changes: dict[str, Any] | None = None) -> Draft:
    blank = RunConfig().values()
    draft = suited.choose_preset(engine, Draft("first-run", blank, blank), "first-run")
    values = copied(draft.values)
    for path, value in (changes or {}).items():
        put(values, path, value)
    draft = replace(draft, values=values)
    for name in data:
        draft = suited.choose_data(engine, draft, name, "en")
    return draft


def stands(draft: Draft) -> tuple[float, float]:
    return draft.value(RATE), draft.value(EPOCHS)


def test_a_small_set_of_ones_own_fills_the_epochs_in_with_the_reason(engine: FakeEngine) -> None:
    draft = chosen(engine, "bakery")
    assert (draft.preset, stands(draft), draft.own()) == ("own-data", (2e-3, 20.0), [])
    found = suited.suggested(engine, draft)
    assert [(one.path, one.value) for one in found] == [(EPOCHS, 20.0)]
    assert "36 rows" in found[0].why.to("en") and "100 步" in found[0].why.to("zh")
    assert suited.suggested(engine, chosen(engine)) == [] == suited.suggested(engine, chosen(engine, "library"))


def test_other_data_renews_what_was_suggested_and_nothing_that_a_person_set(engine: FakeEngine) -> None:
    assert stands(chosen(engine, "bakery", "garden")) == (2e-3, 30.0)
    assert (
        stands(chosen(engine, "bakery", "library")) == (2e-3, 6.0) == stands(chosen(engine, "bakery", "pirate-voice"))
    )
    mine = chosen(engine, "bakery", "garden", changes={EPOCHS: 4.0, RATE: 5e-4, "adapter.rank": 4})
    assert stands(mine) == (5e-4, 4.0) and mine.value("adapter.rank") == 4 and suited.suggested(engine, mine) == []
    half = chosen(engine, "bakery", changes={"optimization.batch_size": 4})
    assert half.value(EPOCHS) == 12.0, "it follows from what a person set"
    other = suited.choose_preset(engine, chosen(engine, "bakery"), "lora-8gb")
    assert stands(suited.choose_preset(engine, other, "own-data")) == (2e-3, 20.0)
    large = suited.choose_model(engine, chosen(engine, "bakery"), "qwen3-0.6b")
    assert stands(large) == (2e-4, 6.0) and [one.path for one in suited.suggested(engine, large)] == [RATE]
    small = suited.choose_model(engine, suited.choose_preset(engine, large, "lora-8gb"), "starter")
    assert small.value(RATE) == 2e-3 and stands(suited.choose_model(engine, large, "starter")) == (2e-3, 20.0)
    assert suited.back_to_preset(engine, mine).value(EPOCHS) == 30.0


def test_what_a_person_set_of_the_method_decides_what_is_suggested(engine: FakeEngine) -> None:
    pairs = suited.choose_preset(engine, chosen(engine, "better-answers"), "dpo-lora")
    assert pairs.value("method.kind") == "dpo" and pairs.value("method.sft_weight") == 0
    values = copied(pairs.values)
    put(values, "method.sft_weight", 1.0)
    alone = suited.choose_model(engine, pairs, "starter")
    beside = suited.choose_model(engine, replace(pairs, values=values), "starter")
    assert alone.value(RATE) == pairs.value(RATE) < beside.value(RATE) == 2e-3
    assert beside.value("method.sft_weight") == 1.0


# -- on the command line


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_LANG", "en")
    rows = "".join(json.dumps(row) + "\n" for row in small_sets()["owl"].rows)
    (tmp_path / "owl.jsonl").write_text(rows, encoding="utf-8")
    return tmp_path


def submitted(home: Path, monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[RunConfig, str]:
    """The config that `train` submits, and what it says; nothing is trained."""
    caught: list[RunConfig] = []

    def catch(self: Engine, config: RunConfig, click: str = "") -> str:
        caught.append(config)
        raise KeyError

    monkeypatch.setattr(Engine, "submit", catch)
    said = say("train", *words, "--home", home / "home")
    return caught[0], said.err


def test_the_command_line_suggests_as_the_page_does_and_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = f"data.train={home / 'owl.jsonl'}"
    config, told = submitted(home, monkeypatch, "own-data", data)
    assert (config.optimization.learning_rate, config.optimization.epochs) == (2e-3, 20.0)
    assert "optimization.epochs=20 is suggested, because 36 rows" in told and "learning_rate" not in told
    config, told = submitted(home, monkeypatch, "own-data", data, "optimization.epochs=3")
    assert config.optimization.epochs == 3.0 and "suggested" not in told
    config, told = submitted(home, monkeypatch, "lora-8gb", data, "model.base=starter", "optimization.epochs=3")
    assert config.optimization.learning_rate == 2e-3 and "optimization.learning_rate=0.002 is suggested" in told
    monkeypatch.setenv("WORKBENCH_LANG", "zh")
    assert "建议 optimization.epochs=20：" in submitted(home, monkeypatch, "own-data", data)[1]


def test_a_file_of_ones_own_is_taken_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = home / "mine.yaml"
    copy.write_text(find_preset("own-data").path.read_text(encoding="utf-8"), encoding="utf-8")
    config, told = submitted(home, monkeypatch, copy, f"data.train={home / 'owl.jsonl'}")
    assert (config.optimization.learning_rate, config.optimization.epochs) == (2e-3, 6.0) and "suggested" not in told


# Length and batch


def fits(room: int, bytes_of: Any = lambda config: 100 * config.optimization.batch_size) -> Any:
    """A computer with so much memory, on which a run takes what its batch says."""

    def fit(config: RunConfig) -> MemoryFit:
        peak = bytes_of(config)
        return MemoryFit(TOO_LARGE if peak > room else FITS, peak, room, {}, (), "CPU")

    return fit


def others(preset: str, subject: Subject, own: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    """What is suggested of length and batch, with the reasons' English and Chinese words."""
    made = find_preset(preset)
    config = made.config().changed({"data.train": "mine", **changes})
    found = suggestions(made.values, config, subject, own)
    assert all(one.why.to("en") and one.why.to("zh") for one in found)
    return {one.path: (one.value, one.why.to("en")) for one in found if one.path not in (RATE, EPOCHS)}


@pytest.mark.parametrize(
    ("longest", "context", "vocabulary", "length"),
    [(512, 0, 50_000, None), (513, 0, 50_000, 768), (1500, 0, 50_000, 1536), (1500, 1024, 50_000, 1024),
     (9000, 40_960, 50_000, 4096), (300, 0, 1500, 768), (200, 0, 1500, None), (0, 0, 0, None), (90, 256, 50_000, 256)],
)  # fmt: skip
def test_a_row_that_would_be_cut_makes_the_length_longer_up_to_what_the_model_reads(
    longest: int, context: int, vocabulary: int, length: int | None
) -> None:
    found = others("own-data", Subject(longest=longest, context=context, vocabulary=vocabulary))
    assert {path: value for path, (value, _) in found.items()} == ({LENGTH: length} if length else {})
    said = found.get(LENGTH, (0, ""))[1]
    rows_are_cut = bool(length) and longest * (2.3 if vocabulary < 8192 else 1) > (length or 0)
    assert ("what is longer is cut" in said) == rows_are_cut
    assert others("own-data", Subject(longest=longest, context=context), own=(LENGTH,)) == {}, "a person's length stays"


@pytest.mark.parametrize(
    ("room", "batch", "accumulation"), [(800, None, None), (799, 4, 2), (399, 2, 4), (100, 1, 8), (99, None, None)]
)
def test_what_does_not_fit_is_read_in_smaller_batches_that_make_the_same_step(
    room: int, batch: int | None, accumulation: int | None
) -> None:
    found = others("own-data", Subject(300, 6e8, fit=fits(room)))
    assert {path: value for path, (value, _) in found.items()} == (
        {BATCH: batch, ACCUMULATION: accumulation} if batch else {}
    )
    if batch:
        assert f"{batch} at once take about" in found[BATCH][1]
        assert f"{accumulation} batches of {batch}" in found[ACCUMULATION][1]


def test_a_batch_of_a_persons_own_is_left_alone_and_decides_how_often_rows_are_read() -> None:
    subject = Subject(40, STARTER, fit=fits(150))
    for own in (BATCH, ACCUMULATION):
        assert others("own-data", subject, own=(own,)) == {}
    made = find_preset("own-data")
    config = made.config().changed({"data.train": "mine", BATCH: 2})
    found = {one.path: one.value for one in suggestions(made.values, config, Subject(40, STARTER), own=(BATCH,))}
    assert found == {} and plan_steps(config, 36).total >= 100, "of batches of 2 the preset's epochs make enough steps"


def test_the_smaller_batch_follows_from_the_longer_rows() -> None:
    by_length = fits(8 * 512, lambda config: config.optimization.batch_size * config.data.max_length)
    found = others("own-data", Subject(300, 6e8, longest=1000, fit=by_length))
    assert {path: value for path, (value, _) in found.items()} == {LENGTH: 1024, BATCH: 4, ACCUMULATION: 2}


def test_an_engine_knows_what_the_rules_ask_for(home: Path, tmp_path: Path) -> None:
    engine = Engine(home)
    rows = [{"prompt": f"Tell me about harbour {n}.", "completion": "The tide turns twice. " * n} for n in range(1, 90)]
    file = tmp_path / "tides.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = engine.data.add(file, "Tides")
    model = engine.models.list()[0]
    known = suited.subject(engine, made, model)
    assert known.rows == 89 and known.parameters == model.parameters > 0 and known.vocabulary > 0
    assert 400 < known.longest < 600, "some 1960 characters"
    draft = suited.choose_data(engine, suited.first_draft(engine, model.id, "", "en"), made.id, "en")
    assert draft.value(LENGTH) == model.context or draft.value(LENGTH) >= known.longest
    assert draft.who(LENGTH) in ("data", "model") and LENGTH in suited.reasons(engine, draft)
    small = suited.subject(engine, made, model)
    assert small.fit is not None and small.fit(RunConfig.parse(draft.values)).peak_bytes > 0
    pairs = [{"prompt": [], "chosen": "x" * 400, "rejected": "y" * 4000}]
    assert 900 < longest_row(pairs) < 1100 and longest_row([]) == 0
    engine.close()
