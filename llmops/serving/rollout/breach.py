"""Whether a canary does worse than the release that it is to replace."""

from dataclasses import dataclass

from llmops.serving.rollout.tally import Tally


@dataclass(frozen=True)
class Limits:
    """How much worse a canary may be, once both have had so many `requests`.

    `errors` and `abstained` are differences of shares, `slower` is a ratio of medians. A difference counts when chance makes
    it less often than `chance`, which is small, for it is looked at again and again.
    """

    requests: int = 20
    errors: float = 0.02
    abstained: float = 0.1
    slower: float = 1.5
    chance: float = 0.001


def find_breach(current: Tally, canary: Tally, limits: Limits | None = None) -> str:
    """What is worse, in words; empty where nothing is, or nobody knows yet."""
    limits = limits or Limits()
    if canary.requests < limits.requests:
        return ""
    if canary.failed * 2 > canary.requests and current.failed * 2 <= current.requests:
        return f"{canary.failed} of {canary.requests} requests failed."
    if current.requests < limits.requests:
        return ""
    if _is_more(canary.failed, canary.requests, current.failed, current.requests, limits.errors, limits.chance):
        return f"{_of(canary.failed, canary.requests)} failed, and {_of(current.failed, current.requests)} of the current."
    asked = canary.abstained, canary.answered, current.abstained, current.answered
    if _is_more(*asked, limits.abstained, limits.chance):
        return f"{_of(*asked[:2])} were abstentions, and {_of(*asked[2:])} of the current."
    if min(canary.answered, current.answered) >= limits.requests and _is_slower(canary, current, limits):
        return f"a request took {canary.median_s:.2f} s (median), and {current.median_s:.2f} s of the current."
    return ""


def _is_more(some: int, of: int, others: int, of_others: int, by: float, chance: float) -> bool:
    """Whether a share is larger by more than `by`, and more than chance has it (Fisher's exact test, one-sided)."""
    from scipy.stats import fisher_exact

    if not of or not of_others or some / of - others / of_others <= by:
        return False
    table = [[some, of - some], [others, of_others - others]]
    return bool(fisher_exact(table, alternative="greater").pvalue < chance)


def _is_slower(canary: Tally, current: Tally, limits: Limits) -> bool:
    """Whether the median is larger by the ratio, and more requests take so long than chance has it."""
    long_s = limits.slower * current.median_s
    if canary.median_s <= long_s:
        return False
    return _is_more(canary.longer(long_s), canary.answered, current.longer(long_s), current.answered, 0.0, limits.chance)


def _of(some: int, of: int) -> str:
    return f"{some} of {of}"
