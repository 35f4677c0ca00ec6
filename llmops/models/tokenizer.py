"""A base's tokenizer: its chat template, the tokens that end an answer, and what identifies both."""

import json
import re
from collections.abc import Sequence
from typing import Any

from llmops import digests
from llmops.errors import WeightsError
from llmops.models.adapter import BaseIdentity
from llmops.models.weights import Weights
from llmops.types import Message


def base_identity(weights: Weights, tokenizer: Any) -> BaseIdentity:
    texts = (tokenizer.chat_template or "", _tokenizer_text(tokenizer))
    template, words = (digests.of_bytes(text.encode()) for text in texts)
    return BaseIdentity(weights.source, weights.digest, template, words, weights.revision)


def _tokenizer_text(tokenizer: Any) -> str:
    fast = getattr(tokenizer, "backend_tokenizer", None)
    return str(fast.to_str()) if fast is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)


def load_tokenizer(weights: Weights, chat: bool = True) -> Any:
    """Load a tokenizer; one without a padding token pads with the end of the turn.

    Raises:
        WeightsError: it is for a `chat`, and has no chat template.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights.folder)
    if chat and not tokenizer.chat_template:
        raise WeightsError(f"{weights.source!r} has no chat template: it is no instruction-tuned model. Use one that is.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


class ModelTokenizer:
    """Counts and encodes for one model. A `TokenCounter`, for engines elsewhere that serve these weights too."""

    def __init__(self, weights: Weights) -> None:
        self.wrapped = load_tokenizer(weights)
        self.window = read_window(weights)
        self._most_of_a_byte = most_tokens_of_a_byte(self.wrapped)
        special = [token.content for token in self.wrapped.added_tokens_decoder.values() if token.special]
        self._special = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))) or r"(?!)")

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The token ids of a chat up to where the answer begins."""
        return list(self._templated(messages, return_dict=True)["input_ids"])

    def count_prompt(self, messages: Sequence[Message]) -> int:
        return len(self.encode(messages))

    def fits(self, messages: Sequence[Message], room: int) -> bool:
        """As a `TokenCounter`; what is certain of the bytes alone isn't tokenized, which takes longer than all else."""
        if self._most_of_a_byte:
            text = self._templated(messages, tokenize=False)
            if len(text.encode(errors="surrogatepass")) * self._most_of_a_byte + room <= self.window:
                return True
        return self.count_prompt(messages) + room <= self.window

    def count_text(self, text: str) -> int:
        return len(self.wrapped(text, add_special_tokens=False)["input_ids"])

    def defuse(self, text: str) -> str:
        """A tokenizer takes its special tokens for what they are wherever they stand; a space inside makes words of them."""
        while self._special.search(text):
            text = self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
        return text

    def _templated(self, messages: Sequence[Message], **how: Any) -> Any:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return self.wrapped.apply_chat_template(turns, add_generation_prompt=True, **how)


def most_tokens_of_a_byte(tokenizer: Any) -> int | None:
    """What a byte of text can become at most, where that is known: of byte-level BPE.

    That makes one token of it or less (Radford et al. 2019, section 2.2); NFC before it, three bytes of one
    (Unicode Standard Annex 15 and its FAQ).
    """
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None or type(fast.model).__name__ != "BPE":
        return None
    normal, cuts = _steps(fast.normalizer), _steps(fast.pre_tokenizer)
    if not any(step["type"] == "ByteLevel" and not step["add_prefix_space"] for step in cuts):
        return None
    return {(): 1, ("NFC",): 3}.get(tuple(step["type"] for step in normal))


def _steps(part: Any) -> list[dict[str, Any]]:
    """What a normalizer or pre-tokenizer of the tokenizers library does, one thing after the other."""
    told = [json.loads(part.__getstate__())] if part is not None else []
    while any(step["type"] == "Sequence" for step in told):
        told = [one for step in told for one in step.get("normalizers", step.get("pretokenizers", [step]))]
    return told


def read_window(weights: Weights) -> int:
    """The most tokens the model was made for, prompt and answer together."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(weights.folder).get_text_config()
    return int(config.max_position_embeddings)


def read_stop_tokens(weights: Weights, tokenizer: Any) -> set[int]:
    """The tokens that end an answer of this model."""
    from transformers import GenerationConfig

    has = (weights.folder / "generation_config.json").is_file()
    return stop_tokens(tokenizer, GenerationConfig.from_pretrained(weights.folder) if has else GenerationConfig())


def stop_tokens(tokenizer: Any, generation: Any) -> set[int]:
    configured = generation.eos_token_id  # an id, a list of ids, or None
    return {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])} - {None}
