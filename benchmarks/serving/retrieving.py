"""What retrieval adds to an answer: embedding the question, searching, making a longer prompt, and reading that prompt."""

import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any

from benchmarks.serving.application import Application, chat, promote, questions
from benchmarks.serving.load import Ask
from benchmarks.serving.overhead import on_stub, stub_server, take_turns
from benchmarks.serving.place import deployed, workplace
from benchmarks.serving.throughput import Recording, prompts
from llmops.chains.answerer import Answerer
from llmops.models.http.wire import request_body
from llmops.retrieval.embedder import EmbedderIdentity, Vectors
from llmops.serving.engine import engines
from llmops.serving.engine.environment import find_environment
from llmops.serving.engine.flags import derive_spec
from llmops.tracking.loading import load_answerer, load_retriever
from llmops.tracking.releases import read_release
from llmops.tracking.versions import Registered

_WARM = 5


def measure(base: str, requests: int, ms: float, reads: int) -> dict[str, Any]:
    """Milliseconds, medians over questions about the sample handbook; `reads` prompts of each kind are read by vLLM."""
    with workplace() as place, ExitStack() as stack:
        application = Application.on(base, 24)
        plain, rag = application.prompted(), application.retrieving()
        for version in (plain, rag):
            promote(version)
        asked = _answerable(rag, questions(requests + _WARM))
        found = _split(plain, rag, asked)
        stub = stack.enter_context(stub_server(place, ms))
        urls = {
            name: stack.enter_context(deployed(name, version.uri, **on_stub(stub))).url
            for name, version in (("plain", plain), ("rag", rag))
        }
        took = take_turns({name: [chat(url, one, model=name) for one in asked] for name, url in urls.items()}, _WARM)
        found |= {"rag_added_ms": took["rag"]["p50"] - took["plain"]["p50"], "rag_details_ms": took}
        stack.close()  # what the stub and the gateways take would be taken from vLLM
        return found | _reading(application, plain, rag, asked[: reads + _WARM])


def _answerable(version: Registered, asked: Sequence[str]) -> list[str]:
    """Those for which something is found: for the others the engine isn't asked."""
    retriever = load_retriever(read_release(version.uri))
    assert retriever is not None
    return [question for question, hits in zip(asked, retriever.hits(asked), strict=True) if hits]


class _Timed:
    """An embedder that notes how long it took for questions, in milliseconds."""

    def __init__(self, embedder: Any) -> None:
        self._embedder, self.took = embedder, [0.0]

    @property
    def identity(self) -> EmbedderIdentity:
        found: EmbedderIdentity = self._embedder.identity
        return found

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        start = time.perf_counter()
        vectors: Vectors = self._embedder.embed_queries(texts)
        self.took.append((time.perf_counter() - start) * 1000)
        return vectors


def _split(plain: Registered, rag: Registered, asked: Sequence[str]) -> dict[str, Any]:
    """In this process, on an engine that says nothing at once. What isn't embedding or search is the prompt's."""
    releases = [read_release(version.uri) for version in (plain, rag)]
    without, beside = (load_answerer(release, Recording()) for release in releases)
    retriever = load_retriever(releases[1])
    assert retriever is not None
    embedder = _Timed(retriever.embedder)
    retriever = retriever.model_copy(update={"embedder": embedder})
    beside = beside.with_retriever(retriever)
    parts: dict[str, list[float]] = {"embedding": [], "search": [], "prompt": []}
    for question in asked:
        found = _ms(partial(retriever.hits, [question]))
        embedding = embedder.took[-1]
        whole = _answering_ms(beside, question) - _answering_ms(without, question)
        parts["embedding"].append(embedding)
        parts["search"].append(found - embedding)
        parts["prompt"].append(whole - found)
    return {f"rag_added_ms_{name}": median(values[_WARM:]) for name, values in parts.items()}


def _answering_ms(answerer: Answerer, question: str) -> float:
    return _ms(partial(answerer.answer, [question]))


def _ms(work: Any) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def _reading(application: Application, plain: Registered, rag: Registered, asked: Sequence[str]) -> dict[str, Any]:
    """How much longer vLLM takes to the first token, nothing of the prompts being remembered."""
    spec = derive_spec(application.weights, application.dtype, find_environment().device)
    engine = engines.acquire(spec, "reading")
    key = engine.key_file.read_text(encoding="utf-8")

    def asks(version: Registered) -> list[Ask]:
        bodies = [request_body(one, spec.model, ("logprobs",)) for one in prompts(version, asked)]
        salted = [{**body, "max_tokens": 1, "cache_salt": secrets.token_hex(8)} for body in bodies]
        return [Ask(f"{engine.record.url}/v1/chat/completions", body, {"authorization": f"Bearer {key}"}) for body in salted]

    took = take_turns({"plain": asks(plain), "rag": asks(rag)}, _WARM)
    return {"rag_added_ms_reading": took["rag"]["p50"] - took["plain"]["p50"], "rag_details_reading_ms": took}
