"""What generates tokens: lists of requests in, lists of completions out, truly batched."""

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

from llmops.errors import ConfigError, EngineError
from llmops.types import Completion, GenerationRequest, Message, Progress

Asked = TypeVar("Asked")
Made = TypeVar("Made")

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

    def fits(self, messages: Sequence[Message], room: int) -> bool:
        """Whether a chat, as `count_prompt` counts it, leaves room for so many tokens more."""

    def count_text(self, text: str) -> int: ...

    def defuse(self, text: str) -> str:
        """The text with special tokens broken up, by which it could pass for other turns of the chat."""


def generate_each(
    engine: Engine, requests: Sequence[GenerationRequest], progress: Progress | None = None
) -> list[Completion | Exception]:
    """As the engine's `generate`, but a request that fails costs no other its answer: in its place is the error."""
    if hasattr(engine, "generate_each"):
        each: list[Completion | Exception] = engine.generate_each(requests, progress)
        return each

    def generate(some: Sequence[GenerationRequest]) -> list[Completion]:
        completions = engine.generate(some, progress if len(some) == len(requests) else None)
        if len(completions) != len(some):
            raise EngineError(f"the engine gave {len(completions)} answers to {len(some)} requests.")
        return completions

    return make_each(generate, requests)


def make_each(make: Callable[[Sequence[Asked]], Sequence[Made]], asked: Sequence[Asked]) -> list[Made | Exception]:
    """What is made of all together; where that fails, of each half, and so on, until the errors are of single ones."""
    try:
        return list(make(asked))
    except Exception as error:
        if len(asked) < 2:
            return [error] * len(asked)
    half = len(asked) // 2
    return [*make_each(make, asked[:half]), *make_each(make, asked[half:])]


def runs_on_gpu() -> bool:
    """Whether models that run in this process run on a GPU."""
    import torch

    return bool(torch.cuda.is_available())


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
