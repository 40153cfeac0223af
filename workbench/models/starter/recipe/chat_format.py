"""How a conversation becomes text: the special tokens, and the chat template that says the same in Jinja.

Contract: `render(messages)` equals `apply_chat_template(messages, tokenize=False)`; a test holds them together. The
template marks what the assistant says, its end token included, with `{% generation %}`.
"""

MAX_LENGTH = 1024  # tokens
END, PAD = "<|end|>", "<|pad|>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
SPECIAL = [PAD, END, *ROLES.values()]

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}"
    "{%- else -%}{{- message['content'] + '<|end|>' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def render(messages: list[dict]) -> str:
    """What the chat template makes of a conversation; training uses this because it is faster."""
    return "".join(f"{ROLES[m['role']]}{m['content']}{END}" for m in messages)
