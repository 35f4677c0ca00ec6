"""Gates: what a policy asks of a release, one by one, each with its figure, its threshold and what that says."""

from collections.abc import Sequence
from dataclasses import dataclass

from llmops.evaluation.statistics import Interval

PROMOTE, KEEP, INSUFFICIENT = "promote", "keep", "insufficient evidence"
_SHOWN = {PROMOTE: "pass", KEEP: "fail", INSUFFICIENT: INSUFFICIENT}


@dataclass(frozen=True)
class Gate:
    """One thing that a policy asks. `verdict` is what it says alone: promote where it is passed; `text` is for the reader.

    Where evidence is insufficient, `detectable` is the least difference that so many questions show with 80 % power, and
    `more` about how many further questions would show what was found; None where that isn't known, or none would.
    """

    name: str
    figure: float | None
    threshold: str
    interval: Interval | None
    verdict: str
    text: str
    detectable: float | None = None
    more: int | None = None


def verdict_of(gates: Sequence[Gate]) -> str:
    """Promote only if every gate is passed; one that fails outweighs those that more evidence may still pass."""
    verdicts = {gate.verdict for gate in gates}
    return next(verdict for verdict in (KEEP, INSUFFICIENT, PROMOTE) if verdict in verdicts)


def markdown(gates: Sequence[Gate]) -> str:
    """Gates as a Markdown table, and a line for each that isn't passed."""
    header = ("gate", "figure", "interval", "threshold", "verdict")
    lines = [
        (gate.name, _figure(gate.figure), _range(gate.interval), gate.threshold, _SHOWN[gate.verdict]) for gate in gates
    ]
    table = [_line(header), _line(["---"] * len(header)), *map(_line, lines)]
    said = [f"- {gate.text}" for gate in gates if gate.verdict != PROMOTE]
    return "\n".join([*table, *(["", *said] if said else [])])


def show(interval: Interval, sign: str = "+") -> str:
    """A mean with its interval, for a sentence."""
    return f"{interval.mean:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def percent(confidence: float) -> str:
    return f"{100 * confidence:.4g} %"


def _figure(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.4g}"


def _range(interval: Interval | None) -> str:
    return "-" if interval is None else f"[{interval.low:.3f}, {interval.high:.3f}], n = {interval.n}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
