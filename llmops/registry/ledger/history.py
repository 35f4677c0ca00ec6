"""The ledger of a seat, for reading: its entries as a table, and what is running."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.standing import Standing

COLUMNS = ("entry", "when", "decision", "release", "before", "after", "by", "evidence", "policy", "reason")
_SHORT = 60  # characters of a reason in the table; the run of the entry has the rest


def history(stand: Standing, deployments: Sequence[Mapping[str, Any]]) -> str:
    """What was decided about a seat as a Markdown table, what holds it, what doesn't fit, and what is deployed of it."""
    if not stand.entries:
        lines = [f"{stand.seat.name} has no ledger yet: nothing was decided about it."]
    else:
        lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *(_line(_cells(entry)) for entry in stand.entries), ""]
        holds = f"models:/{stand.seat.model}/{stand.attested}" if stand.attested else "nothing"
        whole = "broken" if stand.flaws else "whole"
        lines.append(f"{stand.seat.name} is {holds} by its ledger, which is {whole}: {len(stand.entries)} entries.")
    lines += [f"! {problem}" for problem in stand.problems]
    lines += [f"repaired: {line}" for line in stand.repairs]
    return "\n".join([*lines, *(_deployed(stand, one) for one in deployments)])


def _cells(entry: Entry) -> list[str]:
    reason = " ".join(entry.reason.split())
    return [
        str(entry.number), entry.when, entry.decision, entry.challenger, entry.before or "-", entry.after or "-",
        ", ".join(entry.who.values()), entry.evaluation[:8] or "-", entry.policy[:8] or "-",
        reason if len(reason) <= _SHORT else f"{reason[:_SHORT]}...",
    ]  # fmt: skip


def _deployed(stand: Standing, deployment: Mapping[str, Any]) -> str:
    release = str(deployment["release_uri"])
    attested = release == f"models:/{stand.seat.model}/{stand.attested}"
    says = "" if attested or not stand.entries else ", which is not what the ledger attests now"
    return f"{deployment['name']} ({deployment['status']}) serves {release} at {deployment['url']}{says}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
