"""How a shadow's answers compare with those that were shown, by the copies in `shadow.jsonl`."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops.errors import DataError
from llmops.evaluation.metrics import token_f1
from llmops.evaluation.statistics import Interval, mean_interval, unanimous_share
from llmops.serving.rollout.shadow import FILE, KEPT


@dataclass(frozen=True)
class Copy:
    """A request that both answered. What the shadow failed at has no text of its."""

    question: str
    shown: Mapping[str, Any]
    shadow: Mapping[str, Any]


@dataclass(frozen=True)
class ShadowScore:
    """The shadow release beside the one that answered. `figures` are by name, differences are shadow less shown."""

    shown: str
    shadow: str
    copies: int
    questions: int
    figures: Mapping[str, Interval]

    @property
    def metrics(self) -> dict[str, float]:
        """As the tracking UI shows them: `shadow/failed`, `shadow/failed_low`, `shadow/failed_high`, ..."""
        flat: dict[str, float] = {"shadow/copies": self.copies, "shadow/questions": self.questions}
        for name, one in self.figures.items():
            flat |= {f"shadow/{name}": one.mean, f"shadow/{name}_low": one.low, f"shadow/{name}_high": one.high}
        return {name: value for name, value in flat.items() if math.isfinite(value)}


def read_copies(folder: Path, shadow: str = "") -> list[Copy]:
    """The copies that a release answered as a shadow, the last one that did unless one is named, beside the last one shown.

    Raises:
        DataError: there are none.
    """
    found = [copy for file in (KEPT, FILE) for copy in _lines(folder / file)]
    found = [copy for copy in found if copy.shadow["release"] == (shadow or found[-1].shadow["release"])]
    if not found:
        known = f"{shadow} has answered no copies" if shadow else "no copies were answered"
        raise DataError(f"{known} in {folder / FILE}. Have @challenger answer some: update it with shadow=true.")
    return [copy for copy in found if copy.shown["release"] == found[-1].shown["release"]]


def _lines(file: Path) -> Iterator[Copy]:
    """Those of a file; none where it isn't there. The last one may be half written."""
    if not file.exists():
        return
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            data = json.loads(line)
        except ValueError:
            continue
        yield Copy(data["question"], data["shown"], data["shadow"])


def score(copies: Sequence[Copy]) -> ShadowScore:
    """Shares, times and overlap with 95 % intervals; the same question asked twice is one cluster.

    `slower` is the geometric mean of how many times as long the shadow took. `overlap` is the token F1 of the two answers,
    `same` the share with the same words: what they say of quality is only where the two differ, for nobody knows the answer.
    """
    answered = [copy for copy in copies if copy.shadow["text"] is not None]

    figures = {"failed": _share(copies, lambda copy: copy.shadow["text"] is None)}
    if answered:
        more = [float(copy.shadow["abstained"]) - float(copy.shown["abstained"]) for copy in answered]
        ratios = [math.log(_seconds(copy.shadow) / _seconds(copy.shown)) for copy in answered]
        overlaps = [token_f1(copy.shadow["text"], [copy.shown["text"]]) for copy in answered]
        asked = [copy.question for copy in answered]
        ratio = mean_interval(ratios, asked)
        figures |= {
            "abstained": _share(answered, lambda copy: bool(copy.shadow["abstained"])),
            "abstained_shown": _share(answered, lambda copy: bool(copy.shown["abstained"])),
            "abstained_difference": mean_interval(more, asked, bounds=(-1.0, 1.0)),
            "slower": Interval(math.exp(ratio.mean), math.exp(ratio.low), _exp(ratio.high), ratio.n),
            "overlap": mean_interval(overlaps, asked, bounds=(0.0, 1.0)),
            "same": _share(answered, lambda copy: copy.shadow["text"].split() == copy.shown["text"].split()),
        }
    questions = len({copy.question for copy in copies})
    return ShadowScore(copies[0].shown["release"], copies[0].shadow["release"], len(copies), questions, figures)


def _share(copies: Sequence[Copy], holds: Callable[[Copy], bool]) -> Interval:
    values, asked = [float(holds(copy)) for copy in copies], [copy.question for copy in copies]
    if len(set(values)) == 1:
        return unanimous_share(values[0], len(values), len(set(asked)))
    return mean_interval(values, asked, bounds=(0.0, 1.0))


def tell(found: ShadowScore) -> str:
    """Lines for a person."""
    told = [f"{found.shadow} as the shadow of {found.shown}: {found.copies} copies of {found.questions} questions"]
    words = {
        "failed": "failed", "abstained": "abstained", "abstained_shown": "abstained, of what was shown",
        "abstained_difference": "  the difference", "slower": "times as slow", "overlap": "words in common (token F1)",
        "same": "the same words",
    }  # fmt: skip
    for name, one in found.figures.items():
        told.append(f"  {words[name]:<32}{one.mean:>7.3f}   {one.low:.3f} to {one.high:.3f}")
    return "\n".join(told)


def _seconds(said: Mapping[str, Any]) -> float:
    return max(float(said["seconds"]), 1e-4)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
