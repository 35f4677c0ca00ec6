"""Why a server gave no answer, whether to ask again and when, and what a user is told."""

import json
import math
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from random import Random
from typing import Any

from llmops.models.http.pace import Pace
from llmops.models.http.wire import OPTIONAL

NO_NUMBERS = "Out of range float values"  # what vLLM says (0.32) where a log-probability isn't a number
LONGEST_WAIT_S = 120.0  # a server that asks for a longer one is out of reach: its day's quota is spent, say
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 30.0
# What OpenAI, vLLM (0.32) and llama.cpp say of a prompt over the window.
_TOO_LONG = re.compile("context_length_exceeded|maximum (context|model) length|available context size")
_REFUSALS = (400, 403, 422)  # what servers say to a parameter that they don't take
_random = Random()  # its own: others seed the shared one


@dataclass(frozen=True)
class Failure:
    """A try without an answer. `status` is HTTP's, or 0 where nothing came; `refused` a parameter the server won't take.

    It is `too_long` where the server says that prompt and answer don't fit the model's window.
    """

    status: int
    reason: str
    retry_after_s: float | None = None
    refused: str = ""
    too_long: bool = False

    @property
    def passing(self) -> bool:
        """Whether the same request may do better later."""
        return (self.status in (0, 408, 409, 429) or self.status >= 500) and (self.retry_after_s or 0) <= LONGEST_WAIT_S


def read_refusal(
    status: int, headers: Mapping[str, str], content: bytes, secrets: Collection[str], sent: Collection[str] = ()
) -> Failure:
    """What a response of that status comes to, whose request sent those parameters. Its reason is one line, no secrets."""
    text = content.decode(errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    error = _entry(body, "error") or body
    message = _entry(error, "message") or error or text or "nothing"
    too_long = status in (400, 413) and _TOO_LONG.search(text) is not None
    refused = _refused_parameter(_entry(error, "param"), text, sent) if status in _REFUSALS and not too_long else ""
    return Failure(status, masked(str(message), secrets), _retry_after_s(headers), refused, too_long)


def read_event(error: Any, secrets: Collection[str]) -> Failure:
    """The failure that an event of a stream tells of, as vLLM does."""
    code = _entry(error, "code")
    return Failure(code if isinstance(code, int) else 0, masked(str(_entry(error, "message") or error), secrets))


def read_failure(error: Exception, secrets: Collection[str]) -> Failure:
    """What `error`, which ended a try, comes to, as `read_refusal` says it."""
    if isinstance(error, TimeoutError):
        return Failure(0, "none came in time")
    if isinstance(error, ValueError) and not isinstance(error, OSError):  # a certificate's is both
        return Failure(200, masked(str(error), secrets))
    return Failure(0, masked(str(error) or type(error).__name__, secrets))


def _entry(body: Any, name: str) -> Any:
    return body.get(name) if isinstance(body, Mapping) else None


def masked(text: str, secrets: Collection[str]) -> str:
    """The text's beginning in one line, with stars for secrets."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:300] + " ..."


def _refused_parameter(param: Any, said: str, sent: Collection[str]) -> str:
    for name in OPTIONAL:
        named = param == name
        if name == "max_tokens":  # named as well where a prompt is too long, and to send its newer name then is no help
            named = "max_completion_tokens" in said
        elif name != "temperature":  # a word that prompts hold, and error messages quote
            named = named or re.search(rf"\b{name}\b", said) is not None
        if named and name in sent:
            return name
    return ""


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from now, from seconds or from a date; a date counts from the server's own clock where it shows it."""
    value = headers.get("retry-after", "")
    try:
        wait_s = float(value)
    except ValueError:
        until, now = parsedate_tz(value), parsedate_tz(headers.get("date", ""))
        if until is None:
            return None
        wait_s = float(mktime_tz(until)) - (mktime_tz(now) if now else time.time())
    return max(wait_s, 0.0) if math.isfinite(wait_s) else None


class Patience:
    """What one request is granted: `retries` further tries, each after a longer wait."""

    def __init__(self, retries: int, pace: Pace) -> None:
        self.tries = 0
        self._retries, self._pace = retries, pace

    def next_wait_s(self, failure: Failure) -> float | None:
        """Seconds to wait before another try, None for no further one. A wait the server asks for is everybody's."""
        self.tries += 1
        if not failure.passing or self.tries > self._retries:
            return None
        if failure.retry_after_s:
            self._pace.pause(failure.retry_after_s)
            return 0.0
        return _random.uniform(0.5, 1) * min(_FIRST_BACKOFF_S * 2.0 ** (self.tries - 1), _LONGEST_BACKOFF_S)


def explain(failure: Failure, url: str, model: str, api_key_env: str, tries: int) -> str:
    """One line: what the server did, and what to do."""
    found = f"answered {failure.status} ({failure.reason})" if failure.status else f"gave no answer ({failure.reason})"
    again = f" at each of {tries} tries" if tries > 1 else ""
    return f"{url} {found}{again}. {_advice(failure, url, model, api_key_env)}"


def _advice(failure: Failure, url: str, model: str, api_key_env: str) -> str:
    if (failure.retry_after_s or 0) > LONGEST_WAIT_S:
        return f"It asks to wait for {failure.retry_after_s:.0f} s: ask again then, or check the quota there."
    if failure.status in (401, 403):
        return f"Set the environment variable {api_key_env} to a key that may use {model!r} there."
    if failure.status == 404:
        return f"It knows no model {model!r}, or is no OpenAI-compatible API: see {url}/models for its models."
    if failure.status == 429:
        return "Lower concurrency or set requests_per_minute, or check the quota there."
    if failure.passing:
        return "Check that the server runs, or raise timeout_s or retries."
    if failure.status == 200:
        return "That is no chat completion: check that the address is an OpenAI-compatible API's."
    if NO_NUMBERS in failure.reason:
        return f"{model!r} computes values that are no numbers, as after a bad adapter: start the server anew."
    return f"Change the request: its prompt may be too long for {model!r}, or max_new_tokens too high."
