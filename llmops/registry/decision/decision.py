"""Promote, keep, or insufficient evidence: what a policy makes of the challengers and the champion, gate by gate."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llmops.errors import ConfigError
from llmops.evaluation.kpis import lower_is_better
from llmops.evaluation.scorecard import Scorecard, compare
from llmops.registry.decision.comparisons import FEWEST_QUESTIONS as FEWEST_QUESTIONS
from llmops.registry.decision.comparisons import hold_gate, limit_gate, win_gates
from llmops.registry.decision.dossier import Dossier
from llmops.registry.decision.gates import INSUFFICIENT as INSUFFICIENT
from llmops.registry.decision.gates import KEEP, PROMOTE, Gate, markdown, verdict_of
from llmops.registry.decision.policy import Policy, Win
from llmops.registry.decision.requirements import requirement_gates

COST, LATENCY, TOKENS = "cost/per_1000", "latency/p50_s", ("tokens/prompt", "tokens/completion")


@dataclass(frozen=True)
class Decision:
    """Whether a challenger becomes champion: promoted only if it passes every gate."""

    challenger: str
    gates: tuple[Gate, ...]
    release: str = ""  # models:/handbook/4

    @property
    def verdict(self) -> str:
        return verdict_of(self.gates)


@dataclass(frozen=True)
class Challenger:
    """An evaluated release: what it scored, and what else is known of it."""

    card: Scorecard
    dossier: Dossier


@dataclass(frozen=True)
class Champion:
    """The release that holds the alias; its `card` is None where it wasn't asked these questions."""

    version: str
    digest: str
    card: Scorecard | None


@dataclass(frozen=True)
class Choice:
    """The decision that counts, why it is this one's of several that pass, and the decisions about all the others."""

    decision: Decision
    others: tuple[Decision, ...] = ()
    why: str = ""


def gates_table(decision: Decision) -> str:
    """A decision's gates as a Markdown table, each with figure, interval, threshold and verdict; then what is missing."""
    return f"**{decision.verdict}**: {decision.challenger}\n\n{markdown(decision.gates)}\n"


def decide(
    policy: Policy, challenger: Scorecard, champion: Scorecard | None, baselines: Sequence[Scorecard] = (),
    dossier: Dossier | None = None,
) -> Decision:  # fmt: skip
    """Compare a challenger with the champion, or, where there is none, with what the policy's first release has to beat.

    Raises:
        ConfigError: there is nothing to compare with.
        DataError: two scorecards are not of the same questions.
    """
    others = [champion] if champion is not None else [card for card in baselines if card is not challenger]
    if not others:
        raise ConfigError(f"nothing to compare {challenger.candidate} with: no champion, and no baseline but itself.")
    wins = _wins(policy, champion is None)
    gates = [gate for other in others for gate in win_gates(wins, policy.confidence, challenger, other)]
    if champion is not None:
        gates += [hold_gate(kpi, margin, policy.confidence, challenger, champion) for kpi, margin in policy.margins.items()]
    gates += [limit_gate(kpi, limit, policy.confidence, challenger) for kpi, limit in policy.limits.items()]
    known = dossier or Dossier()
    return Decision(challenger.candidate, (*gates, *requirement_gates(policy, challenger, known)), known.release)


def choose(
    policy: Policy, challengers: Sequence[Challenger], champion: Champion | None, evaluated: Mapping[str, Scorecard],
    candidate: str = "",
) -> Choice:  # fmt: skip
    """Decide about the named candidate, or about all, and choose among them.

    Of those that pass, the best on the KPI that must win is chosen, and of those that aren't shown to be worse than it,
    the cheapest. Where none passes it is the best that further evidence may help, else the best; none counts that is worse
    than the champion by its mean. `evaluated` are all scorecards by candidate, the baselines' too.

    Raises:
        ConfigError: there is no such candidate, or no release, or a baseline of the policy was not evaluated.
        DataError: two scorecards are not of the same questions.
    """
    names = [one.card.candidate for one in challengers]
    if candidate and candidate not in names:
        raise ConfigError(f"candidate {candidate!r} was not evaluated. Evaluated: {', '.join(names)}.")
    if not challengers:
        raise ConfigError("the evaluation holds no release, so there is nothing to promote.")
    asked = [one for one in challengers if candidate in ("", one.card.candidate)]
    decisions = {one.card.candidate: _decide(policy, one, champion, evaluated) for one in asked}
    chosen, why = _choose(policy, asked, decisions, champion)
    others = tuple(decision for name, decision in decisions.items() if name != chosen)
    return Choice(decisions[chosen], others, why)


def _decide(
    policy: Policy, one: Challenger, champion: Champion | None, evaluated: Mapping[str, Scorecard]
) -> Decision:  # fmt: skip
    name, release = one.card.candidate, one.dossier.release
    if champion is None:
        return decide(policy, one.card, None, list(_baselines(policy, one.card, evaluated)), one.dossier)
    if champion.digest == one.dossier.digest:
        said, verdict = f"version {champion.version} is the champion already", KEEP
    elif champion.card is None:
        said = f"the champion, version {champion.version}, was not asked these questions. Evaluate again: it takes part"
        verdict = INSUFFICIENT
    else:
        return decide(policy, one.card, champion.card, (), one.dossier)
    return Decision(name, (Gate("champion", None, "another, asked the same", None, verdict, said),), release)


def _baselines(policy: Policy, card: Scorecard, evaluated: Mapping[str, Scorecard]) -> Iterator[Scorecard]:
    for name in policy.first.beat:
        if name not in evaluated:
            raise ConfigError(f"baseline {name!r} of the policy was not evaluated. Evaluated: {', '.join(evaluated)}.")
        if name != card.candidate:
            yield evaluated[name]


def _wins(policy: Policy, is_first: bool) -> Sequence[Win]:
    return policy.first.win if is_first and policy.first.win else policy.win


def _choose(
    policy: Policy, asked: Sequence[Challenger], decisions: Mapping[str, Decision], champion: Champion | None
) -> tuple[str, str]:  # fmt: skip
    kpi = _wins(policy, champion is None)[0].kpi
    ranked = sorted((one.card for one in asked), key=lambda card: _goodness(card, kpi), reverse=True)
    passing = [card for card in ranked if decisions[card.candidate].verdict == PROMOTE]
    if passing:
        return _cheapest(policy, kpi, passing)
    reigning = [one.card for one in asked if champion is not None and one.dossier.digest == champion.digest]
    least = _goodness(reigning[0], kpi) if reigning else float("-inf")
    worthy = [card for card in ranked if _goodness(card, kpi) >= least]
    hopeful = [card for card in worthy if decisions[card.candidate].verdict == INSUFFICIENT]
    return (hopeful or worthy)[0].candidate, ""


def _cheapest(policy: Policy, kpi: str, passing: Sequence[Scorecard]) -> tuple[str, str]:
    """The best, or of those that aren't shown to be worse than it, the cheapest; and why, where there was a choice."""
    best = passing[0]
    tied = [card for card in passing if card is best or _are_tied(best, card, kpi, policy.confidence)]
    for what in (COST, LATENCY, "tokens"):
        prices = {card.candidate: _price(card, what) for card in tied}
        known = {name: price for name, price in prices.items() if price is not None}
        if len(tied) > 1 and len(known) == len(tied) and len(set(known.values())) > 1:
            cheapest = min(known, key=lambda name: known[name])
            shown = ", ".join(f"{name} {price:.4g}" for name, price in known.items())
            return (
                cheapest,
                f"{', '.join(known)} are not shown to differ on {kpi}; {cheapest} is the cheapest by {what}: {shown}",
            )
    if len(passing) == 1:
        return best.candidate, ""
    return best.candidate, f"{best.candidate} is the best of {len(passing)} that pass on {kpi}"


def _are_tied(best: Scorecard, card: Scorecard, kpi: str, confidence: float) -> bool:
    if best.values(kpi).keys() != card.values(kpi).keys():
        return False
    difference = compare(best, card, kpi, confidence)
    return difference.low <= 0 <= difference.high


def _price(card: Scorecard, what: str) -> float | None:
    if what != "tokens":
        return card.measured.get(what)
    return sum(card.intervals[name].mean for name in TOKENS) if all(name in card.intervals for name in TOKENS) else None


def _goodness(card: Scorecard, kpi: str) -> float:
    if kpi not in card.intervals:
        return float("-inf")
    return -card.intervals[kpi].mean if lower_is_better(kpi) else card.intervals[kpi].mean
