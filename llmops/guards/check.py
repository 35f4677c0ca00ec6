"""One guard at work: what it finds in texts, does about it, and costs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from llmops.guards.finding import STRENGTH, Finding
from llmops.types import Span, Spans

Find = Callable[[str], list[Finding]]
"""Finds in a text what a guard looks for."""


@dataclass(frozen=True)
class Guard:
    """A guard by its setting's name, with what it does about what it finds."""

    name: str
    action: str
    find: Find

    def check(self, text: str) -> tuple[list[Finding], float]:
        """The findings, each with the guard's name and an action, and their cost in ms."""
        started = perf_counter()
        found = [replace(f, guard=self.name, action=f.action or self.action) for f in self.find(text)]
        return found, (perf_counter() - started) * 1000

    def run(self, texts: Sequence[str], spans: Spans) -> list[list[Finding]]:
        """Check texts, in one span; the findings in each."""
        with spans(f"guard {self.name}", "GUARDRAIL") as span:
            checked = [self.check(text) for text in texts]
            record(span, [finding for found, _ in checked for finding in found], sum(cost_ms for _, cost_ms in checked))
        return [found for found, _ in checked]


def record(span: Span, found: Sequence[Finding], cost_ms: float) -> None:
    """Note what a guard did, why, and how long it took; never what it found itself."""
    action = max((finding.action for finding in found), key=STRENGTH.index, default="pass")
    reasons = list(dict.fromkeys(finding.reason for finding in found))
    span.record(action=action, reasons=reasons, findings=len(found), cost_ms=round(cost_ms, 3))


def moved(findings: Iterable[Finding], by: int) -> list[Finding]:
    """Findings in a part of a text as findings in the text, in which the part begins at `by`."""
    return [replace(finding, start=finding.start + by, end=finding.end + by) for finding in findings]


def blocks(findings: Iterable[Finding]) -> bool:
    return any(finding.action == "block" for finding in findings)
