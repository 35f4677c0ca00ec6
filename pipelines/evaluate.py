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
from llmops.chains.release import Release
from llmops.datasets.examples import read_examples
from llmops.datasets.questions import check_documents, check_unseen, read_questions
from llmops.errors import ConfigError
from llmops.evaluation.scorecard import Scorecard, score, score_abstainer, table
from llmops.evaluation.settings import calibrate_abstention, choose_k, choose_min_score
from llmops.registry.champion import CHAMPION, find_champion
from llmops.tracking import evaluations, golden, steps
from llmops.tracking.candidates import CandidateSettings
from llmops.tracking.loading import load_answerer, load_index, load_retriever
from llmops.tracking.registered import AGENT, load_registered
from llmops.tracking.releases import describe, log_release, read_release
from llmops.tracking.run import progress_bar, start_step
from llmops.tracking.sources import source_digest
from llmops.tracking.traces import log_rows
from llmops.tracking.versions import get_version
from llmops.types import Question

GOLDEN = 3  # development questions whose answers are stored with a release


@dataclass(frozen=True)
class EvaluateConfig(CandidateSettings):
    """Answer the questions with each kind of release, register the releases, and compare their scorecards."""

    app: str = step.setting("application; releases are registered as versions of it", "handbook")
    questions: str = step.setting("held-out questions, JSON lines", "examples/handbook/questions-test.jsonl")
    dev_questions: str = step.setting("questions to choose settings on", "examples/handbook/questions-dev.jsonl")
    examples: str = step.setting("training examples; few-shot shows some", "examples/handbook/examples.jsonl")
    max_wrong: float = step.setting("share of questions that may be answered wrongly; below 1 calibrates abstention", 1.0)
    calibration: str = step.setting("questions to calibrate abstention on; empty means half of dev_questions", "")
    latency_questions: int = step.setting("questions asked one at a time to measure latency", 5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latency_questions < 1:
            raise ConfigError(f"latency_questions is {self.latency_questions}, expected at least 1.")
        if not 0 < self.max_wrong <= 1:
            raise ConfigError(f"max_wrong is {self.max_wrong}, expected a share above 0, up to 1.")


def identity(config: EvaluateConfig) -> str:
    """The cache key of this step."""
    files = ["questions", "dev_questions", "examples", *(["calibration"] if config.calibration else [])]
    inputs = {name: digests.of_file(step.existing_file(getattr(config, name), f"{name} file")) for name in files}
    inputs["agent"] = source_digest(AGENT)  # logged as a file, not imported
    inputs |= config.identify_parts(config.app)
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
        parts = config.find_parts(config.app, examples)
        if parts.retrieval is not None:
            check_documents([*test, *dev], load_index(parts.retrieval.index).doc_ids)
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
