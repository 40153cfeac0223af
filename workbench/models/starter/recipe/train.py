"""Training the starter from nothing: draw text, learn a tokenizer, train a small Llama, save it.

Contract: `build(Options(...))` writes a model folder that `transformers` loads. The text, the tokenizer, the order of
the batches and the initial weights are bit-exact for a seed, whatever the number of processes and the device. The
trained weights are not: they repeat on the same machine and library versions only as far as its matrix kernels do, and a GPU and a CPU
differ from the first step on (rounding, bf16 autocast). Loss counts what the assistant says and its end token only.
"""

import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from .chat_format import END, MAX_LENGTH, PAD, ROLES
from .drawing import Options, encoded, texts
from .muon import Muon
from .tokenizer import train_tokenizer

TOKENIZER_ROWS = 200_000
IGNORED = -100


@dataclass
class Rows:
    """Conversations as one flat run of tokens: row i is tokens[starts[i]:starts[i + 1]]; `taught` marks the assistant."""

    tokens: torch.Tensor
    taught: torch.Tensor
    starts: torch.Tensor

    @property
    def lengths(self) -> torch.Tensor:
        return self.starts[1:] - self.starts[:-1]

    def batch(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and labels of some rows, padded to the longest of them."""
        device = self.tokens.device
        rows = rows.to(device)
        lengths = self.lengths[rows]
        columns = torch.arange(int(lengths.max()), device=device)
        inside = columns[None] < lengths[:, None]  # (batch, sequence)
        index = (self.starts[rows][:, None] + columns[None]).clamp_(max=len(self.tokens) - 1)
        ids = torch.where(inside, self.tokens[index].long(), 0)
        labels = torch.where(inside & self.taught[index], ids, IGNORED)
        return ids, labels


def make_rows(tokenizer: PreTrainedTokenizerFast, options: Options, *, split: str, count: int) -> Rows:
    """Draws and tokenizes `count` rows."""
    ids, lengths = encoded(options, tokenizer.backend_tokenizer.to_str(), split=split, count=count)
    tokens = torch.from_numpy(ids)
    return Rows(tokens, taught_mask(tokens, tokenizer), F.pad(torch.from_numpy(lengths).cumsum(0), (1, 0)))


def taught_mask(tokens: torch.Tensor, tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    """True where a token belongs to an assistant turn: after `<|assistant|>` up to and with `<|end|>`."""
    roles = {name: tokenizer.convert_tokens_to_ids(token) for name, token in ROLES.items()}
    is_role = torch.isin(tokens, torch.tensor(list(roles.values()), dtype=tokens.dtype))
    last_role = torch.where(is_role, torch.arange(len(tokens)), 0).cummax(0).values
    return (tokens[last_role] == roles["assistant"]) & ~is_role


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A fresh 3.8 M-parameter Llama for this tokenizer."""
    torch.manual_seed(seed)
    end, pad = tokenizer.convert_tokens_to_ids([END, PAD])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        num_hidden_layers=4,
        intermediate_size=640,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        eos_token_id=end,
        pad_token_id=pad,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, do_sample=False, max_new_tokens=128)
    return model


def batches(rows: Rows, batch_tokens: int, seed: int):
    """Endless batches of rows of similar length, each at most `batch_tokens` wide with its padding."""
    lengths = rows.lengths.cpu()
    epoch = 0
    while True:
        g = torch.Generator().manual_seed(seed * 1000 + epoch)
        order = torch.randperm(len(lengths), generator=g)
        # A sort that keeps some chance in it: rows that are nearly as long as each other still mix between epochs.
        order = order[(lengths[order] + torch.rand(len(order), generator=g) * 2).sort().indices]
        cuts, start, widest = [], 0, 0
        for i, length in enumerate(lengths[order].tolist()):
            widest = max(widest, length)
            if (i + 1 - start) * widest > batch_tokens and i > start:
                cuts.append(order[start:i])
                start, widest = i, length
        cuts.append(order[start:])
        for i in torch.randperm(len(cuts), generator=g).tolist():
            yield cuts[i]
        epoch += 1


def loss_of(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean loss over the taught tokens. No attention mask is needed: padding is on the right and never taught."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    taught = labels[:, 1:] != IGNORED
    return F.cross_entropy(model.lm_head(hidden[taught]).float(), labels[:, 1:][taught])


def train(model: LlamaForCausalLM, rows: Rows, valid: Rows, options: Options, log=print) -> dict:
    """Trains in place and returns what was done (tokens, steps, seconds, losses)."""
    device, lengths = next(model.parameters()).device, rows.lengths.cpu()
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if not any(p is m for m in matrices)]
    muon = Muon(matrices, lr=options.muon_lr, weight_decay=options.weight_decay)
    adam = torch.optim.AdamW(others, lr=options.adam_lr, betas=(0.9, 0.98), weight_decay=0.0)
    optimizers = [(muon, options.muon_lr), (adam, options.adam_lr)]
    seen, step, began, recent = 0, 0, time.time(), []
    record: dict = {"log": []}
    autocast = partial(torch.autocast, device.type, dtype=torch.bfloat16)
    for chosen in batches(rows, options.batch_tokens, options.seed):
        done = max(seen / options.tokens, (time.time() - began) / options.max_seconds)
        if done >= 1:
            break
        rate = min(1.0, (step + 1) / 100) * min(1.0, (1 - done) / 0.5)
        for optimizer, lr in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr * rate
        with autocast():
            loss = loss_of(model, *rows.batch(chosen))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen += int(lengths[chosen].sum())
        recent.append(loss.detach())
        step += 1
        if step % 500 == 0:
            record["log"].append(
                [step, seen, float(torch.stack(recent).mean()), validation_loss(model, valid, autocast)]
            )
            recent = []
            log(f"step {step} tokens {seen / 1e6:.1f}M loss {record['log'][-1][2]:.4f} valid {record['log'][-1][3]:.4f} "
                f"{time.time() - began:.0f}s")  # fmt: skip
    return record | {"steps": step, "tokens": seen, "seconds": time.time() - began,
                     "valid_loss": validation_loss(model, valid, autocast)}  # fmt: skip


@torch.no_grad()
def validation_loss(model: LlamaForCausalLM, valid: Rows, autocast) -> float:
    """Loss on pairs of fact and phrasing that training never sees."""
    model.eval()
    order = valid.lengths.argsort()
    losses = []
    for part in order.split(256):
        with autocast():
            losses.append(loss_of(model, *valid.batch(part)).float())
    model.train()
    return float(torch.stack(losses).mean())


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, record: dict, out: Path) -> None:
    """Writes the model folder in bf16, and training.json with what was done."""
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).eval()
    model.save_pretrained(out, safe_serialization=True)
    # Stored in half the space, computed in full: so a plain `from_pretrained` answers as the workbench does.
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "dtype": "float32"}, indent=2, sort_keys=True) + "\n")
    tokenizer.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)  # safetensors writes files that only their owner may read
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")


def build(options: Options) -> dict:
    """Everything, from the tables to the folder; returns the training record."""
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    began = time.time()
    tokenizer = train_tokenizer(texts(options, min(options.rows, TOKENIZER_ROWS)))
    rows = make_rows(tokenizer, options, split="train", count=options.rows)
    valid = make_rows(tokenizer, options, split="valid", count=2000)
    print(f"{len(rows.lengths)} rows, {len(rows.tokens) / 1e6:.1f}M tokens, vocabulary {len(tokenizer)}, "
          f"{time.time() - began:.0f}s", flush=True)  # fmt: skip
    model = make_model(tokenizer, options.seed).to(device)
    for part in (rows, valid):
        part.tokens, part.taught, part.starts = (t.to(device) for t in (part.tokens, part.taught, part.starts))
    record = train(model, rows, valid, options, log=partial(print, flush=True))
    record |= {"parameters": model.num_parameters(), "rows": len(rows.lengths), "seed": options.seed, "device": device}
    save(model, tokenizer, record, options.out)
    return record
