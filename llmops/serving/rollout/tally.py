"""What came of live requests to a release: enough to compare two of them, and to add up over workers."""

import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_STEP = math.log(1.1)  # buckets of latency are a tenth apart
_LEAST_S = 1e-4


@dataclass(frozen=True)
class Tally:
    """Requests that a release had to answer. `buckets` counts those it did answer, by how long they took."""

    requests: int = 0
    failed: int = 0
    abstained: int = 0
    buckets: Mapping[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return self.requests - self.failed

    @property
    def median_s(self) -> float:
        """To a tenth; 0 where nothing was answered."""
        seen, half = 0, sum(self.buckets.values()) / 2
        for bucket in sorted(self.buckets, key=int):
            seen += self.buckets[bucket]
            if seen >= half:
                return _seconds(bucket)
        return 0.0

    def longer(self, seconds: float) -> int:
        """How many took longer."""
        return sum(count for bucket, count in self.buckets.items() if _seconds(bucket) > seconds)


def _seconds(bucket: str) -> float:
    return _LEAST_S * math.exp(int(bucket) * _STEP)


def add_up(tallies: Iterable[Tally]) -> Tally:
    some = list(tallies)
    buckets = sum((Counter(one.buckets) for one in some), Counter[str]())
    requests, failed, abstained = (sum(getattr(one, name) for one in some) for name in ("requests", "failed", "abstained"))
    return Tally(requests, failed, abstained, dict(buckets))


class Tallies:
    """Counts by release, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Tally] = {}

    def add(self, uri: str, failed: bool, abstained: bool, seconds: float) -> None:
        bucket = str(round(math.log(max(seconds, _LEAST_S) / _LEAST_S) / _STEP))
        with self._lock:
            before = self._found.get(uri, Tally())
            buckets = before.buckets if failed else {**before.buckets, bucket: before.buckets.get(bucket, 0) + 1}
            self._found[uri] = Tally(before.requests + 1, before.failed + failed, before.abstained + abstained, buckets)

    def read(self) -> dict[str, Tally]:
        with self._lock:
            return dict(self._found)

    def clear(self) -> None:
        with self._lock:
            self._found.clear()
