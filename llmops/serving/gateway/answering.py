"""An answer made in a thread, and what it says in the event loop."""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from llmops.models.giving_up import GivingUp
from llmops.serving.gateway.refusal import Refusal
from llmops.serving.roster import Reply
from llmops.streams import Stream

Outcome = Reply | Refusal | None


class Answering:
    """Runs a generator of an answer's pieces to its end, its whole being the last thing said.

    `give_up` closes the generator before its next piece; the engine hears of it at once. `explain` says what to tell of an
    error. `ended` is called in the event loop when the thread is free again, with the reply, the refusal, or None where it
    was given up.
    """

    def __init__(
        self, threads: Executor, generate: Callable[[], Generator[str, None, Reply]],
        explain: Callable[[BaseException], Refusal], ended: Callable[[Outcome], None],
    ) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._said: asyncio.Queue[str | Reply | Refusal] = asyncio.Queue()
        self._generate, self._explain, self._ended = generate, explain, ended
        self._giving_up = GivingUp()
        threads.submit(self._run)

    async def next(self) -> str | Reply:
        """The next piece, or the whole.

        Raises:
            Refusal: there is no more.
        """
        said = await self._said.get()
        if isinstance(said, Refusal):
            raise said
        return said

    def give_up(self) -> None:
        self._giving_up.give_up()

    def _run(self) -> None:
        try:
            with self._giving_up.hears():
                outcome: Outcome = self._pieces()
        except BaseException as error:
            outcome = None if self._giving_up.is_so else self._explain(error)
        self._tell(self._finish, outcome)

    def _finish(self, outcome: Outcome) -> None:
        """First the books, then the caller, who may look into them."""
        try:
            self._ended(outcome)
        finally:
            if outcome is not None:
                self._said.put_nowait(outcome)

    def _pieces(self) -> Reply | None:
        if self._giving_up.is_so:
            return None
        stream = Stream(self._generate())
        for piece in stream:
            if self._giving_up.is_so:
                stream.close()
                return None
            self._tell(self._said.put_nowait, piece)
        return stream.whole

    def _tell(self, hear: Callable[[Any], None], what: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: the server has ended
            self._loop.call_soon_threadsafe(hear, what)
