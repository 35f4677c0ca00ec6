"""What generates tokens: lists of requests in, lists of completions out, truly batched."""

from collections.abc import Generator, Sequence
from typing import Protocol

from llmops.errors import ConfigError
from llmops.types import Completion, GenerationRequest, Message, Progress

DTYPES = ("auto", "bfloat16", "float32")


class Engine(Protocol):
    """Answers requests in the order they were asked."""

    @property
    def identity(self) -> dict[str, str]:
        """Name, version and dtype: recorded with every answer."""

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]: ...

    def stream(self, request: GenerationRequest) -> Generator[str, None, Completion]:
        """Yield the answer in pieces as they come, and return the whole of it."""


class TokenCounter(Protocol):
    """Counts as the model does, so that a prompt can be made to fit before it is sent."""

    @property
    def window(self) -> int:
        """The most tokens of prompt and answer together."""

    def count_prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of a chat as it is sent, with the template's own."""

    def count_text(self, text: str) -> int: ...

    def defuse(self, text: str) -> str:
        """The text with special tokens broken up, by which it could pass for other turns of the chat."""


def resolve_dtype(name: str) -> str:
    """Turn "auto" into bfloat16 where the processor computes in it, else float32.

    Raises:
        ConfigError: `name` is not one of DTYPES.
    """
    if name not in DTYPES:
        raise ConfigError(f"dtype is {name!r}, expected one of {', '.join(DTYPES)}.")
    if name != "auto":
        return name
    import torch

    native = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if native else "float32"
