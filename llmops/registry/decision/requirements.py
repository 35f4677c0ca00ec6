"""Gates on the evidence itself: how much there is, from whom, of which engine; certificates, and people's approvals."""

from collections import Counter
from collections.abc import Iterator, Mapping
from math import ceil

from llmops.evaluation.kpis import JUDGED
from llmops.evaluation.scorecard import Scorecard
from llmops.registry.decision.approvals import approvals
from llmops.registry.decision.certificates import NOTHING, Proof
from llmops.registry.decision.dossier import Dossier
from llmops.registry.decision.gates import INSUFFICIENT, KEEP, PROMOTE, Gate, show
from llmops.registry.decision.policy import Engine, Evidence, Origin, Policy
from llmops.tracking.parity import Parity

FEWEST_COMPARED = 20  # answers, for a parity certificate


def requirement_gates(policy: Policy, card: Scorecard, dossier: Dossier) -> Iterator[Gate]:
    """A gate for each thing that a policy requires of evidence, certificates and approvals."""
    yield from _evidence(policy.evidence, card)
    if policy.evidence.engine:
        yield _engine(policy.evidence.engine, dossier)
    for name in policy.certificates:
        yield _certificate(name, policy, card, dossier)
    if policy.approvals:
        yield _approvals(policy, dossier)


def _evidence(evidence: Evidence, card: Scorecard) -> Iterator[Gate]:
    n, least = len(card.rows), evidence.questions
    if least is not None:
        more = max(0, least - n)
        text = f"{n} questions, needed {least}" + (f": ask {more} more" if more else "")
        yield Gate("questions", n, f"at least {least}", None, _verdict(not more), text, more=more or None)
    counts = Counter(row.slices.get("origin", "") for row in card.rows)
    for name, origin in evidence.origins.items():
        yield _origin(name, origin, counts[name], n)


def _origin(name: str, origin: Origin, count: int, n: int) -> Gate:
    needed = max(origin.count, origin.share * n)
    asked = [f"{origin.share:.0%}"] * bool(origin.share) + [str(origin.count)] * bool(origin.count)
    more = max(0, ceil(_share_missing(origin.share, count, n)), origin.count - count)
    text = f"{count} of {n} questions are of origin {name}, needed {' and '.join(asked) or 0}"
    text += f": ask {more} more of them" if more else ""
    return Gate(
        f"origin {name}", count, f"at least {' and '.join(asked) or 0}", None, _verdict(count >= needed), text,
        more=more or None,
    )  # fmt: skip


def _share_missing(share: float, count: int, n: int) -> float:
    """How many more of a kind raise its share to the one that is asked for; all the others go where that is 1."""
    short = share * n - count
    return 0.0 if short <= 0 else short / (1 - share) if share < 1 else 0.0


def _engine(engine: Engine, dossier: Dossier) -> Gate:
    wanted = _engine_name(engine.name, engine.dtype)
    if dossier.server:
        proof = Proof(PROMOTE, f"it answers by the model at {dossier.server}, which serves it too")
    elif dossier.engine.get("name") == engine.name and engine.dtype in (None, dossier.engine.get("dtype")):
        proof = Proof(PROMOTE, f"{wanted} answered, which will serve")
    else:
        proof = _parity(engine, dossier)
    interval = dossier.parity.f1 if dossier.parity else None
    return Gate("engine", None, wanted, interval, proof.verdict, f"engine: {proof.text}")


def _parity(engine: Engine, dossier: Dossier) -> Proof:
    """Whether the answers of the engine that will serve are those that were judged."""
    answered = _engine_name(dossier.engine.get("name", "an unknown engine"), dossier.engine.get("dtype"))
    wanted, found = _engine_name(engine.name, engine.dtype), dossier.parity
    if found is None:
        said = f"{answered} answered, and {wanted} will serve. Evaluate on it, or certify it: mlflow run . -e parity"
        return Proof(INSUFFICIENT, said)
    if objection := _objection(found, engine, dossier):
        return Proof(INSUFFICIENT, f"the parity certificate {objection}. Make one anew: mlflow run . -e parity")
    said = (
        f"{wanted} gives answers equal to those of {answered} in {show(found.equal, '')} of {found.equal.n}, F1 between "
        f"them {show(found.f1, '')}; needed {engine.equal:g} and {engine.f1:g} by the lower bounds"
    )
    pairs = ((found.equal, engine.equal), (found.f1, engine.f1))
    verdict = PROMOTE if all(interval.low >= least for interval, least in pairs) else INSUFFICIENT
    return Proof(KEEP if any(interval.high < least for interval, least in pairs) else verdict, said)


def _objection(parity: Parity, engine: Engine, dossier: Dossier) -> str:
    """Why a certificate says nothing of this release, if it doesn't."""
    served, judged = parity.engine, parity.reference
    if parity.release != dossier.digest:
        return f"is of release {parity.release[:12]}, and this is {dossier.digest[:12]}"
    if served.get("name") != engine.name or engine.dtype not in (None, served.get("dtype")):
        return f"is for {_engine_name(served.get('name', ''), served.get('dtype'))}"
    if any(judged.get(name) != dossier.engine.get(name) for name in ("name", "dtype")):
        return f"compares with {_engine_name(judged.get('name', ''), judged.get('dtype'))}, which didn't answer here"
    if parity.equal.n < FEWEST_COMPARED:
        return f"compares {parity.equal.n} answers, needed {FEWEST_COMPARED}"
    return ""


def _engine_name(name: str, dtype: str | None) -> str:
    return f"{name} ({dtype})" if dtype else name


def _certificate(name: str, policy: Policy, card: Scorecard, dossier: Dossier) -> Gate:
    if name == "judge":
        proof = _judges(card.facts)
    elif name == "parity":
        assert policy.evidence.engine is not None
        proof = Proof(PROMOTE, f"{NOTHING}: its model is a server's") if dossier.server else _parity(
            policy.evidence.engine, dossier
        )  # fmt: skip
    else:
        proof = dossier.proofs.get(name, Proof(INSUFFICIENT, "nothing is known of it"))
    return Gate(f"certificate {name}", None, "certified", None, proof.verdict, f"{name}: {proof.text}")


def _judges(facts: Mapping[str, str]) -> Proof:
    judges = {name: said for name, said in facts.items() if name.startswith(JUDGED)}
    bad = [f"{name} is {said}" for name, said in judges.items() if not said.startswith("certified")]
    if bad:
        return Proof(INSUFFICIENT, "; ".join(bad))
    return Proof(PROMOTE, f"{', '.join(judges)} certified" if judges else f"{NOTHING}: no judge was asked")


def _approvals(policy: Policy, dossier: Dossier) -> Gate:
    asked = policy.approvals
    assert asked is not None
    given = approvals(asked, dossier.tags, dossier.model, dossier.digest)
    found = ", ".join(f"{user} (signed, {key})" if key else f"{user} (unsigned)" for user, key in given.found.items())
    missing = "; ".join(f"{user} {reason}" for user, reason in given.missing.items())
    enough = len(given.found) >= asked.count
    text = f"{len(given.found)} of {asked.count} approvals: {found or 'nobody'}" + ("" if enough else f". {missing}")
    return Gate("approvals", len(given.found), f"at least {asked.count}", None, _verdict(enough), text)


def _verdict(passed: bool) -> str:
    return PROMOTE if passed else INSUFFICIENT
