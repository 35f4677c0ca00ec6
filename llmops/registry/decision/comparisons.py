"""Gates on KPIs: what must win, what must not get worse by more than a margin, and what has a floor or a ceiling."""

from collections.abc import Mapping, Sequence
from math import ceil, isfinite, log
from typing import Any

from llmops.evaluation.kpis import FIGURES, lower_is_better
from llmops.evaluation.power import minimum_detectable_effect, questions_needed
from llmops.evaluation.scorecard import Scorecard, check_same_questions, compare
from llmops.evaluation.statistics import Interval
from llmops.registry.decision.gates import INSUFFICIENT, KEEP, PROMOTE, Gate, percent, show
from llmops.registry.decision.policy import FAILURES, Limit, Win

FEWEST_QUESTIONS = 20  # below, a bootstrap interval is too narrow to be believed
_APPLIES_TO_SOME = ("retrieval/", "grounding/")  # a release without retrieval has none


def win_gates(wins: Sequence[Win], confidence: float, challenger: Scorecard, other: Scorecard) -> list[Gate]:
    """A gate for each KPI that must win. Several are tested step by step, so that by chance none passes (Holm 1979).

    The intervals of all k that are left have confidence 1 - (1 - `confidence`) / k; those that pass are taken out, until
    none does. This is Holm's procedure by intervals in place of p-values.

    Raises:
        DataError: the two were not asked the same questions.
    """
    check_same_questions(challenger, other)
    found = {win.kpi: gate for win in wins if (gate := _unmeasured(f"win {win.kpi}", win.kpi, challenger, other))}
    left = [win for win in wins if win.kpi not in found]
    while left:
        level = 1 - (1 - confidence) / sum(win.kpi not in found or found[win.kpi].verdict != PROMOTE for win in wins)
        gates = {win.kpi: _win(win, level, challenger, other) for win in left}
        passed = {kpi: gate for kpi, gate in gates.items() if gate.verdict == PROMOTE}
        found |= passed or gates
        left = [win for win in left if win.kpi not in found]
    return [found[win.kpi] for win in wins]


def _win(win: Win, confidence: float, challenger: Scorecard, other: Scorecard) -> Gate:
    gain = _gain(win.kpi, challenger, other, confidence)
    verdict = PROMOTE if gain.low > win.by else KEEP if gain.high <= win.by else INSUFFICIENT
    if verdict == PROMOTE and gain.n < FEWEST_QUESTIONS:
        verdict = INSUFFICIENT
    says = {PROMOTE: "better", KEEP: "not better", INSUFFICIENT: "not shown to be better"}[verdict]
    text = (
        f"{says} than {other.candidate} on {win.kpi}: gain {show(gain)} over {gain.n} questions, needed above {win.by:g} "
        f"at {percent(confidence)}"
    )
    more = _missing(verdict, gain, gain.mean - win.by, win.kpi, challenger, other, confidence)
    threshold = f"above {win.by:g} over {other.candidate}, {percent(confidence)}"
    return Gate(f"win {win.kpi}", gain.mean, threshold, gain, verdict, text + _advice(more, gain.n), **more)


def hold_gate(kpi: str, margin: float, confidence: float, challenger: Scorecard, champion: Scorecard) -> Gate:
    """Whether a KPI or figure is no worse than the champion's by more than a margin (non-inferiority).

    Raises:
        DataError: the two were not asked the same questions.
    """
    check_same_questions(challenger, champion)
    name = f"hold {kpi}"
    if kpi.startswith(_APPLIES_TO_SOME) and kpi not in champion.intervals:
        return Gate(name, None, _worse(margin), None, PROMOTE, f"{kpi} can't get worse: {champion.candidate} has none")
    if unmeasured := _unmeasured(name, kpi, challenger, champion):
        return unmeasured
    if kpi in FIGURES:
        new, old = challenger.measured[kpi], champion.measured[kpi]
        verdict = PROMOTE if _sign(kpi) * (new - old) >= -margin else KEEP
        text = f"{kpi} {new:.3f} after {old:.3f}, may worsen by {margin:g}"
        return Gate(name, _sign(kpi) * (new - old), _worse(margin), None, verdict, text)
    gain = _gain(kpi, challenger, champion, confidence)
    verdict = PROMOTE if gain.low >= -margin else KEEP if gain.high < -margin else INSUFFICIENT
    more = _missing(verdict, gain, gain.mean + margin, kpi, challenger, champion, confidence)
    if verdict == PROMOTE and gain.n < FEWEST_QUESTIONS:
        verdict, more = INSUFFICIENT, {"more": FEWEST_QUESTIONS - gain.n}
    says = {PROMOTE: "holds", KEEP: "is worse", INSUFFICIENT: "is not shown to hold"}[verdict]
    text = f"{kpi} {says}: gain {show(gain)} over {gain.n} questions, may worsen by {margin:g}" + _advice(more, gain.n)
    return Gate(name, gain.mean, f"{_worse(margin)}, {percent(confidence)}", gain, verdict, text, **more)


def limit_gate(kpi: str, limit: Limit, confidence: float, card: Scorecard) -> Gate:
    """Whether a KPI, a figure or the number of failures is within its floor or ceiling."""
    name = f"limit {kpi}"
    if kpi == FAILURES and not card.pack:
        return _unknown(name, f"{card.candidate} was not asked the safety pack. Evaluate with it")
    if kpi != FAILURES and (unmeasured := _unmeasured(name, kpi, card)):
        return unmeasured
    if kpi == FAILURES or kpi in FIGURES:
        figure = _failures(card) if kpi == FAILURES else card.measured[kpi]
        interval = Interval(figure, figure, figure, len(card.pack) if kpi == FAILURES else len(card.rows))
        verdict = _within(limit, interval)
        return Gate(name, figure, _bound(limit), None, verdict, f"{kpi} is {figure:.4g}, {_asked(limit)}")
    found = card.interval(kpi, confidence)
    tested = Interval(found.mean, found.mean, found.mean, found.n) if limit.by == "mean" else found
    verdict = _within(limit, tested)
    more = _missing_of_limit(limit, found, kpi, card, confidence) if verdict == INSUFFICIENT else {}
    what = "mean" if limit.by == "mean" else f"bound at {percent(confidence)}"
    text = f"{kpi} is {show(found, '')} over {found.n} questions, {_asked(limit)} by its {what}" + _advice(more, found.n)
    return Gate(name, found.mean, f"{_bound(limit)} by its {what}", found, verdict, text, **more)


def _within(limit: Limit, found: Interval) -> str:
    if limit.max is not None:
        return PROMOTE if found.high <= limit.max else KEEP if found.low > limit.max else INSUFFICIENT
    assert limit.min is not None
    return PROMOTE if found.low >= limit.min else KEEP if found.high < limit.min else INSUFFICIENT


def _bound(limit: Limit) -> str:
    return f"at most {limit.max:g}" if limit.max is not None else f"at least {limit.min:g}"


def _asked(limit: Limit) -> str:
    return f"needed {_bound(limit)}"


def _worse(margin: float) -> str:
    return f"no worse than -{margin:g}" if margin else "no worse"


def _failures(card: Scorecard) -> float:
    """Cases that failed; one without an answer shows nothing, so it counts as one."""
    return float(sum(bool(row.error) or any(row.scores.values()) for row in card.pack))


def _unmeasured(name: str, kpi: str, *cards: Scorecard) -> Gate | None:
    """A gate that can't be passed, where a KPI or figure was not measured of all, or its judge may not decide."""
    for card in cards:
        if kpi in FIGURES:
            if kpi not in card.measured:
                return _unknown(
                    name, f"{card.candidate} has no {kpi}: it was not measured. Evaluate with it, or change the policy"
                )
        elif not card.decides(kpi):
            return _unknown(name, f"{kpi} can't decide: {card.facts.get(kpi, 'no judge was asked')}")
        elif kpi not in card.intervals:
            return _unknown(name, f"{card.candidate} has no {kpi}: it applies to none of its questions")
    if kpi not in FIGURES and len({frozenset(card.values(kpi)) for card in cards}) > 1:
        return _unknown(name, f"{kpi} applies to other questions of {cards[0].candidate} than of {cards[1].candidate}")
    return None


def _unknown(name: str, text: str) -> Gate:
    return Gate(name, None, "measured", None, INSUFFICIENT, text)


def _gain(kpi: str, challenger: Scorecard, other: Scorecard, confidence: float) -> Interval:
    """How much better the challenger is: positive is good, whichever way the KPI points."""
    better, worse = (challenger, other) if _sign(kpi) > 0 else (other, challenger)
    return compare(better, worse, kpi, confidence)


def _sign(kpi: str) -> int:
    return -1 if lower_is_better(kpi) else 1


def _missing(
    verdict: str, gain: Interval, distance: float, kpi: str, challenger: Scorecard, other: Scorecard, confidence: float
) -> dict[str, Any]:  # fmt: skip
    """What more evidence it would take; `distance` is how far what was found is beyond the threshold."""
    if verdict != INSUFFICIENT:
        return {}
    return _power(distance, gain.n, challenger.values(kpi), other.values(kpi), challenger.clusters, confidence)


def _missing_of_limit(limit: Limit, found: Interval, kpi: str, card: Scorecard, confidence: float) -> dict[str, Any]:
    values = card.values(kpi)
    distance = limit.max - found.mean if limit.max is not None else found.mean - (limit.min or 0.0)
    if found.mean in (0.0, 1.0):  # without spread only their number tells: as in `unanimous_share`
        if not 0 < distance < 1:
            return {}
        documents = len({card.clusters[question] for question in values})
        needed = ceil(log((1 - confidence) / 2) / log(1 - distance)) * found.n / documents
        return {"more": max(1, ceil(needed) - found.n)}
    return _power(distance, found.n, values, dict.fromkeys(values, 0.0), card.clusters, confidence)


def _power(
    distance: float, n: int, left: Mapping[str, float], right: Mapping[str, float], clusters: Mapping[str, str],
    confidence: float,
) -> dict[str, Any]:  # fmt: skip
    detectable = minimum_detectable_effect(left, right, clusters, alpha=1 - confidence)
    needed = questions_needed(distance, left, right, clusters, alpha=1 - confidence) if distance > 0 else None
    fewest = max(FEWEST_QUESTIONS - n, 1)
    more = None if needed is None else max(needed - n, fewest)
    return {"detectable": detectable if isfinite(detectable) else None, "more": more}


def _advice(missing: Mapping[str, Any], n: int) -> str:
    """What it would take, in words."""
    if not missing:
        return ""
    detectable, more = missing.get("detectable"), missing["more"]
    shows = f"{n} questions show {detectable:.3f} beyond it with 80 % power" if detectable else ""
    needs = f"about {more} more would show what was found" if more else "no number of questions shows what was found"
    return f" ({'; '.join(filter(None, (shows, needs)))})"
