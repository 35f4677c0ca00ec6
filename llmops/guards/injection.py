"""Prompt injection: where a question or a passage gives the bot orders that are its owner's to give."""

from collections.abc import Callable

from llmops.guards.finding import Finding
from llmops.guards.grammar import Order
from llmops.guards.hidden import find_hidden
from llmops.guards.markers import find_markers, parts_prompt, poses_as_turn
from llmops.guards.orders import DOCUMENT, QUESTION, find_order
from llmops.guards.pictures import find_pictures
from llmops.guards.sentences import sentences

Classifier = Callable[[str], float]
"""Tells how likely a text is an injection, in [0, 1]."""

_MOST_LOCATED = 20_000  # characters of a text in which sentences are told apart; a longer one is an order as a whole
_TOGETHER = 3  # sentences that may make up an order that none of them is


def find_injection(question: str) -> list[Finding]:
    """Find a question's orders to the bot, as sentences, and template marks, which are spaced out whatever the action."""
    return [*find_markers(question), *_found(question, QUESTION)]


def find_passage_injection(passage: str) -> list[Finding]:
    """Find a passage's orders to the bot, as sentences, hidden text that speaks to a reader, pictures that carry text away,
    and template marks."""
    spans = find_hidden(passage)
    hidden = [_finding("hidden text speaks to the assistant", span) for span in spans]
    orders = [] if hidden and _reason(_without(passage, spans), DOCUMENT) is None else _found(passage, DOCUMENT)
    return [*hidden, *orders, *find_pictures(passage), *find_markers(passage)]


def classified(question: str, classifier: Classifier, threshold: float) -> list[Finding]:
    """The whole question as a finding, where the classifier's score reaches the threshold."""
    score = classifier(question)
    return [_finding(f"the classifier gives it {score:.2f}", (0, len(question)))] if score >= threshold else []


def _finding(reason: str, span: tuple[int, int]) -> Finding:
    return Finding("instruction", reason, *span, "[instruction removed]")


def _reason(text: str, orders: tuple[Order, ...]) -> str | None:
    poses = parts_prompt(text) or (orders is QUESTION and poses_as_turn(text))
    return find_order(text, orders) or ("poses as a turn of the system or the assistant" if poses else None)


def _found(text: str, orders: tuple[Order, ...]) -> list[Finding]:
    reason = _reason(text, orders)
    if reason is None:
        return []
    located = _located(text, orders) if len(text) <= _MOST_LOCATED else []
    if not located or _reason(_without(text, located), orders) is not None:
        located = [(0, len(text))]
    return [_finding(reason, span) for span in located]


def _located(text: str, orders: tuple[Order, ...]) -> list[tuple[int, int]]:
    """The sentences that are orders, or the shortest runs of sentences that are."""
    parts, starts = sentences(text), [0]
    for part in parts:
        starts.append(starts[-1] + len(part))
    for length in range(1, min(_TOGETHER, len(parts)) + 1):
        runs = [(starts[i], starts[i + length]) for i in range(len(parts) - length + 1)]
        found = [(start, start + len(text[start:end].rstrip())) for start, end in runs if _reason(text[start:end], orders)]
        if found:
            return found
    return []


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    ends = [0, *(end for _, end in spans)]
    return "".join(text[end:start] for end, start in zip(ends, [*(start for start, _ in spans), len(text)], strict=True))
