"""Answers in pieces: a generator yields them and returns the whole."""

from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Piece = TypeVar("Piece")
Whole = TypeVar("Whole")


class Stream(Generic[Piece, Whole]):
    """Iterates over a generator's pieces; `whole` is what it returned, None until they have all come."""

    whole: Whole | None = None

    def __init__(self, generator: Generator[Piece, None, Whole]) -> None:
        self._generator = generator

    def __iter__(self) -> Iterator[Piece]:
        self.whole = yield from self._generator

    def close(self) -> None:
        """Nobody listens any more."""
        self._generator.close()
