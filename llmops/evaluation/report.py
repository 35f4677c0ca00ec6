"""An evaluation as one HTML page: what each candidate scored and at what price, where it fails, and what it would change.

The page loads nothing and runs no script. Whatever questions, answers and documents hold is shown as text: the template
escapes all that it is given.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from llmops.errors import DataError
from llmops.evaluation import plots
from llmops.evaluation.comparison import Difference, differences
from llmops.evaluation.kpis import FIGURES, KPIS, Kpi, find_kpi
from llmops.evaluation.rows import Row
from llmops.evaluation.scorecard import ABSTAINER, Scorecard
from llmops.evaluation.statistics import Interval, mean_interval

TEMPLATE = "report.html"
_QUALITY, _WRONG = "answer/score", "abstention/wrong_rate"
_PLOTS = ("cost/per_1000", "latency/p50_s")
_QUESTIONS = 20  # shown as the worst, and as those that candidates differ on
_CHANGES = 15  # questions shown that a candidate answers better than the reference, and as many that it answers worse
_ERRORS = 3  # shown of a candidate
_FEW = 10  # questions; a slice of fewer says little
_SLICES = 30  # values shown of a slice, those with most questions

Differences = Mapping[str, Difference]
"""A candidate less the reference, by KPI, for those that decide and that both have on the same questions."""


@dataclass(frozen=True)
class Cell:
    """A candidate's value. `change` is "better" or "worse" where it certainly is than the reference's, else empty."""

    interval: Interval | None
    change: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A KPI of all candidates, in their order."""

    kpi: Kpi
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Asked:
    """One question, and what each candidate made of it: its name and row."""

    row: Row
    rows: tuple[tuple[str, Row], ...]

    def of(self, *candidates: str) -> list[Row]:
        return [row for candidate in candidates for name, row in self.rows if name == candidate]

    @property
    def mean(self) -> float:
        return sum(row.score for _, row in self.rows) / len(self.rows)

    @property
    def spread(self) -> float:
        scores = [row.score for _, row in self.rows]
        return max(scores) - min(scores)


@dataclass(frozen=True)
class Change:
    """What a candidate does differently: KPIs with verdicts, and (the reference's row, its own), what changed most first."""

    candidate: str
    kpis: tuple[Difference, ...]
    better: tuple[tuple[Row, Row], ...]
    worse: tuple[tuple[Row, Row], ...]
    same: int


def report(
    cards: Sequence[Scorecard], champion: str | None, title: str, date: str, facts: Mapping[str, str] | None = None
) -> str:
    """The page of an evaluation. All are compared with the card named `champion`, without one with the first candidate.

    `date` and `facts` of the whole evaluation, such as the file of questions, are shown as they are given.

    Raises:
        DataError: there are no cards, they were not asked the same questions, or none is the champion's.
    """
    _check(cards, champion)
    reference = _reference(cards, champion)
    found = {card.candidate: differences(card, reference) for card in cards if card is not reference}
    by_kpi = {candidate: {one.kpi.name: one for one in several} for candidate, several in found.items()}
    others = [card for card in cards if card.candidate != ABSTAINER and card is not reference]
    asked = _asked([card for card in cards if card is reference or card.candidate != ABSTAINER])
    worst = sorted((each for each in asked if each.mean < 1), key=lambda each: each.mean)[:_QUESTIONS]
    apart = sorted((each for each in asked if each.spread > 0), key=lambda each: -each.spread)
    page = _template().render(
        cards=cards, champion=champion, reference=reference.candidate, title=title, date=date, facts=facts or {},
        answerable=sum(row.answerable for row in reference.rows),
        unanswerable=sum(not row.answerable for row in reference.rows), few=_FEW,
        groups=_groups(cards, by_kpi), figures=_measured(cards, abstention=False),
        abstention=_measured(cards, abstention=True), wrong_rate=KPIS[_WRONG],
        card_facts=list(dict.fromkeys(name for card in cards for name in card.facts)),
        failures=_failures(cards),
        plots={figure: plots.quality_against(figure, cards) for figure in _PLOTS}, area=plots,
        slices=_slices(cards), worst=worst, apart=apart[:_QUESTIONS],
        changes=[_change(card, reference, found[card.candidate], asked) for card in others],
        changes_shown=_CHANGES,
    )  # fmt: skip
    return str(page).encode("utf-8", "replace").decode()


def _check(cards: Sequence[Scorecard], champion: str | None) -> None:
    names, digests = [card.candidate for card in cards], {card.questions[:12] or "unknown" for card in cards}
    if not cards:
        raise DataError("there is no scorecard to report, expected one or more. Evaluate a candidate.")
    if len(digests) > 1:
        raise DataError(
            f"the candidates were not asked the same questions ({', '.join(sorted(digests))}). Evaluate all on one set."
        )
    if champion is not None and champion not in names:
        raise DataError(f"the champion is {champion!r}, expected one of the candidates: {', '.join(names)}.")


def _reference(cards: Sequence[Scorecard], champion: str | None) -> Scorecard:
    named = (card for card in cards if card.candidate == champion)
    return next(named, next((card for card in cards if card.candidate != ABSTAINER), cards[0]))


def _groups(cards: Sequence[Scorecard], by_kpi: Mapping[str, Differences]) -> dict[str, list[Line]]:
    groups: dict[str, list[Line]] = defaultdict(list)
    found = dict.fromkeys(name for card in cards for name in card.intervals)
    for name in sorted(found, key=lambda name: list(KPIS).index(name) if name in KPIS else len(KPIS)):
        groups[name.split("/")[0]].append(_line(_kpi(name, cards), cards, by_kpi))
    return groups


def _kpi(name: str, cards: Sequence[Scorecard]) -> Kpi:
    return replace(find_kpi(name), decides=any(card.decides(name) for card in cards))


def _line(kpi: Kpi, cards: Sequence[Scorecard], by_kpi: Mapping[str, Differences]) -> Line:
    found = [card.intervals.get(kpi.name) for card in cards]
    rivals = [each.mean for card, each in zip(cards, found, strict=True) if each and card.candidate != ABSTAINER]
    best = (min if kpi.lower_is_better else max)(rivals, default=math.nan)
    cells = []
    for card, interval in zip(cards, found, strict=True):
        difference = by_kpi.get(card.candidate, {}).get(kpi.name)
        change = difference.verdict if difference else ""
        is_best = interval is not None and interval.mean == best and card.candidate != ABSTAINER
        cells.append(Cell(interval, change, is_best and change == "better"))
    return Line(kpi, tuple(cells))


def _measured(cards: Sequence[Scorecard], abstention: bool) -> dict[str, str]:
    """The titles of all that was measured of whole candidates; the ends of intervals stand beside what they belong to.

    What tells of abstention has a table of its own.
    """
    found = {name for card in cards for name in card.measured if name.startswith("abstention/") == abstention}
    names = sorted(found - {f"{name}_{end}" for name in found for end in ("low", "high")})
    order = [*(name for name in FIGURES if name in names), *(name for name in names if name not in FIGURES)]
    return {name: FIGURES[name].title if name in FIGURES else name for name in order}


def _failures(cards: Sequence[Scorecard]) -> list[tuple[Scorecard, int, list[tuple[str, int]]]]:
    """Cards that have failed answers, how many, and the most frequent errors."""
    errors = [(card, Counter(row.error for row in card.rows if row.error)) for card in cards]
    return [(card, found.total(), found.most_common(_ERRORS)) for card, found in errors if found]


def _slices(cards: Sequence[Scorecard]) -> dict[str, list[tuple[str, list[Interval | None]]]]:
    """The score of each candidate in each slice, by the slice's name and value."""
    parts = [_parts(card) for card in cards]
    sizes: dict[str, Counter[str]] = defaultdict(Counter)
    for name, value in dict.fromkeys(slice_ for part in parts for slice_ in part):
        sizes[name][value] = max(len(part[name, value]) for part in parts)
    return {
        name: [
            (value, [_mean(part[name, value]) for part in parts])
            for value, _ in sorted(sizes[name].most_common(_SLICES))
        ]
        for name in sorted(sizes)
    }  # fmt: skip


def _parts(card: Scorecard) -> dict[tuple[str, str], list[Row]]:
    parts: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in card.rows:
        if _QUALITY in row.scores:
            for slice_ in row.slices.items():
                parts[slice_].append(row)
    return parts


def _mean(rows: Sequence[Row]) -> Interval | None:
    if not rows:
        return None
    return mean_interval([row.score for row in rows], [row.cluster for row in rows], bounds=KPIS[_QUALITY].bounds)


def _asked(cards: Sequence[Scorecard]) -> list[Asked]:
    """The questions that there is a score of, in the order they were asked."""
    found: dict[str, list[tuple[str, Row]]] = defaultdict(list)
    for card in cards:
        for row in card.rows:
            if _QUALITY in row.scores:
                found[row.question_id].append((card.candidate, row))
    return [Asked(rows[0][1], tuple(rows)) for rows in found.values()]


def _change(card: Scorecard, reference: Scorecard, found: Sequence[Difference], asked: Iterable[Asked]) -> Change:
    pairs = [pair for each in asked if len(pair := each.of(reference.candidate, card.candidate)) == 2]
    gains = [(after.score - before.score, before, after) for before, after in pairs]
    gains.sort(key=lambda gain: -abs(gain[0]))
    better, worse = (tuple((before, after) for gain, before, after in gains if gain * sign > 0) for sign in (1, -1))
    return Change(card.candidate, tuple(found), better, worse, len(pairs) - len(better) - len(worse))


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"number": _number, "signed": lambda value: _number(value, "+")}
    return environment.get_template(TEMPLATE)


def _number(value: float, sign: str = "") -> str:
    """Three decimals, fewer of what is large, two digits of what is tiny."""
    if not math.isfinite(value):
        return format(value, sign).replace("inf", "∞")
    size = abs(value)
    return format(value, f"{sign}.2g" if 0 < size < 0.001 else f"{sign},.{3 if size < 10 else 1 if size < 1000 else 0}f")
