"""What callers send: OpenAI's chat completions and responses, MLflow's invocations, feedback. Unknown fields are left out.

Sampling settings are pinned by the release, so not read. A bound on tokens holds where it is below the release's own.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from llmops.serving.gateway.refusal import Refusal
from llmops.serving.gateway.settings import Settings
from llmops.types import Message, Query

_TEXTS = ("text", "input_text", "output_text", "refusal")
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
Name = Annotated[str, Field(max_length=256)]  # a text with a bound may hold no half characters
Value = Annotated[str, Field(max_length=512)]  # as OpenAI has it
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Part(BaseModel):
    """A part of a message. Texts alone are read."""

    type: str
    text: str | None = None
    refusal: str | None = None


class Turn(BaseModel):
    """A message: its content is a text, parts, or nothing."""

    role: Role
    content: str | list[Part] | None = None


class Item(BaseModel):
    """An item of a Responses request: a message, or a call of a tool, which says nothing to a release."""

    type: str = "message"
    role: Role | None = None
    content: str | list[Part] | None = None


class StreamOptions(BaseModel):
    include_usage: bool | None = None


class Metadata(BaseModel):
    """What a caller keeps beside a request; the conversation that it goes on with is read."""

    session: Value | int | float | None = None
    session_id: Value | int | float | None = None


class _Request(BaseModel):
    stream: bool | None = None
    user: Name | None = None
    safety_identifier: Name | None = None
    metadata: Metadata | None = None

    def caller(self) -> str:
        return self.safety_identifier or self.user or ""

    def session(self) -> str:
        """The conversation that the request goes on with, as the caller names it."""
        told = self.metadata or Metadata()
        return str(told.session or told.session_id or "")[:256]


class ChatRequest(_Request):
    """`POST /v1/chat/completions`. The last user message is the question, the turns before it are the conversation."""

    model: Name
    messages: list[Turn] = Field(min_length=1)
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    seed: Seed | None = None

    def turns(self) -> list[Message]:
        return [Message(turn.role, read_text(turn.content)) for turn in self.messages]

    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class ResponsesRequest(_Request):
    """`POST /v1/responses`. Nothing is stored: a conversation is sent whole."""

    model: Name
    input: str | list[Item]
    instructions: str | None = None
    max_output_tokens: Tokens | None = None
    previous_response_id: str | None = None
    seed: Seed | None = None

    def turns(self) -> list[Message]:
        if self.previous_response_id is not None:
            raise Refusal(
                400, "responses aren't stored here. Send the whole conversation as input.", None, "previous_response_id"
            )
        return _turns([Item(role="user", content=self.input)] if isinstance(self.input, str) else self.input)

    def most_tokens(self) -> int | None:
        return self.max_output_tokens


class Context(BaseModel):
    conversation_id: Name | None = None
    user_id: Name | None = None


class CustomInputs(BaseModel):
    seed: Seed | None = None


class InvocationsRequest(_Request):
    """`POST /invocations`, as MLflow asks a ResponsesAgent. Without a `model` the deployment's usual one answers."""

    input: list[Item]
    model: Name | None = None
    context: Context | None = None
    custom_inputs: CustomInputs | None = None
    max_output_tokens: Tokens | None = None

    @property
    def seed(self) -> int | None:
        return self.custom_inputs.seed if self.custom_inputs else None

    def turns(self) -> list[Message]:
        return _turns(self.input)

    def most_tokens(self) -> int | None:
        return self.max_output_tokens

    def caller(self) -> str:
        return (self.context and self.context.user_id) or super().caller()

    def session(self) -> str:
        return (self.context and self.context.conversation_id) or super().session()


class FeedbackRequest(BaseModel):
    """`POST /v1/feedback`: what a person says of an answer. `id` is the answer's, or its trace's."""

    id: Annotated[str, Field(pattern=r"^([a-z]+[-_][0-9a-f]{32})$")]
    value: bool | Finite | Annotated[str, Field(max_length=1000)] | None = None
    thumb: Literal["up", "down"] | None = None
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_. -]{0,63}$")] = "right"
    comment: Annotated[str, Field(max_length=10_000)] | None = None
    expected: Annotated[str, Field(max_length=10_000)] | None = None
    user: Name | None = None


AnyRequest = ChatRequest | ResponsesRequest | InvocationsRequest


def read_query(request: AnyRequest, settings: Settings) -> Query:
    """The last user message, and the conversation before it.

    Raises:
        Refusal: there is none, or there is too much.
    """
    turns = request.turns()
    characters = sum(len(turn.content) for turn in turns)
    for found, most, what in (
        (len(turns), settings.max_messages, "messages"), (characters, settings.max_characters, "characters")
    ):  # fmt: skip
        if found > most:
            raise Refusal(413, f"the request has {found} {what}, expected at most {most}. Send fewer.", "request_too_large")
    while turns and turns[-1].role != "user":
        turns.pop()
    if not turns or not turns[-1].content.strip():
        raise Refusal(400, "messages hold no user message with text.", "no_question", "messages")
    return Query(turns[-1].content, tuple(turns[:-1]))


def read_text(content: str | Sequence[Part] | None) -> str:
    """The text of a message.

    Raises:
        Refusal: a part is something else, such as a picture.
    """
    if not isinstance(content, list | tuple):
        return str(content or "")
    other = next((part.type for part in content if part.type not in _TEXTS), None)
    if other is not None:
        raise Refusal(422, f"a message has a part of type {other[:40]!r}. Only texts are read here.", "unsupported_content")
    return " ".join(part.text or part.refusal or "" for part in content)


def _turns(items: Sequence[Item]) -> list[Message]:
    """Messages; calls of tools and their results are none."""
    return [
        Message(item.role, read_text(item.content)) for item in items if item.type == "message" and item.role is not None
    ]
