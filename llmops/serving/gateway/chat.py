"""Answers as OpenAI's chat completions tell them."""

import time
from collections.abc import Iterator
from typing import Any

from llmops.serving.gateway.refusal import Refusal
from llmops.serving.gateway.shapes import DONE, beside, counts, event, new_id
from llmops.serving.roster import Identity, Reply


class ChatShape:
    """The event with the finish reason has `sources`, `release` and the token counts too.

    With `include_usage` the counts come once more, as OpenAI sends them. A stream that breaks off ends with an error, and
    without [DONE].
    """

    def __init__(self, model: str, identity: Identity, include_usage: bool = False) -> None:
        self.answer_id, self._identity, self._include_usage = new_id("chatcmpl-"), identity, include_usage
        self._start = {"id": self.answer_id, "created": int(time.time()), "model": model}

    def whole(self, reply: Reply) -> dict[str, Any]:
        message = {"role": "assistant", "content": reply.text}
        choice = {"index": 0, "message": message, "finish_reason": reply.details["finish_reason"]}
        return {**self._start, "object": "chat.completion", "choices": [choice], **self._extra(reply)}

    def begin(self) -> Iterator[str]:
        yield self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> str:
        return self._chunk({"content": text})

    def end(self, reply: Reply) -> Iterator[str]:
        yield self._chunk({}, reply.details["finish_reason"], self._extra(reply))
        if self._include_usage:
            yield event({**self._start, "object": "chat.completion.chunk", "choices": [], **self._extra(reply)})
        yield DONE

    def broken(self, refusal: Refusal) -> str:
        return event(refusal.envelope)

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None, extra: dict[str, Any] | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return event({**self._start, "object": "chat.completion.chunk", **(extra or {}), "choices": [choice]})

    def _extra(self, reply: Reply) -> dict[str, Any]:
        prompt, completion = counts(reply)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return {"usage": usage, **beside(reply, self._identity)}
