"""The shape of a small Llama that is trained from nothing, and the untrained base that has it.

Llama: Touvron et al. 2023; grouped-query attention: Ainslie et al. 2023. Byte-level BPE and one token that both begins and
ends a text: Radford et al. 2019. Chat turns: ChatML.
"""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from llmops.errors import ConfigError
from llmops.files import new_folder
from llmops.finetuning.blocks import check_texts

END_OF_TEXT, PADDING, TURN_START, TURN_END = SPECIAL_TOKENS = ("<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>")
MIN_VOCAB = 256 + len(SPECIAL_TOKENS)  # every byte is a token, so every text can be spelt
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Architecture:
    """The sizes that make a Llama; counts, all of them, but the last two. Read from a file by `read_architecture`."""

    vocab_size: int  # at most this many tokens; texts may hold too few words to fill it
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int  # heads that share keys and values: as many as `heads`, or a divisor of it
    intermediate_size: int
    max_tokens: int
    tie_embeddings: bool = True  # one matrix for input and output
    rope_theta: float = 10_000.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "layers", "heads", "kv_heads", "intermediate_size", "max_tokens"):
            _check_count(name, getattr(self, name), {"vocab_size": MIN_VOCAB, "max_tokens": 2}.get(name, 1))
        if self.hidden_size % (2 * self.heads):
            raise ConfigError(
                f"hidden_size is {self.hidden_size} with heads {self.heads}, expected a multiple of {2 * self.heads}: "
                "each head gets an even share."
            )
        if self.heads % self.kv_heads:
            raise ConfigError(f"kv_heads is {self.kv_heads}, expected a divisor of heads, {self.heads}.")
        if not isinstance(self.tie_embeddings, bool):
            raise ConfigError(f"tie_embeddings is {self.tie_embeddings!r}, expected true or false.")
        theta = self.rope_theta
        if isinstance(theta, bool) or not isinstance(theta, int | float) or not 1 < theta < float("inf"):
            raise ConfigError(f"rope_theta is {theta!r}, expected a number above 1.")


def _check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} is {value!r}, expected a whole number.")
    if value < least:
        raise ConfigError(f"{name} is {value}, expected {least} or more.")


def read_architecture(path: Path) -> Architecture:
    """Read and check an architecture from a YAML file whose keys are the fields of `Architecture`.

    Raises:
        ConfigError: the file is missing or no YAML, or a key in it is unknown, missing, or has an impossible value.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"architecture {str(path)!r} can't be read: {reason}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name}: holds {data!r}, expected keys such as hidden_size.")
    known = {field.name: field.default is MISSING for field in fields(Architecture)}
    for key in data:
        if key not in known:
            raise ConfigError(f"{path.name}: unknown key {key!r}. Known: {', '.join(known)}.")
    missing = [name for name, needed in known.items() if needed and name not in data]
    if missing:
        raise ConfigError(f"{path.name}: missing {', '.join(missing)}. Add what is missing.")
    try:
        return Architecture(**data)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error


def llama_config(architecture: Architecture, tokenizer: Any) -> Any:
    """The transformers configuration, with as many tokens as the tokenizer has.

    Where those are fewer than the architecture's, it says so as `vocab_size_asked`.

    Raises:
        ConfigError: the tokenizer has more tokens than the architecture.
    """
    from transformers import LlamaConfig

    size = len(tokenizer)
    if size > architecture.vocab_size:
        raise ConfigError(f"the tokenizer has {size} tokens, expected at most vocab_size, {architecture.vocab_size}.")
    asked = {"vocab_size_asked": architecture.vocab_size} if size < architecture.vocab_size else {}
    return LlamaConfig(
        vocab_size=size, hidden_size=architecture.hidden_size, num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads, num_key_value_heads=architecture.kv_heads,
        intermediate_size=architecture.intermediate_size, max_position_embeddings=architecture.max_tokens,
        tie_word_embeddings=architecture.tie_embeddings,
        rope_parameters={"rope_type": "default", "rope_theta": float(architecture.rope_theta)},
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        **asked,
    )  # fmt: skip


def new_tokenizer(texts: Sequence[str], vocab_size: int, max_tokens: int) -> Any:
    """Train a byte-level BPE tokenizer with chat turns; the same texts give the same one.

    Only pairs seen twice are merged. Like any tokenizer of transformers it reads a special token where a text spells one,
    unless called with `split_special_tokens=True`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, special_tokens=list(SPECIAL_TOKENS), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, pad_token=PADDING,
        extra_special_tokens=[TURN_START, TURN_END], model_max_length=max_tokens, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def new_base(architecture: Architecture, texts: Sequence[str], folder: Path, seed: int) -> Path:
    """Save an untrained base with a tokenizer of its own as a transformers folder; return it.

    The tokenizer follows from the texts, every weight from `seed`; torch's own random state is left as it was.

    Raises:
        ConfigError: the folder holds something.
        DataError: a text is empty or no Unicode, or there is none.
    """
    import torch
    from transformers import LlamaForCausalLM
    from transformers.utils import logging

    check_texts(texts)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{str(folder)!r} holds something already. Give a new or empty folder.")
    tokenizer = new_tokenizer(texts, architecture.vocab_size, architecture.max_tokens)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = LlamaForCausalLM(llama_config(architecture, tokenizer))
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(TURN_END)]
    logging.disable_progress_bar()  # steps report their own progress
    with new_folder(folder) as scratch:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
    return folder
