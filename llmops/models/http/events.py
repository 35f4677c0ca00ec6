"""Server-sent events of an answer: read in the background, and handed to the thread that waits for them."""

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from llmops.models.http import background
from llmops.models.http.failure import Failure

if TYPE_CHECKING:
    from aiohttp import StreamReader

OPENED, DONE = object(), object()
_OVER = object()


class Events:
    """What is said to one request. `ask` asks, tells OPENED, each event, and DONE, and returns why it failed, if it did.

    Closed before it is done, also by another thread, it ends the connection.
    """

    def __init__(self, ask: Callable[[Callable[[Any], None]], Coroutine[Any, Any, Failure | None]]) -> None:
        self._said: SimpleQueue[Any] = SimpleQueue()
        self._is_done = False
        self._asking = background.start(ask(self._said.put))
        self._asking.add_done_callback(lambda _: self._said.put(_OVER))

    def next(self) -> Any:
        """The next thing that is said, or None for the end of a connection that ended without DONE.

        Raises:
            CancelledError: it was closed.
        """
        said = self._said.get()
        self._is_done = said is DONE
        return self._asking.result() if said is _OVER else said

    def close(self) -> None:
        if not self._is_done:
            self._asking.cancel()

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def read_events(content: "StreamReader") -> AsyncIterator[Any]:
    """The JSON of each event, and then DONE if the server says so (WHATWG HTML, 9.2.6, of which answers use the data alone).

    Raises:
        ValueError: the data of one is no JSON.
    """
    data: list[bytes] = []
    async for line in content:
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif not line.strip() and data:
            yield _read(data)
            data = []
    if data:  # the empty line is forgotten by some at the end
        yield _read(data)


def _read(data: list[bytes]) -> Any:
    text = b"\n".join(data)
    return DONE if text.startswith(b"[DONE]") else json.loads(text)
