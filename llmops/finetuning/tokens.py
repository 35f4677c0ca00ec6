"""Conversations and preferences as token ids, rendered exactly as an engine asks, with labels on the answers only."""

import re
from collections.abc import Sequence
from typing import Any, TypedDict, final

from llmops.errors import DataError
from llmops.types import Conversation, Message, Preference

IGNORED = -100  # a label that no loss counts
_MARK = re.compile(r"<\|[^<>|\s]+\|>|<(?:start|end)_of_turn>|</?s>|\[/?INST\]")  # what templates delimit turns with
_CHAT = (Message("system", "Be brief."), Message("user", "How long is leave?"), Message("assistant", "Thirty days."))


@final
class Row(TypedDict):
    """Token ids of one example, and the same ids as labels where the model shall learn them; elsewhere -100."""

    input_ids: list[int]
    labels: list[int]


@final
class Pair(TypedDict):
    """Token ids of a prompt and of two answers to it, each with its end of turn. Named as TRL names them."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


def count_tokens(example: Row | Pair) -> int:
    """The tokens a model reads of an example: of a pair, the prompt twice."""
    if "prompt_ids" in example:
        return 2 * len(example["prompt_ids"]) + len(example["chosen_ids"]) + len(example["rejected_ids"])
    return len(example["input_ids"])


def longest(example: Row | Pair) -> int:
    """The tokens of the longest sequence that a model reads of an example."""
    if "prompt_ids" in example:
        return len(example["prompt_ids"]) + max(len(example["chosen_ids"]), len(example["rejected_ids"]))
    return len(example["input_ids"])


def as_row(example: Row | Pair) -> Row:
    """An example as a conversation: of a pair, the prompt with the better answer."""
    if "prompt_ids" not in example:
        return example
    ids = [*example["prompt_ids"], *example["chosen_ids"]]
    return Row(input_ids=ids, labels=[*[IGNORED] * len(example["prompt_ids"]), *example["chosen_ids"]])


def row_of(input_ids: Sequence[int], learned: Sequence[int]) -> Row:
    """Token ids of which those at the positions `learned` are labelled."""
    labels = [IGNORED] * len(input_ids)
    for place in learned:
        labels[place] = input_ids[place]
    return Row(input_ids=list(input_ids), labels=labels)


def conversation_row(conversation: Conversation, tokenizer: Any) -> Row:
    """Tokenise a conversation; the assistant's turns and the tokens that end them are labelled.

    Prompt and answer are tokenised apart, for so an engine meets them.

    Raises:
        DataError: the template can't render it so that each answer continues its prompt, or it spells a special token.
    """
    ids: list[int] = []
    labels: list[int] = []
    rendered = ""
    messages = conversation.messages
    for i, message in enumerate(messages):
        if message.role != "assistant":
            continue
        asked = _render(messages[:i], tokenizer, prompting=True)
        whole = _render(messages[: i + 1], tokenizer, prompting=False).rstrip()
        if not (asked.startswith(rendered) and whole.startswith(asked)):
            raise DataError("the base's chat template doesn't continue the prompt with the answer. Use another base.")
        prompt_ids, answer_ids = _ids(asked[len(rendered) :], tokenizer), _ids(whole[len(asked) :], tokenizer)
        ids += [*prompt_ids, *answer_ids]
        labels += [*[IGNORED] * len(prompt_ids), *answer_ids]
        rendered = whole
    return Row(input_ids=ids, labels=labels)


def preference_pair(preference: Preference, tokenizer: Any) -> Pair:
    """Tokenise a preference.

    Raises:
        DataError: as `conversation_row`.
    """
    rows = [
        conversation_row(Conversation((*preference.prompt, Message("assistant", answer))), tokenizer)
        for answer in (preference.chosen, preference.rejected)
    ]
    starts = [_last_answer(row["labels"]) for row in rows]
    chosen, rejected = (row["input_ids"][start:] for row, start in zip(rows, starts, strict=True))
    return Pair(prompt_ids=rows[0]["input_ids"][: starts[0]], chosen_ids=chosen, rejected_ids=rejected)


def describe_template(tokenizer: Any) -> str:
    """Whether the marks that the chat template writes are single tokens, in words; others are read as text."""
    try:
        text = _render(_CHAT, tokenizer, prompting=False)
    except DataError:  # a template that takes no system message
        text = _render(_CHAT[1:], tokenizer, prompting=False)
    marks = dict.fromkeys(_MARK.findall(text))
    spelt = [mark for mark in marks if len(_ids(mark, tokenizer)) != 1]
    if spelt:
        return f"{', '.join(spelt)}: no tokens of their own in this base, but spelt as text"
    return f"special tokens known: {', '.join(marks) or 'none'}"


def _last_answer(labels: Sequence[int]) -> int:
    """Where the labels' last run without gaps begins."""
    start = len(labels)
    while start > 0 and labels[start - 1] != IGNORED:
        start -= 1
    return start


def _render(messages: Sequence[Message], tokenizer: Any, prompting: bool) -> str:
    from jinja2 import TemplateError

    for message in messages:
        spelt = next((token for token in tokenizer.all_special_tokens if token in message.content), None)
        if spelt is not None:
            raise DataError(f"a message spells the special token {spelt}. Remove it from the text.")
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return str(tokenizer.apply_chat_template(turns, add_generation_prompt=prompting, tokenize=False))
    except TemplateError as error:
        raise DataError(f"the base's chat template refuses the conversation ({error}).") from error


def _ids(text: str, tokenizer: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
