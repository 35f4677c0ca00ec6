"""Answers as OpenAI's Responses API tells them."""

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from llmops.serving.gateway.refusal import Refusal
from llmops.serving.gateway.shapes import beside, counts, event, new_id, text_item
from llmops.serving.roster import Identity, Reply


class ResponsesShape:
    """One output item with one text. Nothing is stored."""

    def __init__(self, model: str, identity: Identity) -> None:
        self.answer_id, self._item_id, self._identity = new_id("resp_"), new_id("msg_"), identity
        self._numbers = count()
        self._place = {"item_id": self._item_id, "output_index": 0, "content_index": 0}
        self._start = {
            "id": self.answer_id, "object": "response", "created_at": int(time.time()), "model": model, "error": None,
            "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": False,
            "tool_choice": "none", "tools": [], "temperature": None, "top_p": None, "store": False,
        }  # fmt: skip

    def whole(self, reply: Reply) -> dict[str, Any]:
        prompt, completion = counts(reply)
        usage = {
            "input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        }  # fmt: skip
        cut = reply.details["finish_reason"] == "length"
        return {
            **self._start, "status": "incomplete" if cut else "completed", "output": [text_item(self._item_id, reply.text)],
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None, "usage": usage,
            **beside(reply, self._identity),
        }  # fmt: skip

    def begin(self) -> Iterator[str]:
        begun = {**self._start, "status": "in_progress", "output": [], "usage": None}
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)
        item = {**text_item(self._item_id, ""), "status": "in_progress", "content": []}
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._event("response.content_part.added", **self._place, part=_part(""))

    def piece(self, text: str) -> str:
        return self._event("response.output_text.delta", **self._place, delta=text, logprobs=[])

    def end(self, reply: Reply) -> Iterator[str]:
        whole = self.whole(reply)
        yield self._event("response.output_text.done", **self._place, text=reply.text, logprobs=[])
        yield self._event("response.content_part.done", **self._place, part=_part(reply.text))
        yield self._event("response.output_item.done", output_index=0, item=whole["output"][0])
        yield self._event(f"response.{whole['status']}", response=whole)

    def broken(self, refusal: Refusal) -> str:
        error = {"code": "server_error", "message": refusal.message}
        return self._event("response.failed", response={**self._start, "status": "failed", "output": [], "error": error})

    def _event(self, kind: str, **fields: Any) -> str:
        return event({"type": kind, "sequence_number": next(self._numbers), **fields}, kind)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}
