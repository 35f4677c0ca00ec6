"""What is asked of a running vLLM beside answers: whether it is well, and its adapters."""

import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from llmops.errors import EngineError
from llmops.models.http.failure import NO_NUMBERS

_PROBE = "How long is parental leave? Answer in one sentence."
_TOKENS = 4  # that a probe has it say
_BUSY_S, _QUICK_S = 120.0, 10.0
_MADE = re.compile(r"vllm:(prompt|generation)_tokens_total\b")
_BUSY = "currently busy"  # the words of its refusals


class Poisoned(EngineError):
    """The engine computes values that are no numbers: a bad adapter got into its memory. Only a new process helps."""


class Busy(EngineError):
    """The engine lives, and has more to do than it takes."""


class Slow(EngineError):
    """No answer came in time."""


@dataclass(frozen=True)
class Said:
    """What a model said to a probe: tokens, and how likely it held each, in nats."""

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]


def tells_poison(error: str) -> bool:
    """Whether an EngineError's text means that the engine computes values that are no numbers, and so is to be healed."""
    return NO_NUMBERS in error or "values that are no numbers" in error


class EngineApi:
    """One engine's API. Keeps no connection. Everything raises EngineError where the engine doesn't answer."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {key}"}

    def is_up(self) -> bool:
        """Whether it says that it is well; that it answers, `probe` alone shows."""
        try:
            return self._send("GET", "/health", timeout_s=_QUICK_S).status_code == 200
        except EngineError:
            return False

    def tokens_made(self) -> float:
        """How many tokens it has read and said since it was started, by which one that works is told from one that hangs."""
        lines = self._send("GET", "/metrics", timeout_s=_QUICK_S).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if _MADE.match(line))

    def adapters(self) -> dict[str, str]:
        """The folders of the loaded adapters by name."""
        models = self._json("GET", "/v1/models", timeout_s=_QUICK_S)["data"]
        return {str(model["id"]): str(model["root"]) for model in models if model.get("parent")}

    def load(self, name: str, folder: str) -> None:
        """Load an adapter; one of this name that is there stays: a name means one content."""
        response = self._send("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": folder})
        if response.is_error and not (response.status_code == 400 and name in self.adapters()):
            raise EngineError(f"the engine refused adapter {name} ({response.status_code}: {_message(response)}).")

    def unload(self, name: str) -> None:
        """Have it forget an adapter; one that isn't there is forgotten already. Answers under way are finished."""
        response = self._send("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        if response.is_error and response.status_code != 404:
            raise EngineError(f"the engine kept adapter {name} ({response.status_code}: {_message(response)}).")

    def probe(self, model: str, timeout_s: float = _BUSY_S) -> Said:
        """Let a model say a few tokens to a fixed text, computed anew.

        Raises:
            Busy: it has no place for one more request.
            Poisoned: what it computes are no numbers.
        """
        said = self._complete(model, {"prompt": _PROBE, "max_tokens": _TOKENS, "ignore_eos": True, "logprobs": 0}, timeout_s)
        return Said(tuple(said["logprobs"]["tokens"]), _finite(said["logprobs"]["token_logprobs"], model))

    def score(self, model: str, token_ids: Sequence[int]) -> tuple[float, ...]:
        """The log-probability, in nats, of each token but the first, given those before it.

        Raises:
            Busy, Poisoned: as `probe`.
        """
        said = self._complete(model, {"prompt": list(token_ids), "max_tokens": 1, "prompt_logprobs": 0}, _BUSY_S)
        pairs = zip(said["prompt_logprobs"][1:], token_ids[1:], strict=True)
        return _finite([scores[str(token)]["logprob"] for scores, token in pairs], model)

    def _complete(self, model: str, asked: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        body = {"model": model, "temperature": 0, "seed": 0, "cache_salt": secrets.token_hex(8), **asked}
        choice: dict[str, Any] = self._json("POST", "/v1/completions", body, timeout_s)["choices"][0]
        return choice

    def _json(self, method: str, path: str, body: Any = None, timeout_s: float = _BUSY_S) -> Any:
        response = self._send(method, path, body, timeout_s)
        if not response.is_error:
            return response.json()
        said = _message(response)
        if tells_poison(said):
            raise Poisoned("it computes values that are no numbers.")
        raise (Busy if _BUSY in said else EngineError)(f"the engine answered {response.status_code} ({said}).")

    def _send(self, method: str, path: str, body: Any = None, timeout_s: float = _BUSY_S) -> httpx.Response:
        try:
            with httpx.Client(trust_env=False, verify=False, timeout=timeout_s, headers=self._headers) as client:
                return client.request(method, self.url + path, json=body)
        except httpx.TimeoutException as error:
            raise Slow(f"the engine at {self.url} didn't answer within {timeout_s:g} s.") from error
        except httpx.HTTPError as error:
            raise EngineError(f"the engine at {self.url} doesn't answer ({error or type(error).__name__}).") from error


def _finite(values: Sequence[Any], model: str) -> tuple[float, ...]:
    if not values or not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise Poisoned(f"{model} computes values that are no numbers.")
    return tuple(map(float, values))


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return response.text[:300]
