"""A release's metrics on one question set, each with its interval, and the table that compares releases."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from llmops.chains.prompt import ABSTENTION
from llmops.evaluation.metrics import METRICS, Row, mean_tokens, score_row, values
from llmops.evaluation.statistics import Interval, mean_interval
from llmops.types import Answer, Metrics, Question

ABSTAINER = "always-abstain"


@dataclass(frozen=True)
class Scorecard:
    """What one candidate scored. `measured` holds figures without an interval, such as latency."""

    candidate: str
    rows: tuple[Row, ...]
    intervals: dict[str, Interval]
    measured: Metrics = field(default_factory=dict)

    @property
    def metrics(self) -> Metrics:
        """Flat metrics: `answer.f1`, `answer.f1_low`, `answer.f1_high`, `latency.p50_s`, ..."""
        flat = dict(self.measured)
        for name, interval in self.intervals.items():
            flat |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return flat

    def values(self, metric: str) -> dict[str, float]:
        """Per-question values of a metric, by question id."""
        return values(self.rows, metric)


def score(
    candidate: str, questions: Sequence[Question], answers: Sequence[Answer], has_retriever: bool,
    measured: Metrics | None = None,
) -> Scorecard:  # fmt: skip
    """Score answers, given in the order of the questions."""
    rows = [score_row(q, a, has_retriever) for q, a in zip(questions, answers, strict=True)]
    return from_rows(candidate, rows, {**mean_tokens(rows), **(measured or {})})


def from_rows(candidate: str, rows: Sequence[Row], measured: Metrics | None = None) -> Scorecard:
    """Average rows that are already scored; a metric that applies to no question is left out."""
    found = {metric: list(values(rows, metric).values()) for metric in METRICS}
    intervals = {metric: mean_interval(sample) for metric, sample in found.items() if sample}
    return Scorecard(candidate, tuple(rows), intervals, measured or {})


def score_abstainer(questions: Sequence[Question]) -> Scorecard:
    """The scorecard of answering "I don't know" to everything: what a useful candidate must beat."""
    return score(ABSTAINER, questions, [Answer(ABSTENTION, True) for _ in questions], has_retriever=False)


COLUMNS = {
    "answer.score": "score", "answer.f1": "F1", "answer.exact_match": "EM", "retrieval.recall": "recall",
    "abstention.recall": "abstains right", "abstention.false_rate": "abstains wrong",
}  # fmt: skip


def table(scorecards: Sequence[Scorecard]) -> str:
    """Compare scorecards as text: means with their 95 % intervals, one candidate a line."""
    header = ["candidate", *COLUMNS.values(), "p50 s"]
    lines = [[card.candidate, *(_cell(card.intervals.get(m)) for m in COLUMNS), _latency(card)] for card in scorecards]
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [header, rule, *lines]
    )


def _cell(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _latency(card: Scorecard) -> str:
    return f"{card.measured['latency.p50_s']:.2f}" if "latency.p50_s" in card.measured else "-"
