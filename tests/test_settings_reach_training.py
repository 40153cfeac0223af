"""Every setting arrives where it acts: in the trainer, the optimizer, the adapter, the rows, the checkpoints.

`REACH` has an entry for every setting there is: values other than the usual one, and a look at what the engine really made
of them. A run is submitted as the page does it and is caught when it would begin to train. A setting without an entry fails.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import made_runs as see
from tests.made_runs import BASE, OF_KIND, ROWS, Made, Workshop
from workbench.config.fields import knobs
from workbench.config.run import RunConfig
from workbench.methods import METHODS

ROOT = Path(__file__).parents[1]
BIASED = {"model.base": "biased", "adapter.target_modules": ["q_proj"]}
PROJECTIONS = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
ITSELF, CHANGED = object(), object()  # what a look should find: the value, or anything but what it finds without it


@dataclass(frozen=True)
class Case:
    """A value, the look at what became of it, what that should find, and the settings that it needs beside it."""

    value: Any
    look: Callable[[Made], Any]
    expected: Any = ITSELF
    beside: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    from workbench.engine import training

    workshop = Workshop(tmp_path_factory.mktemp("settings") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_run", workshop.catch)
        patch.setattr(training, "pick_device", lambda: "cpu")
        workshop.usual("sft", {})
        gc.freeze()  # each run ends with a collection, which walks through all that the libraries have loaded
        yield workshop
        gc.unfreeze()
    workshop.engine.close()


SCHEDULE = {"optimization.warmup_ratio": 0.2}
LOSS = see.of_trainer("loss_types", "label_smoothing")
REACH: dict[str, list[Case]] = {
    "model.base": [Case("other", see.base_is_other, True)],
    "model.quantization": [
        Case("int8", see.linear_class, "Linear8bitLt"),
        Case("nf4", see.linear_class, "Linear4bit nf4"),
    ],
    "data.train": [Case("other-{data}", see.used_rows, list(range(100, 148)))],
    "data.eval": [Case("other-{data}", see.checked_rows, list(range(100, 148)))],
    "data.eval_share": [Case(0.25, see.counts, (36, 12))],
    "data.max_length": [Case(20, see.longest)],
    "data.learn": [Case("all", see.all_is_learned, True)],
    "data.max_rows": [Case(10, see.used_rows, list(range(10)))],
    "adapter.kind": [Case("dora", see.adapter_kind), Case("none", see.adapter_kind)],
    "adapter.rank": [Case(5, see.of_layers(lambda layer: layer.lora_A["default"].weight.shape[0]))],
    "adapter.alpha": [Case(8, see.of_layers(lambda layer: layer.scaling["default"]), 0.5)],
    "adapter.dropout": [Case(0.3, see.of_layers(lambda layer: getattr(layer.lora_dropout["default"], "p", 0)))],
    "adapter.target_modules": [Case(["q_proj", "v_proj"], see.targets)],
    "adapter.bias": [
        Case("all", see.biases, PROJECTIONS, beside=BIASED),
        Case("lora_only", see.biases, ["q_proj"], beside=BIASED),
    ],
    "adapter.rank_stabilized": [Case(True, see.of_layers(lambda layer: layer.scaling["default"]), 8.0)],
    "adapter.modules_to_save": [Case(["embed_tokens"], see.whole_layers, beside=BIASED)],
    "precision.dtype": [
        Case("bf16", see.precision, (True, "torch.bfloat16", False)),
        Case("bf16", see.precision, (True, "torch.float32", True), beside={"adapter.kind": "none"}),
    ],
    "precision.activation_checkpointing": [Case("on", see.argument("activation_checkpointing"), True)],
    "precision.threads": [Case(3, lambda made: made.threads)],
    "optimization.learning_rate": [Case(5e-3, see.of_optimizer(lambda group: group["initial_lr"]))],
    "optimization.epochs": [Case(5.0, see.steps, 30)],
    "optimization.max_steps": [Case(7, see.steps)],
    "optimization.batch_size": [Case(3, see.batch)],
    "optimization.accumulation": [Case(4, see.argument("gradient_accumulation_steps"))],
    "optimization.optimizer": [
        Case("adamw_8bit", see.optimizer_class, "AdamW 8"),
        Case("paged_adamw_8bit", see.optimizer_class, "AdamW 8"),  # without a card there is nothing to page
        Case("adafactor", see.optimizer_class, "Adafactor"),
        Case("lion", see.optimizer_class, "Lion 32"),
        Case("sgd", see.optimizer_class, "SGD"),
    ],
    "optimization.scheduler": [
        Case("cosine", see.schedule, ["cosine", 0.5, 0.8536, 0.5], beside=SCHEDULE),
        Case("constant", see.schedule, ["constant", 1, 1, 1], beside=SCHEDULE),
        Case("constant_with_warmup", see.schedule, ["constant_with_warmup", 0.5, 1, 1], beside=SCHEDULE),
        Case("polynomial", see.schedule, ["polynomial", 0.5, 0.75, 0.5], beside=SCHEDULE),
        Case("inverse_sqrt", see.schedule, ["inverse_sqrt", 0.5, 0.7071, 0.5774], beside=SCHEDULE),
    ],
    "optimization.warmup_ratio": [Case(0.2, see.warm_up, 20)],
    "optimization.weight_decay": [Case(0.1, see.of_optimizer(lambda group: group["weight_decay"]))],
    "optimization.max_grad_norm": [Case(0.3, see.argument("max_grad_norm"))],
    "optimization.adam_beta1": [Case(0.8, see.of_optimizer(lambda group: group["betas"][0]))],
    "optimization.adam_beta2": [Case(0.95, see.of_optimizer(lambda group: group["betas"][1]))],
    "optimization.adam_epsilon": [Case(1e-6, see.of_optimizer(lambda group: group["eps"]))],
    "optimization.neftune_alpha": [Case(5.0, see.of_trainer("neftune_noise_alpha"))],
    "optimization.seed": [Case(7, look, CHANGED) for look in (see.order, see.checked_rows, see.first_weights)],
    "evaluation.every_steps": [Case(5, see.argument("eval_steps"))],
    "evaluation.batch_size": [Case(3, see.checked_batch)],
    "evaluation.questions": [Case(["3. white?"], see.asked)],
    "checkpoints.every_steps": [Case(7, see.argument("save_steps"))],
    "checkpoints.keep": [Case(4, see.kept_checkpoints)],
    "output.name": [Case("my run", see.name_of_run)],
    "dpo.beta": [Case(0.5, see.of_trainer("beta"))],
    "dpo.loss": [
        *(Case(loss, LOSS, [[loss], 0.0]) for loss in ("sigmoid_norm", "ipo", "hinge", "apo_zero")),
        Case("robust", LOSS, [["robust"], 0.1]),
    ],
    "dpo.label_smoothing": [Case(0.3, see.of_trainer("label_smoothing"), beside={"method.loss": "robust"})],
    "reward.centre": [Case(0.5, see.of_trainer("_centre"))],
    "orpo.objective": [Case("simpo", see.of_trainer("_loss")), Case("cpo", see.of_trainer("_loss"))],
    "orpo.weight": [Case(0.4, see.of_trainer("_weight"))],
    "orpo.margin": [Case(0.9, see.of_trainer("_margin"), beside={"method.objective": "simpo"})],
    "orpo.imitation": [Case(0.3, see.of_trainer("_imitation"))],
    "pretrain.packing": [Case(True, lambda made: len(made.trainer.train_dataset) < 40, True)],
    "dpo.sft_weight": [Case(0.5, see.of_trainer("loss_types", "loss_weights"), [["sigmoid", "sft"], [1.0, 0.5]])],
}
# What cannot be seen here, and the test that sees it.
ARGUMENTS, DPO = "tests/test_methods_arguments.py", "tests/test_methods_dpo.py"
SCORING, TEXTS = "tests/test_methods_scoring.py", "tests/test_methods_sft.py::test_texts_are_read_without_losing"
ELSEWHERE = {
    "method.kind": "tests/test_settings_reach_training.py::test_every_method_builds_a_trainer_of_its_own",
    "precision.dtype=auto": "tests/test_models_loading.py::test_auto_is_fp16_on_older_cards",
    "precision.dtype=fp16": f"{ARGUMENTS}::test_precision_and_checkpointing_follow_the_config",  # a processor refuses it
    "precision.activation_checkpointing=off": "tests/test_settings_reach_training.py::test_memory_decides",
    "optimization.optimizer=paged_adamw_32bit": f"{ARGUMENTS}::test_every_optimizer_is_known_to_transformers",
    "dpo:data.learn": f"{DPO}::test_the_preferred_answer_gains_on_the_other",  # answers are all there is to learn
    "classify:data.learn": f"{SCORING}::test_what_is_shown_is_learned_also_of_rows_kept_back",  # the label is
    "orpo:data.learn": f"{SCORING}::test_the_better_answer_wins_on_pairs_kept_back",
    "reward:data.learn": f"{SCORING}::test_what_is_shown_is_learned_also_of_rows_kept_back",
    "pretrain:data.learn": f"{TEXTS}_a_token_and_are_foreseen_better_afterwards",  # every token is
    "reward:evaluation.questions": "tests/test_engine_scoring.py::test_a_reward_model_prefers_and_says_what_it_needs",
    "dpo:adapter.dropout": f"{DPO}::test_nothing_random_comes_between_the_model_and_its_reference",
    "dpo:optimization.neftune_alpha": f"{DPO}::test_nothing_random_comes_between_the_model_and_its_reference",
}
CASES = [
    pytest.param(kind, path.replace(f"{kind}.", "method."), case, id=f"{kind}-{path}-{case.value}")
    for kind in METHODS
    for path, cases in REACH.items()
    for case in cases
    if path.partition(".")[0] in (kind, *RunConfig.model_fields) and f"{kind}:{path}" not in ELSEWHERE
]


@pytest.mark.parametrize(("kind", "path", "case"), CASES)
def test_a_setting_reaches_what_it_is_about(workshop: Workshop, kind: str, path: str, case: Case) -> None:
    found = case.look(workshop.make(kind, {**case.beside, path: case.value}))
    usual = case.look(workshop.usual(kind, case.beside))
    if case.expected is CHANGED:
        again = case.look(workshop.make(kind, {**case.beside, path: case.value}))
        assert found == again != usual
    else:
        wanted = case.value if case.expected is ITSELF else case.expected
        assert found == wanted != usual


def test_every_setting_is_looked_at() -> None:
    settings = {one.path: one for one in knobs(RunConfig) if one.path == "method.kind" or one.path[:7] != "method."}
    for kind, method in METHODS.items():
        settings |= {f"{kind}.{each.path}": each for each in knobs(method.Options) if each.path != "kind"}
    assert {*REACH, *(key for key in ELSEWHERE if ":" not in key and "=" not in key)} == set(settings)
    unseen = set()
    for path, cases in REACH.items():
        values = [case.value for case in cases]
        kind, _, name = path.partition(".")
        usual = {**BASE, **{f"{kind}.{one[7:]}": value for one, value in OF_KIND.get(kind, {}).items()}}
        assert usual.get(path, settings[path].default) not in values, f"{path}: its usual value shows nothing"
        values.append(usual.get(path, settings[path].default))
        unseen |= {f"{path}={name}" for name, _ in settings[path].choices if name not in values}
    assert unseen == {key for key in ELSEWHERE if "=" in key}, "choices that nobody looks at"


def test_what_is_seen_elsewhere_is_seen_there() -> None:
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), place


def test_every_method_builds_a_trainer_of_its_own(workshop: Workshop) -> None:
    assert {METHODS[kind].data_kinds[0] for kind in METHODS} <= {*ROWS}, "rows for the new method's kind of data"
    trainers = {type(workshop.usual(kind, {}).trainer) for kind in METHODS}
    assert len(trainers) == len(METHODS) - 1, "pre-training is imitation of every token"
    assert {workshop.engine.run(workshop.usual(kind, {}).run_id).method for kind in METHODS} == {*METHODS}


def test_all_cores_compute_when_no_number_is_given(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engine import training

    monkeypatch.setattr(training, "physical_cores", lambda: 3)
    assert workshop.make("sft", {"precision.threads": 0}).threads == 3


@pytest.mark.parametrize(("choice", "expected"), [("auto", True), ("off", False)])
def test_memory_decides(workshop: Workshop, choice: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """About activation checkpointing, on a computer that has too little; `auto` leaves it off elsewhere."""
    from workbench.engine import training

    path = "precision.activation_checkpointing"
    assert not workshop.make("sft", {path: "auto"}).trainer.args.activation_checkpointing
    monkeypatch.setattr(training, "memory", lambda: SimpleNamespace(total=1))
    assert workshop.make("sft", {path: choice}).trainer.args.activation_checkpointing is expected


@pytest.mark.parametrize(
    ("rows", "size", "accumulation", "epochs"),
    [(48, 5, 3, 1.0), (37, 4, 3, 2.0), (33, 8, 2, 0.7), (15, 4, 3, 1.5), (11, 3, 4, 3.0), (6, 8, 5, 2.0)],
)
def test_steps_are_foreseen_as_the_trainer_counts_them(
    workshop: Workshop, rows: int, size: int, accumulation: int, epochs: float
) -> None:
    settings = {
        "data.max_rows": rows,
        "optimization.batch_size": size,
        "optimization.accumulation": accumulation,
        "optimization.epochs": epochs,
    }
    counted = see.steps(workshop.make("sft", settings))
    assert workshop.engine.forecast(workshop.config("sft", settings)).steps == counted
