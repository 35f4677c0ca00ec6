"""What came back for a request: an answer, or why it counts as failed. Reads OpenAI's and MLflow's shapes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

RELEASE_HEADER = "x-llmops-release"
_ENDS = ("response.completed", "response.incomplete")  # cut at the most tokens asked for is a whole answer


@dataclass(frozen=True)
class Outcome:
    """`failure` is empty for a whole answer, which has so many `tokens` and was made by `release`, if it is told."""

    failure: str = ""
    tokens: int = 0
    release: str = ""
    answer_id: str = ""


def read_whole(status: int, header: str, body: str) -> Outcome:
    """Read an answer that isn't streamed; `header` names the release that made it."""
    if status != 200:
        return Outcome(f"status {status}")
    try:
        return _checked(json.loads(body), header)
    except ValueError:
        return Outcome("no JSON")


def read_stream(status: int, header: str, lines: Iterable[str]) -> Outcome:
    """Read the lines of server-sent events: an error among them is a failure, though the status is 200; so is no end."""
    if status != 200:
        return Outcome(f"status {status}")
    last: dict[str, Any] = {}
    try:
        for event in _events(lines):
            if event is None:
                return _checked(last, header)
            if event.get("error") or event.get("type") in ("error", "response.failed"):
                return Outcome("error in a stream")
            if event.get("type") in _ENDS:
                return _checked(event["response"], header)
            last |= {name: value for name, value in event.items() if value is not None}
    except ValueError:
        return Outcome("no JSON")
    return Outcome("cut off")


def _events(lines: Iterable[str]) -> Iterator[dict[str, Any] | None]:
    """The data of each event; None for the end as chat completions tell it."""
    for line in lines:
        if line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            yield None if data == "[DONE]" else json.loads(data)


def _checked(answer: Any, header: str) -> Outcome:
    """A whole answer, unless header and body name two releases."""
    one = answer[0] if isinstance(answer, list) and answer else answer  # MLflow's server answers with a list
    if not isinstance(one, dict):
        return Outcome("no answer")
    release = str((one.get("release") or {}).get("uri", ""))
    if header and release != header:
        return Outcome("mixed releases")
    return Outcome("", _tokens(one), release, str(one.get("id", "")))


def _tokens(answer: dict[str, Any]) -> int:
    """How many tokens were generated."""
    told = {**(answer.get("custom_outputs") or {}), **(answer.get("usage") or {})}
    return int(told.get("completion_tokens") or told.get("output_tokens") or 0)
