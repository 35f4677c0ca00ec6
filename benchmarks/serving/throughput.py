"""Tokens a second of a gateway on vLLM, against the same engine asked directly and against `mlflow models serve`.

`mlflow models serve` has the model as MLflow's documentation logs it (flavor transformers, llm/v1/chat), and beside it the
release itself, which brings our own batching along. All servers have as many compute threads. Who is compared takes turns.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serving.application import APP, Application, chat, promote, questions
from benchmarks.serving.load import Ask, Heard, ask_all, failures, tokens_per_s
from benchmarks.serving.place import START_S, deployed, server, variables, workplace
from llmops.chains.parts import Generator
from llmops.models.http.wire import request_body
from llmops.serving.engine import engines
from llmops.serving.rollout.plan import read_plan
from llmops.serving.state import Deployment
from llmops.tracking.flavor import fetch_folder
from llmops.tracking.loading import load_answerer
from llmops.tracking.releases import read_release
from llmops.tracking.versions import Registered
from llmops.types import Completion, GenerationRequest, Message, Progress

CLIENTS = 32
_LEVELS = (1, 8, 32)  # clients that the peer is tried with, to be measured with the best
_CASES = count(1)
Load = Callable[[], list[Heard]]
Make = Callable[[Sequence[str]], list[Ask]]


@dataclass(frozen=True)
class Loads:
    """What is measured: `kinds` of release on `peers`, those of `KINDS` and `PEERS`, and how often.

    Each server computes an answer, or a batch of them, in `threads`.
    """

    kinds: Sequence[str]
    peers: Sequence[str]
    requests: int
    peer_requests: int
    pairs: int
    rounds: int
    threads: int


def measure(base: str, tokens: int, loads: Loads) -> dict[str, Any]:
    """On the base, and with every request on an adapter."""
    found: dict[str, Any] = {}
    with workplace() as place, variables({"OMP_NUM_THREADS": str(loads.threads)}):
        application = Application.on(base, tokens)
        for kind in loads.kinds:
            version = KINDS[kind](application, place)
            promote(version)
            told = _measure(application, version, place, loads)
            found |= {name + ("" if kind == "base" else f"_{kind}"): value for name, value in told.items()}
    return found


def _measure(application: Application, version: Registered, place: Path, loads: Loads) -> dict[str, Any]:
    options = {"engine": "vllm", "threads": loads.threads, "max_in_flight": CLIENTS, "max_waiting": 4 * CLIENTS}
    with deployed(APP, version.uri, **options) as ours:
        both = {
            "gateway": _load(lambda asked: [chat(ours.url, question) for question in asked], loads.requests, CLIENTS),
            "direct": _load(_directly(ours, version), loads.requests, CLIENTS),
        }  # fmt: skip
        for load in both.values():  # the first answers are slower
            load()
        rates = _take_turns(both, loads.pairs)
        ratios = [one / other for one, other in zip(rates["gateway"], rates["direct"], strict=True)]
        found = {
            "throughput_vs_bare_engine": median(ratios),
            "throughput_details_engine": {"tokens_per_s": rates, "pairs": ratios},
        }
        for peer, key in ((PEERS[name], f"vs_{name}") for name in loads.peers):
            with peer(application, version, place) as make:
                level, tried = _best_level(make, loads.peer_requests)
                two = {"gateway": both["gateway"], "peer": _load(make, max(level, loads.peer_requests), level)}
                rates = _take_turns(two, loads.rounds)
            found[f"throughput_{key}"] = median(rates["gateway"]) / median(rates["peer"])
            found[f"throughput_details_{key}"] = {"tokens_per_s": rates, "clients": level, "tried": tried}
    return found


def _load(make: Make, number: int, clients: int) -> Load:
    """So many questions, which nobody was asked before: vLLM remembers what it has read, and others don't."""
    return lambda: ask_all(make([f"Case {next(_CASES)}: {question}" for question in questions(number)]), clients)


def _take_turns(loads: dict[str, Load], rounds: int) -> dict[str, list[float]]:
    """Tokens a second of each in each round; who begins changes."""
    rates: dict[str, list[float]] = {name: [] for name in loads}
    for number in range(rounds):
        for name in list(loads)[:: 1 if number % 2 == 0 else -1]:
            heard = loads[name]()
            rates[name].append(tokens_per_s(heard))
            if failed := failures(heard):
                print(f"  {name}: {failed.total()} of {len(heard)} requests failed, and don't count: {dict(failed)}")
    return rates


def _best_level(make: Make, number: int) -> tuple[int, dict[int, float]]:
    """With how many clients it answers the most tokens a second, and how many with each."""
    _load(make, 1, 1)()
    tried = {level: tokens_per_s(_load(make, max(level, number), level)()) for level in _LEVELS}
    return max(tried, key=lambda level: tried[level]), tried


def _directly(ours: Deployment, version: Registered) -> Make:
    """What the gateway would send to its engine for questions, but for log-probabilities, which nobody else wants."""
    how = read_plan(ours.folder).loaded[version.uri]
    engine = engines.Engine(how.engine)
    url, key = f"{engine.record.url}/v1/chat/completions", engine.key_file.read_text(encoding="utf-8")
    return lambda asked: [
        Ask(url, request_body(one, engine.record.spec.model, ("logprobs",)), {"authorization": f"Bearer {key}"})
        for one in prompts(version, asked, how.adapter or None)
    ]


class Recording:
    """Answers nothing, and remembers what it was asked."""

    identity = {"name": "recording", "version": "1", "dtype": "none"}

    def __init__(self) -> None:
        self.requests: list[GenerationRequest] = []

    def generate(self, requests: Sequence[GenerationRequest], progress: Progress | None = None) -> list[Completion]:
        self.requests += requests
        return [Completion("Nothing.", 0, 0, "stop") for _ in requests]

    def stream(self, request: GenerationRequest) -> Any:
        raise NotImplementedError


def prompts(version: Registered, asked: Sequence[str], adapter: str | None = None) -> list[GenerationRequest]:
    """What a release asks its engine for these questions."""
    recording = Recording()
    load_answerer(read_release(version.uri), recording, adapter).answer(asked)
    return recording.requests


@contextmanager
def _model_served(application: Application, version: Registered, place: Path) -> Iterator[Make]:
    """The model as MLflow's documentation logs it, asked with the release's prompts."""
    generator = read_release(version.uri).generator
    folder, adapter = place / f"model-{version.version}", "adapter" if generator.adapter else None
    _save_model(application, generator, folder)
    with _mlflow_serve(place, str(folder)) as url:
        yield lambda asked: [
            Ask(f"{url}/invocations", {"messages": _told(one.messages), "max_tokens": one.max_new_tokens})
            for one in prompts(version, asked, adapter)
        ]


def _save_model(application: Application, generator: Generator, folder: Path) -> None:
    import mlflow.transformers
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights = application.weights.folder
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=getattr(torch, application.dtype))
    if generator.adapter:
        model = PeftModel.from_pretrained(model, fetch_folder("adapter", generator.adapter))
    parts = {"model": model, "tokenizer": AutoTokenizer.from_pretrained(weights)}
    mlflow.transformers.save_model(parts, str(folder), task="llm/v1/chat", pip_requirements=["transformers"])


@contextmanager
def _release_served(application: Application, version: Registered, place: Path) -> Iterator[Make]:
    """The release by its pyfunc, which generates in its process and batches who asks at once, as our gateway can."""
    with _mlflow_serve(place, version.uri) as url:
        yield lambda asked: [
            Ask(f"{url}/invocations", {"input": [{"role": "user", "content": question}]}) for question in asked
        ]


@contextmanager
def _mlflow_serve(place: Path, uri: str) -> Iterator[str]:
    limit = str(int(START_S))
    words = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "--timeout", limit]
    with server(place, words, "/health", MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT=limit) as url:
        yield url


def _told(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


KINDS: dict[str, Callable[[Application, Path], Registered]] = {
    "base": lambda application, _: application.prompted(),
    "adapter": lambda application, place: application.adapted(application.make_adapter(place / "adapter", 1)),
}
PEERS: dict[str, Callable[[Application, Registered, Path], AbstractContextManager[Make]]] = {
    "models_serve": _model_served, "release_in_models_serve": _release_served,
}  # fmt: skip
