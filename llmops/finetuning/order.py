"""The order in which training examples are seen: decided before the first step, so that a resumed run sees the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt

_WINDOW = 50  # batches among which examples of like length find each other


@dataclass(frozen=True)
class Schedule:
    """Which rows are seen in which order, and how many tokens the steps see, padding apart."""

    order: list[int]
    lengths: Sequence[int]
    batch_size: int

    @property
    def steps(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def tokens(self, steps: int) -> int:
        """The tokens of the first `steps` steps."""
        return self._seen[min(steps * self.batch_size, len(self.order))]

    @cached_property
    def _seen(self) -> list[int]:
        """The tokens of the first rows, by how many."""
        return list(accumulate((self.lengths[row] for row in self.order), initial=0))


def training_order(lengths: Sequence[int], batch_size: int, epochs: float, seed: int) -> list[int]:
    """The rows of all epochs, one after the other; each `batch_size` of them are a batch, of like length.

    Every epoch is a permutation of its own. Grouping works within windows, whose batches are shuffled, so that long
    examples don't all come first. Only the last batch may be short.
    """
    passes = int(np.ceil(epochs))
    permutations = [np.random.default_rng([seed, epoch]).permutation(len(lengths)) for epoch in range(passes)]
    stream = np.concatenate(permutations)[: max(1, round(epochs * len(lengths)))]
    order: list[int] = []
    for number, start in enumerate(range(0, len(stream), _WINDOW * batch_size)):
        order += _grouped(stream[start : start + _WINDOW * batch_size], lengths, batch_size, [seed, passes, number])
    return order


def _grouped(window: npt.NDArray[np.int64], lengths: Sequence[int], size: int, seed: list[int]) -> list[int]:
    by_length = sorted(window.tolist(), key=lambda row: -lengths[row])
    batches = [by_length[start : start + size] for start in range(0, len(by_length), size)]
    whole = [batch for batch in batches if len(batch) == size]
    shuffled = [whole[i] for i in np.random.default_rng(seed).permutation(len(whole))]
    return [row for batch in [*shuffled, *batches[len(whole) :]] for row in batch]
