"""Every config becomes arguments that trl takes, and methods are found by lying in their folder."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.config.fields import knobs
from workbench.config.run import RunConfig
from workbench.config.text import Text
from workbench.methods import METHODS
from workbench.methods.arguments import common_arguments, optimizer_name

ROOT = Path(__file__).parents[1]
PLAN = SimpleNamespace(total=50, log_every=1, evaluate_every=5, save_every=10)


def arguments(folder: Path, changes: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    config = RunConfig().changed(changes or {})
    options = {"device": "cpu", "dtype": "fp32", "plan": PLAN, "evaluates": True, **given}
    return common_arguments(config, folder, **options)


def test_both_configs_take_them_without_a_warning(tmp_path: Path) -> None:
    from trl import DPOConfig, SFTConfig

    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        for made in (SFTConfig(**arguments(tmp_path)), DPOConfig(**arguments(tmp_path))):
            assert made.use_cpu and not made.bf16 and not made.fp16
            assert not made.gradient_checkpointing
            assert made.get_warmup_steps(50) == 2
            assert made.eval_steps == 5 and made.save_steps == 10
            assert made.num_train_epochs == 3.0 and made.max_steps == -1


@pytest.mark.parametrize(
    "name", ["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "lion", "sgd"]
)
@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:0"])
def test_every_optimizer_is_known_to_transformers(name: str, device: str) -> None:
    from transformers.training_args import OptimizerNames

    found = OptimizerNames(optimizer_name(name, device))
    assert ("paged" in found.value) == ("paged" in name and device == "cuda:0")


@pytest.mark.parametrize("name", ["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"])
def test_every_schedule_runs_from_any_learning_rate(name: str, tmp_path: Path) -> None:
    import torch
    from transformers import get_scheduler
    from trl import SFTConfig

    made = SFTConfig(**arguments(tmp_path, {"optimization.scheduler": name, "optimization.learning_rate": 1e-8}))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=made.learning_rate)
    schedule = get_scheduler(name, optimizer, made.get_warmup_steps(50), 50, made.lr_scheduler_kwargs)
    for _ in range(50):
        optimizer.step()
        schedule.step()
    assert 0 <= schedule.get_last_lr()[0] <= 1e-8


def test_precision_and_checkpointing_follow_the_config(tmp_path: Path) -> None:
    assert arguments(tmp_path, dtype="bf16")["bf16"]
    assert not arguments(tmp_path, dtype="fp16")["fp16"]
    assert arguments(tmp_path, dtype="fp16", device="cuda:0")["fp16"]
    key = "precision.activation_checkpointing"
    assert [arguments(tmp_path, {key: value})["activation_checkpointing"] for value in ("auto", "on", "off")] == [
        False,
        True,
        False,
    ]
    assert arguments(tmp_path, checkpointing=True)["activation_checkpointing"]
    assert not arguments(tmp_path, {key: "off"}, checkpointing=True)["activation_checkpointing"]


def test_a_warm_up_of_the_whole_run_is_the_whole_run(tmp_path: Path) -> None:
    from trl import SFTConfig

    made = SFTConfig(**arguments(tmp_path, {"optimization.warmup_ratio": 1.0}))
    assert [made.get_warmup_steps(steps) for steps in (1, 50, 9_999_991)] == [1, 50, 9_999_991]


def test_methods_are_found_and_described_in_both_languages() -> None:
    assert set(METHODS) >= {"sft", "dpo"}
    for method in METHODS.values():
        assert isinstance(method.label, Text) and method.help.zh != method.help.en
        for setting in knobs(method.Options):
            assert setting.knob.help.en and setting.knob.help.zh


def test_a_method_is_added_by_putting_a_file_beside_the_others(tmp_path: Path) -> None:
    """In a process of its own, since registries keep what they have found."""
    (tmp_path / "calm.py").write_text(
        "from typing import ClassVar, Literal\n"
        "from workbench.config.fields import knob\n"
        "from workbench.config.registry import METHOD_HELP, METHOD_LABEL, MethodOptions\n"
        "from workbench.config.text import Text\n"
        "from workbench.methods.base import Method\n"
        "class Options(MethodOptions):\n"
        "    kind: Literal['calm'] = knob('calm', METHOD_LABEL, METHOD_HELP)\n"
        "    strength: float = knob(1.0, Text('Strength', '强度'), Text('More is more.', '越大越强。'), ge=0)\n"
        "class Calm(Method):\n"
        "    kind, label, help = 'calm', Text('Calm', '平静'), Text('Calms.', '使其平静。')\n"
        "    data_kinds, Options = ('chat',), Options\n"
        "    def build_trainer(self, parts): ...\n",
        encoding="utf-8",
    )
    code = (
        "import sys, workbench.methods as m; m.__path__.append(sys.argv[1]); found = m.discover()\n"
        "from workbench.config.run import RunConfig\n"
        "config = RunConfig.parse({'method': {'kind': 'calm', 'strength': 2.0}})\n"
        "assert config.method.strength == 2.0 and {'calm', 'sft', 'dpo'} <= set(found)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_only_its_own_files_know_dpo() -> None:
    own = {ROOT / "workbench/methods/dpo.py", ROOT / "workbench/methods/trainers/preference.py"}
    core = [path for name in ("methods", "config", "models") for path in (ROOT / "workbench" / name).rglob("*.py")]
    naming = [path for path in core if path not in own and '"dpo"' in path.read_text(encoding="utf-8")]
    assert naming == []


def test_methods_are_listed_without_loading_torch() -> None:
    code = "import sys, workbench.methods; sys.exit(bool({'torch','trl','peft','datasets','transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
