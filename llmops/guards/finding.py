"""What guards say: findings in a text, the verdict on it, and the text with its findings cut out."""

from collections.abc import Iterable
from dataclasses import dataclass

REFUSAL = "Sorry, I can't help with that request."
"""What a user reads instead of a question's answer, or of an answer, that a guard blocks."""

STRENGTH = ("pass", "off", "flag", "redact", "block")
"""Actions, weakest first."""


@dataclass(frozen=True)
class Finding:
    """What was found in `text[start:end]`, and what stands there when it is cut out.

    The reason names the kind of thing and never repeats it: findings go into traces. `guard` and `action` are filled in by
    the guard that asked, an action only where the finder leaves it open.
    """

    kind: str
    reason: str
    start: int
    end: int
    instead: str
    guard: str = ""
    action: str = ""


@dataclass(frozen=True)
class Verdict:
    """What may go on: `text`, as it was or with parts cut out; where the action is "block", the refusal or nothing.

    `action` is the strongest of the findings' ("pass" where there are none), `reason` one line for who operates the app.
    """

    action: str
    text: str
    findings: tuple[Finding, ...] = ()
    reason: str = ""


def verdict_on(text: str, findings: Iterable[Finding], blocked: str = REFUSAL) -> Verdict:
    """Judge a text by its findings; `blocked` is what is left of it when one blocks."""
    found = tuple(sorted(findings, key=lambda finding: (finding.start, finding.end)))
    action = max((finding.action for finding in found), key=STRENGTH.index, default="pass")
    reason = "; ".join(dict.fromkeys(f"{finding.guard}: {finding.reason}" for finding in found if finding.action == action))
    return Verdict(action, blocked if action == "block" else redacted(text, found), found, reason)


def redacted(text: str, findings: Iterable[Finding]) -> str:
    """The text without what is to be redacted. Of findings that overlap the first names the gap."""
    parts, end = [], 0
    for finding in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
        if finding.action != "redact":
            continue
        if finding.start >= end:
            parts += [text[end : finding.start], finding.instead]
        end = max(end, finding.end)
    return "".join([*parts, text[end:]])
