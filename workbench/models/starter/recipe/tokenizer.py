"""The starter's tokenizer: byte-level BPE in which every Chinese character and every digit stands alone.

Contract: `train_tokenizer(texts)` returns a `PreTrainedTokenizerFast` with the special tokens, the chat template (with
`{% generation %}` markers around what the assistant says, its end token included) and the ids that the model config
needs. Any text round-trips, emoji too, because the alphabet is bytes.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from .chat_format import CHAT_TEMPLATE, END, MAX_LENGTH, PAD, ROLES, SPECIAL

VOCAB_SIZE = 3072


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Learns the vocabulary from plain message texts."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCAB_SIZE,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLES.values()),
        model_max_length=MAX_LENGTH,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
