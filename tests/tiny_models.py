"""Tiny models and adapters for tests: a random Llama of some thousand parameters with a byte-level tokenizer."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIALS = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


def make_tokenizer(folder: Path, template: str | None = TEMPLATE) -> None:
    """A tokenizer whose tokens are the 256 bytes and the marks of the template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIALS)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    fast.chat_template = template
    fast.save_pretrained(str(folder))


def make_base(folder: Path, *, tied: bool = True, shard: str = "1GB", dtype: str = "float32", seed: int = 0) -> Path:
    """A Llama with random weights that are large enough to make its answers differ."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=264,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=257,
        pad_token_id=256,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.to(getattr(torch, dtype)).save_pretrained(str(folder), max_shard_size=shard)
    make_tokenizer(folder)
    return folder


def make_adapter(folder: Path, base: Path, **options: object) -> Path:
    """A LoRA adapter whose B is random instead of zero, saved beside its tokenizer as a run does it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **options}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32), LoraConfig(**settings))
    randomise(model)
    model.save_pretrained(str(folder))
    make_tokenizer(folder)
    return folder


def randomise(model: object, seed: int = 1) -> None:
    """Give every trainable tensor of a fresh adapter a random push, so that the adapter changes the answers."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.data += noise.to(parameter.dtype)


def logits(model: object) -> object:
    """The model's outputs for one fixed text."""
    import torch

    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(1, 40).unsqueeze(0)).logits


def make_writer(
    folder: Path, template: str, eos: str | None, steps: str, settings: dict[str, object] | None = None
) -> Path:
    """A model that knows by heart which token follows which.

    Args:
        template, eos: of its tokenizer, which has the marks of `template_zoo`.
        steps: tokens one after the other; behind the last one, and behind every token that is not named, comes a "Z".
        settings: its generation_config.json; None is none.
    """
    import json

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.template_zoo import tokenizer_for

    tokenizer = tokenizer_for(template, eos)
    tokenizer.save_pretrained(str(folder))
    size = 288  # a dimension for each token
    config = LlamaConfig(
        vocab_size=size, hidden_size=size, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=512, bos_token_id=None, eos_token_id=None, pad_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        ids = tokenizer(steps, add_special_tokens=False)["input_ids"]
        follows = dict.fromkeys(range(size), tokenizer("Z")["input_ids"][0]) | dict(zip(ids, ids[1:], strict=False))
        model.lm_head.weight.copy_(torch.eye(size)[[*follows.values()]].T)
    model.save_pretrained(str(folder))
    file = folder / "generation_config.json"
    file.unlink(missing_ok=True)
    if settings is not None:
        file.write_text(json.dumps(settings))
    return folder
