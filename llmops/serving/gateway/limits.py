"""How many requests are answered at once, and how many wait."""

import asyncio

from llmops.serving.gateway.refusal import Refusal


class Admission:
    """Places for `at_once` requests of this worker, and for `waiting` more; the next one is refused at once.

    A place is left when the work has ended, which may be after the answer was given up.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._places, self._at_once, self._most_waiting = asyncio.Semaphore(at_once), at_once, waiting
        self.waiting = self.in_flight = 0

    async def enter(self, timeout_s: float) -> None:
        """Take a place, or wait for one.

        Raises:
            Refusal: too many wait already (429), or `timeout_s` passed (504).
        """
        if self._places.locked() and self.waiting >= self._most_waiting:
            raise Refusal(
                429,
                f"{self._at_once} requests are answered and {self.waiting} wait. Ask again later.",
                "queue_full",
                None,
                1,
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._places.acquire()
        except TimeoutError:
            raise timed_out(timeout_s) from None
        finally:
            self.waiting -= 1
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1
        self._places.release()


def timed_out(timeout_s: float) -> Refusal:
    return Refusal(504, f"there was no whole answer within {timeout_s:g} s. Ask again, or ask shorter.", "timeout")
