"""A candidate's KPIs on one question set, each with its interval, and the table that compares candidates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

from llmops.chains.prompt import ABSTENTION
from llmops.datasets.questions import question_digest
from llmops.errors import DataError
from llmops.evaluation.kpis import FIGURES, JUDGED, KPIS, find_kpi
from llmops.evaluation.rows import Row, Values, score_row, values
from llmops.evaluation.statistics import CONFIDENCE, Interval, mean_interval, paired_difference, unanimous_share
from llmops.types import Answer, Metrics, Question

ABSTAINER = "always-abstain"


@dataclass(frozen=True)
class Scorecard:
    """What one candidate scored.

    `measured` holds figures of the whole candidate, such as latency; `facts` what it needs and whose it is; `questions` is
    the digest of what was asked. `pack` are the cases of the safety pack, whose KPIs are their own.
    """

    candidate: str
    rows: tuple[Row, ...]
    intervals: dict[str, Interval]
    measured: Metrics = field(default_factory=dict)
    questions: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    pack: tuple[Row, ...] = ()

    @property
    def metrics(self) -> Metrics:
        """Flat metrics: `answer/f1`, `answer/f1_low`, `answer/f1_high`, `latency/p50_s`, ..."""
        flat = dict(self.measured)
        for name, interval in self.intervals.items():
            flat |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return {name: value for name, value in flat.items() if isfinite(value)}

    def values(self, kpi: str) -> dict[str, float]:
        """Per-question values of a KPI, by question id."""
        return values((*self.rows, *self.pack), kpi)

    def decides(self, kpi: str) -> bool:
        """Whether a KPI may decide about this candidate: what a judge says only if the judge is certified."""
        return find_kpi(kpi).decides and (not kpi.startswith(JUDGED) or self.facts.get(kpi, "").startswith("certified"))

    def interval(self, kpi: str, confidence: float) -> Interval:
        """The interval of a KPI at another confidence. Raises KeyError where it applies to no question."""
        stored = self.intervals[kpi]
        return stored if confidence == CONFIDENCE else _interval([*self.rows, *self.pack], kpi, confidence)

    @property
    def clusters(self) -> dict[str, str]:
        """Which questions are alike, by question id."""
        return {row.question_id: row.cluster for row in (*self.rows, *self.pack)}

    def slices(self, least: int = 1) -> dict[tuple[str, str], dict[str, Interval]]:
        """The KPIs of each slice of so many questions or more, by its name and value, such as ("topic", "leave")."""
        parts: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.rows:
            for slice_ in row.slices.items():
                parts[slice_].append(row)
        return {slice_: _intervals(rows) for slice_, rows in sorted(parts.items()) if len(rows) >= least}


def compare(left: Scorecard, right: Scorecard, kpi: str, confidence: float = CONFIDENCE) -> Interval:
    """The interval of mean(left - right) on a KPI, paired by question, questions on one document being alike.

    Raises:
        DataError: they were not asked the same questions.
    """
    check_same_questions(left, right)
    bounds = find_kpi(kpi).bounds
    span = bounds and (bounds[0] - bounds[1], bounds[1] - bounds[0])
    return paired_difference(left.values(kpi), right.values(kpi), left.clusters, bounds=span, confidence=confidence)


def check_same_questions(left: Scorecard, right: Scorecard) -> None:
    """Refuse to compare scorecards of different question sets.

    Raises:
        DataError: they are.
    """
    if left.questions != right.questions:
        sets = " and ".join(card.questions[:12] or "an unknown one" for card in (left, right))
        raise DataError(
            f"{left.candidate} and {right.candidate} were not asked the same questions (sets {sets}). "
            "Evaluate both on one question set."
        )


def score(
    candidate: str, questions: Sequence[Question], answers: Sequence[Answer], has_retriever: bool,
    measured: Metrics | None = None,
) -> Scorecard:  # fmt: skip
    """Score answers, given in the order of the questions."""
    rows = [score_row(q, a, has_retriever) for q, a in zip(questions, answers, strict=True)]
    return from_rows(candidate, rows, measured, question_digest(questions))


def from_rows(
    candidate: str, rows: Sequence[Row], measured: Metrics | None = None, questions: str = "",
    facts: Mapping[str, str] | None = None, pack: Sequence[Row] = (),
) -> Scorecard:  # fmt: skip
    """Average rows that are already scored; a KPI that applies to no question is left out."""
    intervals = _intervals([*rows, *pack])
    return Scorecard(candidate, tuple(rows), intervals, measured or {}, questions, facts or {}, tuple(pack))


def with_values(rows: Sequence[Row], found: Mapping[str, Values]) -> list[Row]:
    """Rows with further KPIs, which are given by name and question id."""
    by_row = [{kpi: given[row.question_id] for kpi, given in found.items() if row.question_id in given} for row in rows]
    return [replace(row, scores={**row.scores, **more}) for row, more in zip(rows, by_row, strict=True)]


def _intervals(rows: Sequence[Row]) -> dict[str, Interval]:
    known = dict.fromkeys(kpi for row in rows for kpi in row.scores)
    order = [*(kpi for kpi in KPIS if kpi in known), *(kpi for kpi in known if kpi not in KPIS)]
    return {kpi: _interval(rows, kpi) for kpi in order}


def _interval(rows: Sequence[Row], kpi: str, confidence: float = CONFIDENCE) -> Interval:
    apply, known = [row for row in rows if kpi in row.scores], find_kpi(kpi)
    found, clusters = [row.scores[kpi] for row in apply], [row.cluster for row in apply]
    if known.binary and set(found) in ({0}, {1}):  # that none failed doesn't say that none ever will
        return unanimous_share(found[0], len(found), len(set(clusters)), confidence)
    return mean_interval(found, clusters, bounds=known.bounds, confidence=confidence)


def score_abstainer(questions: Sequence[Question]) -> Scorecard:
    """The scorecard of answering "I don't know" to everything: what a useful candidate must beat."""
    return score(ABSTAINER, questions, [Answer(ABSTENTION, True) for _ in questions], has_retriever=False)


COLUMNS = (
    "answer/score", "answer/f1", "answer/exact_match", "retrieval/recall", "abstention/recall", "abstention/false_rate",
)  # fmt: skip


def table(scorecards: Sequence[Scorecard]) -> str:
    """Compare scorecards as a Markdown table: means with their 95 % intervals, one candidate a line."""
    figures = [name for name, one in FIGURES.items() if one.decides and any(name in card.measured for card in scorecards)]
    header = ["candidate", *(KPIS[kpi].title for kpi in COLUMNS), *(FIGURES[name].title for name in figures)]
    lines = [
        [card.candidate, *(_cell(card.intervals.get(kpi)) for kpi in COLUMNS), *(_figure(card, name) for name in figures)]
        for card in scorecards
    ]
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    return "\n".join(_line(cells, widths) for cells in [header, ["-" * width for width in widths], *lines])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"


def _cell(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _figure(card: Scorecard, name: str) -> str:
    return f"{card.measured[name]:.2f}" if name in card.measured else "-"
