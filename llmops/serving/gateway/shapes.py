"""How an answer is told: what the shapes of OpenAI's and MLflow's APIs have in common."""

import json
import uuid
from collections.abc import Iterator
from typing import Any, Protocol

from llmops.serving.gateway.refusal import Refusal
from llmops.serving.roster import Identity, Reply


class Shape(Protocol):
    """One answer as an API tells it: as a whole, or as server-sent events."""

    answer_id: str

    def whole(self, reply: Reply) -> dict[str, Any]: ...

    def begin(self) -> Iterator[str]: ...

    def piece(self, text: str) -> str: ...

    def end(self, reply: Reply) -> Iterator[str]: ...

    def broken(self, refusal: Refusal) -> str:
        """The last event of a stream that broke off."""


def new_id(kind: str) -> str:
    return f"{kind}{uuid.uuid4().hex}"


def event(data: dict[str, Any], kind: str = "") -> str:
    """A server-sent event."""
    named = f"event: {kind}\n" if kind else ""
    return f"{named}data: {json.dumps(data)}\n\n"


DONE = "data: [DONE]\n\n"


def beside(reply: Reply, identity: Identity) -> dict[str, Any]:
    """What answers carry beside the fields of an API: their sources, and the release that made them."""
    return {"sources": reply.details["sources"], "release": release(identity)}


def release(identity: Identity) -> dict[str, str]:
    return {"uri": identity.uri, "digest": identity.digest}


def counts(reply: Reply) -> tuple[int, int]:
    """Tokens of the prompt and of the answer."""
    return int(reply.details["prompt_tokens"]), int(reply.details["completion_tokens"])


def text_item(answer_id: str, text: str) -> dict[str, Any]:
    """A message of the Responses API."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": answer_id, "type": "message", "role": "assistant", "status": "completed", "content": content}
