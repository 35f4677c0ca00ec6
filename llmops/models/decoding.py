"""What goes along while transformers decodes: the choice of tokens, their log-probabilities, and the tokens as they come.

transformers calls these by their methods alone, so nothing heavy is imported here.
"""

from collections.abc import Sequence
from queue import SimpleQueue
from threading import Event
from typing import Any

from llmops.types import GenerationRequest


class Choice:
    """Has greedy decoding draw tokens where requests say so, and remembers how likely the model held each; a logits
    processor.

    The largest of log-probabilities with Gumbel noise is a draw from the distribution (Gumbel 1954; Maddison, Tarlow & Minka
    2014). Each row has noise of its own, so what else is in the batch has no part in it.
    """

    def __init__(self, requests: Sequence[GenerationRequest], device: Any) -> None:
        self._draws = {row: _Draw(one, device) for row, one in enumerate(requests) if one.temperature > 0}
        self._steps: list[Any] = []  # each of shape (b,), nats

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        chosen = scores.clone() if self._draws else scores
        for row, draw in self._draws.items():
            chosen[row] = draw(scores[row])
        said = chosen.argmax(-1, keepdim=True)
        self._steps.append(scores.float().log_softmax(-1).gather(-1, said).squeeze(-1))
        return chosen

    def of_row(self, row: int, tokens: int) -> tuple[float, ...]:
        """Those of a row's first tokens."""
        return tuple(float(step[row]) for step in self._steps[:tokens])


class _Draw:
    """One row's logits as its request shapes them, with noise: the same for the same seed, at each step other."""

    def __init__(self, request: GenerationRequest, device: Any) -> None:
        import torch
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        self._warpers: list[Any] = [TemperatureLogitsWarper(float(request.temperature))]
        if request.top_p < 1:
            self._warpers.append(TopPLogitsWarper(request.top_p))
        self._random = torch.Generator(device)
        if request.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(request.seed)

    def __call__(self, scores: Any) -> Any:
        """Scores of shape (v,) to others whose largest is the draw."""
        import torch

        shaped = scores[None]
        for warper in self._warpers:
            shaped = warper(None, shaped)
        # in 64 bits, where a draw of 0 isn't to be seen; it would never be chosen
        even = torch.rand(scores.shape, generator=self._random, device=scores.device, dtype=torch.float64)
        return shaped[0] - (-even.log()).log()


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
