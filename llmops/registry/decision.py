"""Promote, keep, or insufficient evidence: what a policy makes of two scorecards, with the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmops.errors import ConfigError
from llmops.evaluation.kpis import FIGURES, lower_is_better
from llmops.evaluation.scorecard import Scorecard, compare
from llmops.evaluation.statistics import Interval
from llmops.registry.policy import Policy

FEWEST_QUESTIONS = 20  # below, a bootstrap interval is too narrow to be believed
PROMOTE, KEEP, INSUFFICIENT = "promote", "keep", "insufficient evidence"


@dataclass(frozen=True)
class Reason:
    """One comparison: what it says alone, and the sentence for the reader."""

    verdict: str
    text: str


@dataclass(frozen=True)
class Decision:
    """Whether the challenger becomes champion: promoted only if every reason says so."""

    challenger: str
    reasons: tuple[Reason, ...]

    @property
    def verdict(self) -> str:
        verdicts = {reason.verdict for reason in self.reasons}
        return next(verdict for verdict in (KEEP, INSUFFICIENT, PROMOTE) if verdict in verdicts)


def decide(policy: Policy, challenger: Scorecard, champion: Scorecard | None, baselines: Sequence[Scorecard]) -> Decision:
    """Compare a challenger with the champion, or, where there is none, with the policy's baselines.

    Raises:
        ConfigError: there is nothing to compare with, or a metric of the policy was not measured.
        DataError: two scorecards are not of the same questions.
    """
    if champion is not None:
        reasons = [_win(policy, challenger, champion)]
        reasons += [_margin(metric, margin, challenger, champion) for metric, margin in policy.margins.items()]
    else:
        reasons = [_win(policy, challenger, baseline) for baseline in baselines if baseline is not challenger]
    if not reasons:
        raise ConfigError(f"nothing to compare {challenger.candidate} with: no champion, and the policy names no baselines.")
    return Decision(challenger.candidate, tuple(reasons))


def _win(policy: Policy, challenger: Scorecard, other: Scorecard) -> Reason:
    metric = policy.win_metric
    if uncertified := _uncertified(metric, challenger):
        return uncertified
    gain = _gain(metric, challenger, other)
    verdict = PROMOTE if gain.low > policy.win_by else KEEP if gain.high <= policy.win_by else INSUFFICIENT
    if verdict == PROMOTE and gain.n < FEWEST_QUESTIONS:
        verdict = INSUFFICIENT
    says = {PROMOTE: "better", KEEP: "not better", INSUFFICIENT: "not shown to be better"}[verdict]
    return Reason(
        verdict,
        f"{says} than {other.candidate} on {metric}: gain {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] "
        f"over {gain.n} questions, needed above {policy.win_by:g}",
    )


def _margin(metric: str, margin: float, challenger: Scorecard, champion: Scorecard) -> Reason:
    if metric in FIGURES:
        new, old = _figure(challenger, metric), _figure(champion, metric)
        verdict = PROMOTE if _sign(metric) * (new - old) >= -margin else KEEP
        return Reason(verdict, f"{metric} {new:.3f} after {old:.3f}, may worsen by {margin:g}")
    if uncertified := _uncertified(metric, challenger):
        return uncertified
    gain = _gain(metric, challenger, champion)
    verdict = PROMOTE if gain.low >= -margin else KEEP if gain.high < -margin else INSUFFICIENT
    says = {PROMOTE: "holds", KEEP: "is worse", INSUFFICIENT: "is not shown to hold"}[verdict]
    return Reason(
        verdict, f"{metric} {says}: gain {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}], may worsen by {margin:g}"
    )


def _uncertified(metric: str, card: Scorecard) -> Reason | None:
    """Why a judge's KPI can't decide, if it can't: who measures must have proved to measure."""
    if metric in FIGURES or card.decides(metric):
        return None
    return Reason(INSUFFICIENT, f"{metric} can't decide: {card.facts.get(metric, 'no judge was asked')}")


def _gain(metric: str, challenger: Scorecard, other: Scorecard) -> Interval:
    """How much better the challenger is: positive is good, whichever way the metric points."""
    for card in (challenger, other):
        if metric not in card.intervals:
            raise ConfigError(f"{card.candidate} has no {metric}: the policy can't compare by it.")
    better, worse = (challenger, other) if _sign(metric) > 0 else (other, challenger)
    return compare(better, worse, metric)


def _sign(metric: str) -> int:
    return -1 if lower_is_better(metric) else 1


def _figure(card: Scorecard, metric: str) -> float:
    if metric not in card.measured:
        raise ConfigError(f"{card.candidate} has no {metric}: the policy can't compare by it.")
    return card.measured[metric]
