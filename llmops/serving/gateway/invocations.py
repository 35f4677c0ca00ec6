"""Answers as MLflow's server tells those of a ResponsesAgent; in a stream, which it has not, as `predict_stream` does."""

from collections.abc import Iterator
from typing import Any

from llmops.serving.gateway.refusal import Refusal
from llmops.serving.gateway.shapes import DONE, event, new_id, release, text_item
from llmops.serving.roster import Identity, Reply


class InvocationsShape:
    """`custom_outputs` carries the sources and the release."""

    def __init__(self, model: str, identity: Identity) -> None:
        self.answer_id, self._identity = new_id("resp_"), identity

    def whole(self, reply: Reply) -> dict[str, Any]:
        return {
            "id": self.answer_id, "object": "response", "output": [text_item(self.answer_id, reply.text)],
            "custom_outputs": self._outputs(reply),
        }  # fmt: skip

    def begin(self) -> Iterator[str]:
        yield from ()

    def piece(self, text: str) -> str:
        return event({"type": "response.output_text.delta", "item_id": self.answer_id, "delta": text})

    def end(self, reply: Reply) -> Iterator[str]:
        item = text_item(self.answer_id, reply.text)
        yield event({"type": "response.output_item.done", "item": item, "custom_outputs": self._outputs(reply)})
        yield DONE

    def broken(self, refusal: Refusal) -> str:
        return event({"type": "error", **refusal.envelope})

    def _outputs(self, reply: Reply) -> dict[str, Any]:
        return {**reply.details, "release": release(self._identity)}
