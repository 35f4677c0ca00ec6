"""Who held a seat, by its entries."""

from collections.abc import Sequence

from llmops.registry.ledger.entry import ROLLBACK, Entry


def holder(entries: Sequence[Entry]) -> str | None:
    """The version that holds the seat."""
    return entries[-1].after if entries else None


def champions(entries: Sequence[Entry]) -> list[str]:
    """The versions that a rollback goes back through, the one that holds the seat last.

    A promotion goes on top, a rollback takes away what is above. What held the seat before the ledger is the first.
    """
    stack: list[str] = []
    for entry in entries:
        if not stack and entry.before is not None:
            stack.append(entry.before)  # adopted
        if entry.after is None or not entry.moves:
            continue
        if entry.decision == ROLLBACK and entry.after in stack:
            while stack[-1] != entry.after:
                stack.pop()
        else:
            stack.append(entry.after)
    return stack


def attested_digest(entries: Sequence[Entry], version: str) -> str | None:
    """The digest that a version had when it last took the seat; None of what held it before the ledger."""
    return next((entry.digest for entry in reversed(entries) if entry.moves and entry.after == version), None)


def attested(entries: Sequence[Entry]) -> list[str]:
    """All versions that ever held the seat, by the entries, in the order in which they first did."""
    return list(dict.fromkeys(v for entry in entries for v in (entry.before, entry.after) if v is not None))
