"""Training data made ready: tokenised, what can't be learned from left out with its reason, a share held out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from llmops.datasets.rows import Parsed
from llmops.datasets.tables import RejectedRow
from llmops.errors import DataError
from llmops.finetuning.tokens import IGNORED, Pair, Row, longest

Item = TypeVar("Item")
Example = TypeVar("Example", Row, Pair)


@dataclass(frozen=True)
class Prepared(Generic[Example]):
    """Tokenised examples to train on and to measure on, all that were left out, and how long each was that has tokens."""

    rows: tuple[Example, ...]
    held_out: tuple[Example, ...]
    rejected: tuple[RejectedRow, ...]
    lengths: tuple[int, ...]  # tokens of the longest sequence, those of examples that are too long too
    format: str


def prepare(
    parsed: Parsed[Item], tokenise: Callable[[Item], Example], stops: set[int], special: set[int], max_tokens: int,
    max_rejected: float, held_out: float, seed: int,
) -> Prepared[Example]:  # fmt: skip
    """Tokenise items; leave out those that are too long or hold nothing to learn. An example is never cut.

    `stops` are the tokens that end an answer, `special` those that aren't text; `held_out` is the share to measure on.

    Raises:
        DataError: nothing is left, or a share of more than `max_rejected` is left out.
    """
    rows: list[Example] = []
    lengths: list[int] = []
    out = list(parsed.rejected)
    for item, where in zip(parsed.items, parsed.wheres, strict=True):
        try:
            row = tokenise(item)
            _check(row, stops, special)
        except DataError as error:
            out.append(RejectedRow(where, str(error)))
            continue
        lengths.append(longest(row))
        if lengths[-1] > max_tokens:
            out.append(RejectedRow(where, f"it has {lengths[-1]} tokens, more than max_tokens={max_tokens}."))
            continue
        rows.append(row)
    reasons, count = "; ".join(f"{each.where}: {each.reason}" for each in out[:3]), len(out) + len(rows)
    if not rows:
        raise DataError(f"there is no example to train on. {reasons}")
    if len(out) > max_rejected * count:
        raise DataError(
            f"{len(out)} of {count} examples can't be trained on, expected at most a share of {max_rejected:g} "
            f"(max_rejected). {reasons}"
        )
    measured = _choose(len(rows), held_out, seed)
    return Prepared(
        tuple(row for i, row in enumerate(rows) if i not in measured),
        tuple(row for i, row in enumerate(rows) if i in measured), tuple(out), tuple(lengths), parsed.format,
    )  # fmt: skip


def _check(row: Row | Pair, stops: set[int], special: set[int]) -> None:
    """Raises DataError when an answer holds no text, or doesn't end with a token that stops an engine."""
    for answer in _answers(row):
        if not set(answer) - special:
            raise DataError("its answer has no token but special ones.")
        if stops and answer[-1] not in stops:
            raise DataError("its answer doesn't end with the base's end-of-turn token: it would never learn to stop.")


def _answers(row: Row | Pair) -> list[list[int]]:
    """What is learned or compared: the runs of labels that nothing else comes between."""
    if "prompt_ids" in row:
        return [row["chosen_ids"], row["rejected_ids"]]
    runs: list[list[int]] = [[]]
    for label in row["labels"]:
        if label != IGNORED:
            runs[-1].append(label)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run] or [[]]


def _choose(count: int, share: float, seed: int) -> set[int]:
    """Which examples are held out; at least one is left to train on."""
    size = min(round(count * share), count - 1)
    return set(np.random.default_rng([seed, 1]).permutation(count)[:size].tolist())
