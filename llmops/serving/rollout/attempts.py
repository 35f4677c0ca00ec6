"""What failed, so that it is said once, and tried again after longer and longer pauses."""

import time
from dataclasses import dataclass, replace

LONGEST_S = 3600.0
_ENOUGH = 20  # failures, after which any pause is the longest; what is tried at each look fails thousands of times


@dataclass(frozen=True)
class _Failure:
    count: int
    line: str
    due: float
    told: bool = True


class Attempts:
    """Failures by what was tried, such as a release's URI."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failure] = {}

    def is_due(self, what: str) -> bool:
        failure = self._failures.get(what)
        return failure is None or time.monotonic() >= failure.due

    def note(self, what: str, line: str, pause_s: float) -> bool:
        """Note a failure, and whether it is news. The pause, in seconds, is four times as long after each more."""
        before = self._failures.get(what)
        count = before.count + 1 if before else 0
        pause_s = min(pause_s * 4 ** min(count, _ENOUGH), LONGEST_S)
        self._failures[what] = _Failure(count, line, time.monotonic() + pause_s)
        return before is None or before.line != line or not before.told

    def worked(self, what: str) -> str:
        """Forget a failure; return what it said, or ""."""
        failure = self._failures.pop(what, None)
        return failure.line if failure else ""

    def keep(self, *releases: str) -> None:
        """Forget other releases: they are not to be tried any more."""
        for one in [one for one in self._failures if one.startswith("models:/") and one not in releases]:
            del self._failures[one]

    def hurry(self, tell: bool = False) -> None:
        """Something changed: let all be tried again now, and told again if somebody waits to be told."""
        self._failures = {one: replace(f, due=0.0, told=f.told and not tell) for one, f in self._failures.items()}
