"""From an evaluation to a decision, to an entry of the ledger, and to the alias it moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from llmops.errors import Conflict
from llmops.registry.decision.decision import Challenger, Champion, Choice, choose
from llmops.registry.decision.dossier import read_dossier
from llmops.registry.decision.gates import PROMOTE
from llmops.registry.decision.policy import Policy
from llmops.registry.environments import copy_to
from llmops.registry.identity import who
from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.standing import Standing, standing
from llmops.registry.ledger.writing import commit, settle
from llmops.registry.parts import part_digests
from llmops.registry.seat import Seat
from llmops.tracking.evaluations import Evaluated
from llmops.tracking.releases import read_release
from llmops.tracking.versions import Registered, get_version

TRIES = 5  # while others decide about the same seat
_LONGEST_REASON = 1500  # an entry is a param, which has room for 6,000 characters


@dataclass(frozen=True)
class Promotion:
    """What was decided about a version, and what its seat holds after it.

    `entry` is what the ledger says; `again` that it said so before: the same was decided on the same evidence. `repaired`
    are lines about what had to be put right first.
    """

    choice: Choice
    challenger: Registered
    before: Registered | None
    after: Registered | None
    entry: Entry
    again: bool
    repaired: tuple[str, ...]


def find_holder(seat: Seat, stand: Standing | None = None) -> Registered | None:
    """The version that holds a seat: by the ledger, or as long as that seated none by the alias, as `commit` takes it."""
    stand = stand or standing(seat)
    held = stand.attested or stand.alias
    return get_version(f"models:/{seat.model}/{held}") if held else None


def promote(
    seat: Seat, policy: Policy, evaluated: Sequence[Evaluated], candidate: str, evaluation: str, run: str
) -> Promotion:
    """Decide by the policy, write it into the ledger, and move the seat's alias if the decision is to promote.

    `evaluation` is the run with the evidence, `run` the one that decides. If another decides about the seat meanwhile, it
    is decided anew, against what holds it then. What is decided already, on the same evidence, is finished, not repeated.

    Raises:
        ConfigError: the candidate or a baseline of the policy was not evaluated.
        LedgerError: the ledger is broken, or the store refuses or can't be reached.
    """
    repaired = settle(seat)
    for left in reversed(range(TRIES)):
        stand = standing(seat)
        before = find_holder(seat, stand)
        choice = _choose(policy, evaluated, candidate or _promoted(stand, evaluated, policy, evaluation), before)
        challenger = get_version(choice.decision.release)
        draft = _draft(seat, choice, challenger, stand, policy, evaluation, run)
        if stand.entries and _same(stand.entries[-1], draft):
            return Promotion(choice, challenger, before, find_holder(seat), stand.entries[-1], True, repaired)
        try:
            entry = commit(seat, draft, len(stand.entries))
        except Conflict:
            if not left:
                raise
            continue
        return Promotion(choice, challenger, before, find_holder(seat), entry, False, repaired)
    raise AssertionError("unreachable")


def _promoted(stand: Standing, evaluated: Sequence[Evaluated], policy: Policy, evaluation: str) -> str:
    """The candidate that was promoted last, if that was by this policy on this evidence, else ""."""
    last = stand.entries[-1] if stand.entries else None
    if last is None or (last.decision, last.policy, last.evaluation) != (PROMOTE, policy.digest, evaluation):
        return ""
    releases = {one.release: one.scorecard.candidate for one in evaluated}
    return releases.get(last.challenger, "")


def _choose(policy: Policy, evaluated: Sequence[Evaluated], candidate: str, before: Registered | None) -> Choice:
    cards = {one.scorecard.candidate: one.scorecard for one in evaluated}
    challengers = [Challenger(one.scorecard, read_dossier(policy, one)) for one in evaluated if one.release]
    champion = None
    if before is not None:
        found = next((one.card for one in challengers if one.dossier.digest == before.digest), None)
        champion = Champion(before.version, before.digest, found)
    return choose(policy, challengers, champion, cards, candidate)


def _draft(
    seat: Seat, choice: Choice, challenger: Registered, stand: Standing, policy: Policy, evaluation: str, run: str
) -> Entry:
    """The entry as far as it isn't the ledger's to fill in."""
    held = stand.attested or stand.alias
    moves = choice.decision.verdict == PROMOTE
    return Entry(
        0, "", seat.name, choice.decision.verdict, held, copy_to(seat, challenger).version if moves else held,
        challenger.uri, challenger.digest, part_digests(read_release(challenger.uri)), policy.digest, evaluation, run,
        who(), now(), _reason(choice),
    )  # fmt: skip


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _reason(choice: Choice) -> str:
    told = "; ".join([*(gate.text for gate in choice.decision.gates), *([choice.why] if choice.why else [])])
    return told if len(told) <= _LONGEST_REASON else told[: _LONGEST_REASON - 4] + " ..."


def _same(entry: Entry, draft: Entry) -> bool:
    """Whether an entry decides the same on the same evidence, so that another would say nothing new."""
    if draft.run == entry.run:
        return True
    promoted = entry.decision == PROMOTE and entry.digest == draft.digest  # is the champion now, so is kept
    asked = _evidence(entry) == _evidence(draft)
    return asked and (promoted or entry.decision == draft.decision)


def _evidence(entry: Entry) -> Mapping[str, str]:
    return {"evaluation": entry.evaluation, "policy": entry.policy, "digest": entry.digest}
