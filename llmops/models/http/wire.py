"""OpenAI's chat completions: what is sent, and what is read from the answers.

Servers say less than they should: no usage counts as 0 tokens, no content (a filter's verdict, or all tokens spent on
thinking) as the empty text, no finish reason of a whole answer as "stop". No choices is no answer. Text is stripped at
both ends, as the engine in this process does.
"""

from collections.abc import Collection, Mapping
from typing import Any

from llmops.types import Completion, GenerationRequest

OPTIONAL = ("logprobs", "seed", "stream_options", "temperature", "top_p", "max_tokens")
"""Parameters that some server or model refuses. Without them we ask again, for "max_tokens" under its newer name."""


def request_body(request: GenerationRequest, model: str, refused: Collection[str], stream: bool = False) -> dict[str, Any]:
    """What to send, without the `refused` parameters."""
    body: dict[str, Any] = {
        "model": request.adapter or model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_tokens": request.max_new_tokens, "logprobs": True, **_decoding(request),
    }  # fmt: skip
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if "max_tokens" in refused:
        body["max_completion_tokens"] = request.max_new_tokens
    return {name: value for name, value in body.items() if name not in refused}


def _decoding(request: GenerationRequest) -> dict[str, Any]:
    """How tokens are chosen; what is left out is the server's to say, or drawn by it."""
    if request.temperature == 0:
        return {"temperature": 0.0, "seed": 0}
    seed = {} if request.seed is None else {"seed": request.seed}
    return {"temperature": request.temperature, **seed, **({"top_p": request.top_p} if request.top_p < 1 else {})}


def read_completion(answer: Any) -> Completion:
    """Read a whole answer.

    Raises:
        ValueError: it has no choice with a message, or its content is no text.
    """
    choice = _first_choice(answer)
    message = _entry(choice, "message")
    if message is None:
        raise ValueError("it has no choice with a message")
    return Completion(_text(message).strip(), *_counts(answer), _finish_reason(choice) or "stop", _logprobs(choice))


class StreamedAnswer:
    """What a stream has said so far. The pieces handed on make up the completion's text."""

    def __init__(self) -> None:
        self._said = self._held = self._finish_reason = ""
        self._counts = (0, 0)
        self._logprobs: tuple[float, ...] = ()

    def add(self, event: Any) -> str:
        """Take in an event; return the text to hand on, often none. Space is held back until text follows it.

        Raises:
            ValueError: its content is no text.
        """
        if _entry(event, "usage") is not None:
            self._counts = _counts(event)
        choice = _first_choice(event)
        if choice is None:
            return ""
        self._finish_reason = _finish_reason(choice) or self._finish_reason
        self._logprobs += _logprobs(choice)
        self._held += _text(_entry(choice, "delta"))
        text = self._held.rstrip() if self._said else self._held.strip()
        if text:
            self._held = self._held[len(self._held.rstrip()) :]
            self._said += text
        return text

    @property
    def whole(self) -> bool:
        """Whether the server said that the answer ends here."""
        return bool(self._finish_reason)

    def completion(self) -> Completion:
        """What was said, in one."""
        return Completion(self._said, *self._counts, self._finish_reason, self._logprobs)


def _entry(part: Any, name: str) -> Any:
    """The entry of an object, or None. Nothing in an answer is sure to have its type."""
    return part.get(name) if isinstance(part, Mapping) else None


def _first_choice(answer: Any) -> Any:
    choices = _entry(answer, "choices")
    return choices[0] if choices and isinstance(choices, list) else None


def _text(part: Any) -> str:
    content = _entry(part, "content")
    if content is None:
        return ""
    if not isinstance(content, str):
        raise ValueError(f"its content is a {type(content).__name__}, no text")
    return content


def _counts(answer: Any) -> tuple[int, int]:
    usage = _entry(answer, "usage")
    prompt, completion = (_entry(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    return prompt if isinstance(prompt, int) else 0, completion if isinstance(completion, int) else 0


def _finish_reason(choice: Any) -> str:
    return str(_entry(choice, "finish_reason") or "")


def _logprobs(choice: Any) -> tuple[float, ...]:
    tokens = _entry(_entry(choice, "logprobs"), "content") or ()
    values = [_entry(token, "logprob") for token in tokens]
    return tuple(float(value) for value in values if isinstance(value, int | float))
