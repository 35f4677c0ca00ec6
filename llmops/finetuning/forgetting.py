"""What a model loses of what it knew: its perplexity on a text of other matters, before and after training."""

from dataclasses import dataclass
from typing import Any

from llmops import digests, step
from llmops.errors import DataError
from llmops.finetuning.bits import Bits, bits_per_byte
from llmops.finetuning.trainable import Trainable

_WINDOW = 512  # tokens that a text is cut into, the same for every step


@dataclass(frozen=True)
class Forgetting:
    """Perplexities per token of one text; `change` is how much higher that after training is, as a share."""

    text_digest: str
    tokens: int
    perplexity_before: float
    perplexity_after: float
    change: float


class GeneralText:
    """A text measured before training, so that it can be compared after."""

    def __init__(self, text: str, model: Any, tokenizer: Any) -> None:
        """Measure `text`.

        Raises:
            DataError, ConfigError, ArtifactError: as `bits_per_byte`.
        """
        self._text, self._tokenizer = text, tokenizer
        self._before = self._measure(model)

    def compare(self, model: Any) -> Forgetting:
        """Measure the text again; errors as those of the first time."""
        before, after = self._before, self._measure(model)
        change = after.perplexity / before.perplexity - 1
        return Forgetting(digests.of_bytes(self._text.encode()), after.tokens, before.perplexity, after.perplexity, change)

    def _measure(self, model: Any) -> Bits:
        window = min(_WINDOW, getattr(model.config, "max_position_embeddings", None) or _WINDOW)
        return bits_per_byte(model, self._tokenizer, [self._text], window)


def read_general(path: str, trained: Trainable) -> GeneralText | None:
    """Measure the text in a file before training; no path is no text.

    Raises:
        LLMOpsError: there is no such file, or it holds no text.
    """
    if not path:
        return None
    file = step.existing_file(path, "general text")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name}: not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    return GeneralText(text, trained.model, trained.tokenizer)
