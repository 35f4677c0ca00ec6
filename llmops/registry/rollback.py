"""Back to a release that the ledger attests, without an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmops.errors import LedgerError
from llmops.registry.identity import who
from llmops.registry.ledger.entry import ROLLBACK, Entry
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.succession import attested, attested_digest, champions
from llmops.registry.ledger.writing import commit, settle
from llmops.registry.parts import check_parts, part_digests
from llmops.registry.promotion import now
from llmops.registry.seat import Seat
from llmops.tracking.versions import Registered, get_version


@dataclass(frozen=True)
class Rollback:
    """Where a seat is after it, the entry that says so, and what of the ledger had to be repaired before."""

    version: Registered
    entry: Entry
    repaired: tuple[str, ...]


def roll_back(seat: Seat, to: str, reason: str, run: str) -> Rollback:
    """Put an attested release back: version `to`, or where it is empty the one that was there before.

    Its files and all its parts are fetched and compared with the digests that it pins, before anything is written.

    Raises:
        LedgerError: there is no such release in the ledger, it has another digest there, or the ledger is broken.
        ArtifactError, WeightsError: a part of it is gone, or isn't what it was.
    """
    repaired = settle(seat)
    stand = standing(seat)
    version = get_version(f"models:/{seat.model}/{to or _previous(seat, stand.entries)}")
    _check_attested(seat, stand.entries, version)
    release = check_parts(version)
    entry = Entry(
        0, "", seat.name, ROLLBACK, stand.attested, version.version, version.uri, version.digest, part_digests(release),
        "", "", run, who(), now(), reason,
    )  # fmt: skip
    return Rollback(version, commit(seat, entry, len(stand.entries)), repaired)


def _previous(seat: Seat, entries: Sequence[Entry]) -> str:
    stack = champions(entries)
    if len(stack) < 2:
        held = f"only version {stack[0]} was ever {seat.name}" if stack else f"nothing was ever {seat.name}"
        raise LedgerError(f"there is nothing to go back to: {held}. Promote a release first.")
    return stack[-2]


def _check_attested(seat: Seat, entries: Sequence[Entry], version: Registered) -> None:
    known = attested(entries)
    if version.version not in known:
        raise LedgerError(
            f"version {version.version} was never {seat.name} by the ledger, which holds {', '.join(known) or 'none'}. "
            "Promote it, or go back to one of these."
        )
    said = attested_digest(entries, version.version)
    if said not in (None, version.digest):
        raise LedgerError(
            f"{version.uri} has digest {version.digest[:12]}, by the ledger of {seat.name} it was {str(said)[:12]}. It was "
            "changed since: go back to another version, -P to=<version>."
        )
