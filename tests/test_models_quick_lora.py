"""The quick LoRA layer computes what peft's computes, and leaves to peft what it does not know."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.method_parts import chats, logged, make_parts, tiny_llama
from tests.tiny_models import randomise
from workbench.methods import METHODS

pytestmark = pytest.mark.usefixtures("torch_one_thread")

INPUTS, OUTPUTS = 24, 40


def layers(layer_bias: bool = False, **options: Any) -> tuple[Any, Any]:
    """The same adapted layer twice: as peft has it, and quickened."""
    import torch
    from peft import LoraConfig, get_peft_model

    from workbench.models.quick_lora import quicken

    torch.manual_seed(0)
    config = LoraConfig(**{"r": 4, "lora_alpha": 12, "target_modules": ["layer"], **options})
    theirs = get_peft_model(one_layer(layer_bias), config)
    randomise(theirs)
    ours = copy.deepcopy(theirs)
    quicken(ours)
    return theirs, ours


def one_layer(bias: bool) -> Any:
    """A model of one linear layer."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(INPUTS, OUTPUTS, bias=bias)

        def forward(self, x: Any) -> Any:
            return self.layer(x)

    return Model()


def inputs(*shape: int, dtype: Any = None) -> Any:
    import torch

    generator = torch.Generator().manual_seed(3)
    return torch.randn(*shape, INPUTS, generator=generator, dtype=torch.float32).to(dtype or torch.float32)


def passed(model: Any, x: Any, autocast: Any = None) -> dict[str, Any]:
    """Output and all gradients of a layer, for a loss that weighs each output differently."""
    import torch

    x = x.clone().requires_grad_()
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        out = model(x)
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape)
    (out.float() * weights).sum().backward()
    found = {"output": out.detach(), "x": x.grad}
    found |= {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
    for weight in model.parameters():
        weight.grad = None
    return found


@pytest.fixture
def quick_calls(monkeypatch: Any) -> list[int]:
    """Grows with each layer that is computed in the quick way."""
    from workbench.models import quick_lora

    calls: list[int] = []
    inner = quick_lora._Together.apply

    def apply(*values: Any) -> Any:
        calls.append(1)
        return inner(*values)

    monkeypatch.setattr(quick_lora._Together, "apply", apply)
    return calls


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("shape", [(7,), (1, 9), (3, 5)], ids=str)
@pytest.mark.parametrize("rank_stabilized", [False, True], ids=["scaled", "rank stabilized"])
def test_outputs_and_gradients_in_full_precision_are_pefts(
    bias: bool, shape: tuple[int, ...], rank_stabilized: bool, quick_calls: list[int]
) -> None:
    import torch

    theirs, ours = (each.double() for each in layers(layer_bias=bias, use_rslora=rank_stabilized))
    x = inputs(*shape, dtype=torch.float64)
    expected, found = passed(theirs, x), passed(ours, x)
    assert quick_calls == [1]
    assert expected.keys() == found.keys()
    for name, value in expected.items():  # sums of at most 40 products in another order: a few roundings of 1e-16
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12, msg=name)


def test_gradients_are_the_slopes_of_the_output() -> None:
    import torch

    from workbench.models.quick_lora import _Together

    torch.manual_seed(1)
    x, weight, a, b = (torch.randn(*size, dtype=torch.float64) for size in ((2, 3, 5), (6, 5), (2, 5), (6, 2)))
    for value in (x, a, b):
        value.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, a, b: _Together.apply(x, weight, None, a, b), (x, a, b))


def test_a_layer_whose_input_needs_no_gradient_and_rows_that_lie_apart_in_memory(quick_calls: list[int]) -> None:
    import torch

    theirs, ours = layers()
    for x in (inputs(2, 3), inputs(3, 2).transpose(0, 1), inputs(4, 6)[:, ::2]):
        results = []
        for model in (theirs, ours):
            out = model(x)
            out.square().sum().backward()
            results += [out.detach(), *(weight.grad for weight in model.parameters() if weight.requires_grad)]
            for weight in model.parameters():
                weight.grad = None
        half = len(results) // 2
        for mine, other in zip(results[half:], results[:half], strict=True):
            torch.testing.assert_close(mine, other)
    assert len(quick_calls) == 3


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"], ids=["bf16 stream", "fp32 stream"])
def test_under_autocast_it_is_as_near_to_the_exact_result_as_pefts(dtype: str, quick_calls: list[int]) -> None:
    """Both round to bf16, at different places; against the same layer in fp64 ours may not be off by more than peft's.

    What is compared is the root mean square over a whole tensor; 5 % more than peft's are the luck of the roundings.
    """
    import torch

    theirs, ours = layers()
    for model in (theirs, ours):
        model.base_model.model.layer.base_layer.to(torch.bfloat16)
    exact_model = copy.deepcopy(theirs).double()
    x = inputs(1, 300, dtype=getattr(torch, dtype))
    x = x.bfloat16().to(x.dtype)  # the same numbers for all of them
    exact = passed(exact_model, x.double())
    expected, found = passed(theirs, x, torch.bfloat16), passed(ours, x, torch.bfloat16)
    assert quick_calls == [1]
    for name, value in exact.items():
        assert found[name].dtype == expected[name].dtype
        off, allowed = ((each[name].double() - value).square().mean().sqrt().item() for each in (found, expected))
        assert off <= 1.05 * allowed, name
        assert off <= 2**-7 * value.square().mean().sqrt().item(), name  # bf16 keeps eight bits


def _merge(model: Any) -> None:
    model.merge_adapter()


def _second(model: Any) -> None:
    from peft import LoraConfig

    model.add_adapter("second", LoraConfig(r=2, target_modules=["layer"]))
    model.base_model.set_adapter(["default", "second"])


def _hook(model: Any) -> None:
    model.base_model.model.layer.base_layer.register_forward_hook(lambda module, given, out: out + 1)


def _half(model: Any) -> None:
    model.base_model.model.layer.base_layer.bfloat16()


LEFT_TO_PEFT: dict[str, tuple[dict[str, Any], Callable[[Any], None]]] = {
    "dora": ({"use_dora": True}, lambda model: None),
    "dropout": ({"lora_dropout": 0.3}, lambda model: model.train()),
    "trained bias": ({"bias": "all", "layer_bias": True}, lambda model: None),
    "bias of B": ({"lora_bias": True, "layer_bias": True}, lambda model: None),
    "merged": ({}, _merge),
    "two adapters": ({}, _second),
    "adapter off": ({}, lambda model: model.base_model.disable_adapter_layers()),
    "watched": ({}, _hook),
    "mixed precision": ({}, _half),
}


@pytest.mark.parametrize("case", LEFT_TO_PEFT)
def test_what_is_not_the_plain_case_is_pefts_to_the_bit(case: str, quick_calls: list[int]) -> None:
    import torch

    options, prepare = LEFT_TO_PEFT[case]
    theirs, ours = layers(**options)
    outputs = []
    for model in (theirs, ours):
        torch.manual_seed(5)
        prepare(model)
        outputs.append(model(inputs(2, 3, dtype=model.base_model.model.layer.base_layer.weight.dtype)))
    assert torch.equal(*outputs)
    assert quick_calls == []


def test_answers_are_pefts_to_the_bit(quick_calls: list[int]) -> None:
    import torch

    theirs, ours = layers()
    with torch.no_grad():
        assert torch.equal(ours(inputs(2, 3)), theirs(inputs(2, 3)))
    with ours.disable_adapter():
        assert torch.equal(ours(inputs(2, 3)), theirs.base_model.model.layer.base_layer(inputs(2, 3)))
    assert quick_calls == []


def test_what_is_saved_and_merged_is_the_same(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model

    from workbench.models.quick_lora import quicken

    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(tiny_llama(), config)
    randomise(model)
    names = list(model.state_dict())
    assert quicken(model) == 14
    assert quicken(model) == 0
    assert list(model.state_dict()) == names
    model.save_pretrained(tmp_path)
    plain = PeftModel.from_pretrained(tiny_llama(), tmp_path)
    ids = torch.arange(1, 40)[None]
    with torch.no_grad():
        assert torch.equal(model.eval()(ids).logits, plain.eval()(ids).logits)
    ours, theirs = model.merge_and_unload(), plain.merge_and_unload()
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize(("dtype", "checkpointing"), [("fp32", "off"), ("bf16", "on")])
def test_a_training_goes_the_same_way(dtype: str, checkpointing: str, tmp_path: Path, quick_calls: list[int]) -> None:
    import torch

    from workbench.models.quick_lora import quicken

    losses = []
    for quick in (False, True):
        model = tiny_llama() if dtype == "fp32" else tiny_llama().to(torch.bfloat16)
        changes = {"precision__dtype": dtype, "precision__activation_checkpointing": checkpointing}
        torch.manual_seed(2)
        trainer = METHODS["sft"].build_trainer(
            make_parts(tmp_path / str(quick), chats(), model=model, steps=6, **changes)
        )
        for weight in trainer.model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
        assert quicken(trainer.model) == 14 if quick else True
        assert quick_calls == []
        trainer.train()
        losses.append(logged(trainer))
    assert len(quick_calls) == 6 * 14 * (2 if checkpointing == "on" else 1)
    # In fp32 another order of sums; in bf16 each activation of some hundred is rounded to 2^-9 at another place.
    assert losses[1] == pytest.approx(losses[0], rel=1e-5 if dtype == "fp32" else 2**-7)
    assert losses[1][-1] < 0.7 * losses[1][0]
