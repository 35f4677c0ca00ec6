"""The ledger of a seat: entries that are only added, and the alias that follows them."""

from dataclasses import replace

from mlflow import MlflowClient

from llmops.errors import Conflict, LedgerError
from llmops.registry.ledger.anchors import HEAD, head_value, version_key, version_value
from llmops.registry.ledger.chain import append, conflict, make_chain, mark_applied, note_repair, put
from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.standing import Standing, standing
from llmops.registry.ledger.succession import holder
from llmops.registry.seat import Seat
from llmops.registry.store_errors import store_errors

ROUNDS = 20  # of putting an alias back that others keep moving


def settle(seat: Seat) -> tuple[str, ...]:
    """Finish what a dead process left and put an alias back that was moved by hand; a line for each.

    Raises:
        LedgerError: the ledger is broken, or the store refuses or can't be reached.
    """
    with store_errors(f"write to {seat.model!r}", f"EDIT permission on {seat.places}"):
        return tuple(_converge(seat, own=0))


def commit(seat: Seat, draft: Entry, expected: int) -> Entry:
    """Add an entry to a ledger of `expected` entries, move the alias if it says so, and write the anchors.

    Who may not write to the model fails before anything is decided. `number`, `previous`, `seat` and `before` of the draft
    are filled in. Called again with the same `run` it finishes what it began.

    Raises:
        Conflict: another process wrote the entry first.
        LedgerError: the ledger is broken, the entry can't be added, or the store refuses or can't be reached.
    """
    with store_errors(f"write to {seat.model!r}", f"EDIT permission on {seat.places}"):
        now = _sound(standing(seat))
        if len(now.entries) <= expected:
            entry = _next(now, draft, expected)
            _knock(now, entry)
            append(now.chain.run or make_chain(seat), entry)
        elif (entry := now.entries[expected]).run != draft.run:
            raise Conflict(conflict(entry))
        _converge(seat, own=entry.number)
        return entry


def _sound(now: Standing) -> Standing:
    if now.flaws:
        more = f" So with {len(now.flaws) - 1} more, which the step ledger shows." if len(now.flaws) > 1 else ""
        raise LedgerError(f"{now.flaws[0]}{more} Nothing is decided on a broken ledger: find out who did that, and undo it.")
    return now


def _next(now: Standing, draft: Entry, expected: int) -> Entry:
    """The entry to write.

    Raises:
        LedgerError: it would not follow from what is there.
    """
    seat, entries = now.seat, now.entries
    if len(entries) < expected:
        raise LedgerError(f"the ledger of {seat.name} has {len(entries)} entries, expected {expected}. Run it again.")
    before = holder(entries) or now.alias
    after = draft.after if draft.moves else before
    if draft.moves and after == before:
        raise LedgerError(f"version {before} is {seat.name} already: there is nothing to {draft.decision}.")
    if draft.moves and after not in now.versions:
        raise LedgerError(f"{seat.model!r} has no version {after} for {seat.name}. Choose one that exists.")
    previous = entries[-1].digest_of_entry if entries else ""
    entry = replace(draft, number=expected + 1, previous=previous, seat=seat.name, before=before, after=after)
    entry.to_json()  # raises where it is too long
    return entry


def _knock(now: Standing, entry: Entry) -> None:
    """Leave on the version, else on the model, which run decides: who may not write there learns it now."""
    seat, about = now.seat, entry.about(now.seat.model)
    client, key = MlflowClient(), seat.tag("attempt")
    if about in now.versions:
        put(client.set_model_version_tag, seat.model, about, key, entry.run)
    else:
        put(client.set_registered_model_tag, seat.model, key, entry.run)


def _converge(seat: Seat, own: int) -> list[str]:
    """Write what is missing until nothing is when read again: who writes an alias last has seen that it is the right one.

    `own` is the number of an entry that is just being made, of which nothing has to be said.
    """
    lines: list[str] = []
    for _ in range(ROUNDS):
        now = _sound(standing(seat))
        if not (now.strays or now.unapplied or now.unanchored):
            return lines
        lines += _finish(now, own)
    raise LedgerError(f"{seat.name} is moved again and again while it is put back. Find out by whom, and run it again.")


def _finish(now: Standing, own: int) -> list[str]:
    lines = _say(now, own)
    if now.strays:
        _move(now)
    for entry in now.unapplied:
        mark_applied(now.chain.run, entry)
    for entry in now.unanchored:
        _anchor(now, entry)
    return lines


def _say(now: Standing, own: int) -> list[str]:
    """What is about to be repaired; that an alias was moved by hand is kept in the ledger first."""
    name, mover, was = now.seat.name, now.mover, f"version {now.alias}" if now.alias else "not set"
    lines, said = [], {own}
    if now.strays and mover and mover in now.unapplied:
        if mover.number != own:
            lines.append(f"entry {mover.number} was unfinished: moved {name} to version {now.attested}; it was {was}.")
        said.add(mover.number)
    elif now.strays:
        lines.append(
            f"put {name} back to version {now.attested}, as entry {now.entries[-1].number} says: it was {was}, "
            "moved by hand or by a process that came late."
        )
        note_repair(now.chain.run, lines[0])
    rest = {entry.number for entry in (*now.unapplied, *now.unanchored)} - said
    return lines + [f"entry {number} was unfinished: finished it." for number in sorted(rest)]


def _move(now: Standing) -> None:
    put(MlflowClient().set_registered_model_alias, now.seat.model, now.seat.alias, now.attested)


def _anchor(now: Standing, entry: Entry) -> None:
    client, seat, about = MlflowClient(), now.seat, entry.about(now.seat.model)
    if about in now.versions:
        put(client.set_model_version_tag, seat.model, about, version_key(seat, entry.number), version_value(entry))
    if entry == now.entries[-1]:
        put(client.set_registered_model_tag, seat.model, seat.tag(HEAD), head_value(entry))
