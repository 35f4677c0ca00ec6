"""What watches transformers decode: the log-probabilities of what is said, and the tokens as they come.

transformers calls these by their methods alone, so nothing heavy is imported here.
"""

from queue import SimpleQueue
from threading import Event
from typing import Any


class LogProbabilities:
    """Remembers how likely the likeliest token was at each step; a logits processor that changes nothing."""

    def __init__(self) -> None:
        self._steps: list[Any] = []  # each of shape (b,), nats

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self._steps.append(scores.float().log_softmax(-1).amax(-1))
        return scores

    def of_row(self, row: int, tokens: int) -> tuple[float, ...]:
        """Those of a row's first tokens."""
        return tuple(float(step[row]) for step in self._steps[:tokens])


class TokenQueue:
    """Hands over tokens of one answer as they come; a streamer that can be told to stop."""

    def __init__(self) -> None:
        self.tokens: SimpleQueue[int | None] = SimpleQueue()  # None is put when decoding is over, however it ended
        self.given_up = Event()
        self._prompt_seen = False

    def put(self, ids: Any) -> None:
        if self._prompt_seen:
            self.tokens.put(int(ids[0]))
        self._prompt_seen = True

    def end(self) -> None:
        """Called by transformers; whoever started the thread puts the None."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The stopping criterion: whether nobody listens any more, for each row."""
        import torch

        return torch.full((input_ids.shape[0],), self.given_up.is_set(), device=input_ids.device)


class TextPieces:
    """Turns tokens into pieces of text. A character waits until all its tokens are there, white space until more comes."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._ids, self._sent = tokenizer, list[int](), ""

    def add(self, token: int) -> str:
        """The text that this token makes certain, possibly none."""
        self._ids.append(token)
        text = str(self._tokenizer.decode(self._ids, skip_special_tokens=True)).strip()
        if text.endswith("\ufffd") or not text.startswith(self._sent):
            return ""
        piece, self._sent = text[len(self._sent) :], text
        return piece

    def rest(self, whole: str) -> str:
        """What was held back of the whole answer."""
        return whole.removeprefix(self._sent)
