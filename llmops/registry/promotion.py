"""From an evaluation to a decision, and to the alias it moves."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmops.errors import ConfigError
from llmops.evaluation.scorecard import Scorecard
from llmops.registry import champion as champions
from llmops.registry.decision import INSUFFICIENT, KEEP, PROMOTE, Decision, Reason, decide
from llmops.registry.policy import Policy
from llmops.tracking.evaluations import Evaluated
from llmops.tracking.versions import Registered, get_version


@dataclass(frozen=True)
class Promotion:
    """A decision about a version, and what `@champion` means after it."""

    decision: Decision
    challenger: Registered
    before: Registered | None
    after: Registered | None


def choose_challenger(policy: Policy, evaluated: Sequence[Evaluated], candidate: str) -> Evaluated:
    """The named candidate, or the release with the best mean on the policy's metric.

    Raises:
        ConfigError: no release of that name was evaluated.
    """
    releases = {e.scorecard.candidate: e for e in evaluated if e.release is not None}
    if candidate and candidate not in releases:
        raise ConfigError(f"candidate {candidate!r} was not evaluated. Evaluated: {', '.join(releases)}.")
    if not releases:
        raise ConfigError("the evaluation holds no release, so there is nothing to promote.")
    metric = policy.win_metric
    return releases[candidate] if candidate else max(releases.values(), key=lambda e: e.scorecard.metrics.get(metric, -1.0))


def promote(app: str, policy: Policy, evaluated: Sequence[Evaluated], candidate: str = "") -> Promotion:
    """Decide by the policy; move `@champion` only if the decision is to promote.

    Raises:
        ConfigError: the candidate or a baseline of the policy was not evaluated.
    """
    chosen = choose_challenger(policy, evaluated, candidate)
    challenger = get_version(str(chosen.release))
    before = champions.find_champion(app)
    decision = _decide(policy, chosen, challenger, before, evaluated)
    if decision.verdict == PROMOTE:
        champions.crown(challenger)
    return Promotion(decision, challenger, before, champions.find_champion(app))


def _decide(
    policy: Policy, chosen: Evaluated, challenger: Registered, before: Registered | None, evaluated: Sequence[Evaluated]
) -> Decision:
    name = chosen.scorecard.candidate
    if before is None:
        return decide(policy, chosen.scorecard, None, [_baseline(name, evaluated) for name in policy.baselines])
    if before.digest == challenger.digest:
        return Decision(name, (Reason(KEEP, f"version {challenger.version} is the champion already"),))
    reigning = next((e.scorecard for e in evaluated if e.release == before.uri), None)
    if reigning is None:
        text = f"the champion, version {before.version}, was not asked these questions. Evaluate again: it takes part"
        return Decision(name, (Reason(INSUFFICIENT, text),))
    return decide(policy, chosen.scorecard, reigning, [])


def _baseline(name: str, evaluated: Sequence[Evaluated]) -> Scorecard:
    found = {e.scorecard.candidate: e.scorecard for e in evaluated}
    if name not in found:
        raise ConfigError(f"baseline {name!r} of the policy was not evaluated. Evaluated: {', '.join(found)}.")
    return found[name]
