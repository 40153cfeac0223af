"""Weights are quantised piece by piece to what bitsandbytes makes of them at once, and are read one by one."""

import threading

import pytest

from tests.tiny_models import logits, make_base

torch = pytest.importorskip("torch")
bitsandbytes = pytest.importorskip("bitsandbytes")
from bitsandbytes import functional  # noqa: E402
from transformers import modeling_utils  # noqa: E402
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING  # noqa: E402

from workbench.models import loading, quantized  # noqa: E402

SHAPES = [(1, 1), (3, 5), (64, 64), (130, 33), (300, 65)]


def same(one, other):
    """Whether two quantised states are the same, whatever they hold."""
    ours, theirs = one.as_dict(), other.as_dict()
    assert ours.keys() == theirs.keys()
    return all(torch.equal(torch.as_tensor(ours[key]), torch.as_tensor(theirs[key])) for key in tensors(ours)) and all(
        ours[key] == theirs[key] for key in ours.keys() - tensors(ours)
    )


def tensors(state):
    return {key for key, value in state.items() if isinstance(value, torch.Tensor)}


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of 256 blocks, so that small weights have several."""
    monkeypatch.setattr(quantized, "_PIECE", 256 * 64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [*SHAPES, (500, 131)])
@pytest.mark.parametrize("double", [True, False])
def test_four_bits_are_those_of_bitsandbytes(small_pieces, shape, dtype, double):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(shape[0])).to(dtype)
    packed, state = quantized.quantise_4bit(weight, 64, "nf4", double)
    expected, theirs = functional.quantize_4bit(weight, blocksize=64, compress_statistics=double, quant_type="nf4")
    assert packed.dtype == expected.dtype and torch.equal(packed, expected) and same(state, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [*SHAPES, (500, 131), (2, 40_000)])
def test_eight_bits_are_those_of_bitsandbytes(small_pieces, shape, dtype):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(shape[1])).to(dtype)
    numbers, scales = quantized.quantise_8bit(weight)
    expected, theirs, _ = functional.int8_vectorwise_quant(weight.to(torch.float16))
    assert numbers.dtype == expected.dtype and torch.equal(numbers, expected) and torch.equal(scales, theirs)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_is_quantised_as_transformers_does_it_at_once(tmp_path, monkeypatch, small_pieces, kind, tied):
    base = make_base(tmp_path / "base", tied=tied, shard="100KB", dtype="bfloat16")
    ours = loading.load_model(base, "fp32", kind, "cpu")
    used = {name: each for name, each in AUTO_QUANTIZER_MAPPING.items() if getattr(each, "in_pieces", False)}
    assert used.keys() == {"bitsandbytes_4bit", "bitsandbytes_8bit"}
    with monkeypatch.context() as patch:
        for name, each in used.items():
            patch.setitem(AUTO_QUANTIZER_MAPPING, name, each.__base__)
        patch.setattr(quantized, "_quantise_in_pieces", lambda: None)
        theirs = loading.load_model(base, "fp32", kind, "cpu")
    assert torch.equal(logits(ours), logits(theirs))
    others = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        other = others[name]
        assert type(parameter) is type(other) and parameter.dtype == other.dtype and torch.equal(parameter, other)
        if isinstance(parameter, bitsandbytes.nn.Params4bit):
            assert parameter.bnb_quantized and same(parameter.quant_state, other.quant_state)
            assert ours.get_submodule(name.removesuffix(".weight")).quant_state is parameter.quant_state
    assert any(isinstance(each, bitsandbytes.nn.Params4bit | bitsandbytes.nn.Int8Params) for each in others.values())
    for name, layer in ours.named_modules():
        if isinstance(layer, bitsandbytes.nn.Linear8bitLt):
            assert torch.equal(scales_of(layer), scales_of(theirs.get_submodule(name)))


def scales_of(layer):
    """Of a layer of 8 bit: with its weight until it has computed, with its state from then on."""
    return layer.state.SCB if layer.weight.SCB is None else layer.weight.SCB


@pytest.mark.parametrize(
    ("dtype", "quantization", "way"),
    [("fp32", "none", "pread"), ("fp32", "nf4", "pread"), ("bf16", "none", "mmap"), ("bf16", "int8", "pread")],
)
def test_weights_that_are_converted_are_read_one_by_one_and_others_are_mapped(
    tmp_path, monkeypatch, dtype, quantization, way
):
    base = make_base(tmp_path / "base", dtype="bfloat16")
    ways = opened(monkeypatch)
    loading.load_model(base, dtype, quantization, "cpu")
    assert ways == [way]


def test_another_thread_reads_as_ever_and_so_does_this_one_afterwards(tmp_path, monkeypatch):
    base = make_base(tmp_path / "base")
    ways = opened(monkeypatch)
    path = str(base / "model.safetensors")

    def read():
        modeling_utils.safe_open(path, framework="pt", device="cpu", backend="mmap")

    with quantized.one_by_one():
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        read()
        with quantized.one_by_one(False):
            read()
    read()
    assert ways == ["mmap", "pread", "mmap", "mmap"]


def test_where_the_way_of_reading_cant_be_told_the_log_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(modeling_utils, "safe_open", None)
    with quantized.one_by_one(False):
        pass
    assert not caplog.records
    with quantized.one_by_one():
        pass
    assert "takes more memory" in caplog.text


def opened(monkeypatch):
    """In which way each file is opened from now on."""
    with quantized.one_by_one():
        pass
    ways, opens = [], modeling_utils.safe_open._opens

    def noted(*arguments, **options):
        ways.append(options["backend"])
        return opens(*arguments, **options)

    monkeypatch.setattr(modeling_utils.safe_open, "_opens", noted)
    return ways
