"""Prompts around the answer's own: a question made to stand alone, taken apart for retrieval, and its answer checked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from llmops.chains.parts import ChainPrompt
from llmops.chains.prompt import NO_CONTEXT
from llmops.chains.template import check_template
from llmops.errors import ConfigError, WindowError
from llmops.models.engine import Engine, TokenCounter
from llmops.types import Completion, GenerationRequest, Message, Spans

PROMPTS = {"rewrite": ("conversation", "question"), "decompose": ("question",), "check": ("context", "question", "answer")}
"""The prompts of a chain, in the order in which they are asked, and their placeholders. The answer comes before `check`."""

MOST_PARTS = 4  # questions that one is taken apart into
_MOST_TOKENS = {"rewrite": 64, "decompose": 128, "check": 4}
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.):])\s*")


def read_chain(path: Path) -> dict[str, str]:
    """Read the templates of a chain from a YAML file, by name.

    Raises:
        ConfigError: the file is missing or no YAML, a name is unknown, or a template has other placeholders.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"chain {str(path)!r} can't be read: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict) or not data or not all(isinstance(text, str) for text in data.values()):
        raise ConfigError(f"{path.name} holds {data!r:.80}, expected prompts by name: {', '.join(PROMPTS)}.")
    return {str(name): _checked(str(name), text) for name, text in data.items()}


def check_chain(prompts: Sequence[ChainPrompt], retrieves: bool) -> None:
    """Check what a release is to ask.

    Raises:
        ConfigError: a name is unknown or comes twice, a template has other placeholders, or there is nothing to
            retrieve with parts of a question.
    """
    for prompt in prompts:
        _checked(prompt.name, prompt.template)
    names = [prompt.name for prompt in prompts]
    if len(set(names)) < len(names):
        raise ConfigError(f"the chain has {', '.join(names)}, expected each prompt once.")
    if "decompose" in names and not retrieves:
        raise ConfigError("the chain takes questions apart, and the release retrieves nothing. Leave decompose out.")


def _checked(name: str, template: str) -> str:
    if name not in PROMPTS:
        raise ConfigError(f"the chain has a prompt {name!r}, expected some of {', '.join(PROMPTS)}.")
    return check_template(template, PROMPTS[name], f"the chain's prompt {name!r}")


@dataclass(frozen=True)
class Said:
    """What became of a text, and what the model was asked for it."""

    text: str
    completion: Completion


class Chain:
    """Asks a chain's prompts of the base, whatever adapter answers: it was not trained for them."""

    def __init__(self, prompts: Sequence[ChainPrompt], engine: Engine, counter: TokenCounter) -> None:
        self._templates = {prompt.name: prompt.template for prompt in prompts}
        self._engine, self._counter = engine, counter

    def __contains__(self, name: str) -> bool:
        return name in self._templates

    def rewrite(self, asked: Sequence[tuple[str, Sequence[Message]]], spans: Spans) -> list[Said]:
        """Questions made to stand without their conversations; as they were where the model makes nothing of them."""
        requests = [self.to_rewrite(question, history) for question, history in asked]
        said = self._ask("rewrite", requests, spans)
        return [Said(_one_line(one) or question, one) for one, (question, _) in zip(said, asked, strict=True)]

    def decompose(self, questions: Sequence[str], spans: Spans) -> list[tuple[list[str], Completion]]:
        """Each question, and after it those that it was taken apart into."""
        said = self._ask("decompose", [self._request("decompose", question=question) for question in questions], spans)
        return [(_parts(question, one), one) for question, one in zip(questions, said, strict=True)]

    def check(self, asked: Sequence[tuple[str, Sequence[str], str]], spans: Spans) -> list[tuple[bool, Completion]]:
        """Whether the passages support each answer; the model says "no" where they don't."""
        requests = [self.to_check(question, passages, answer) for question, passages, answer in asked]
        said = self._ask("check", requests, spans)
        return [(not re.match(r"\W*no\b", one.text, re.IGNORECASE), one) for one in said]

    def to_rewrite(self, question: str, history: Sequence[Message]) -> GenerationRequest:
        conversation = "\n".join(f"{message.role.capitalize()}: {message.content}" for message in history)
        return self._request("rewrite", conversation=conversation, question=question)

    def to_check(self, question: str, passages: Sequence[str], answer: str) -> GenerationRequest:
        context = "\n\n".join(passages) or NO_CONTEXT
        return self._request("check", context=context, question=question, answer=answer)

    def _request(self, name: str, **values: str) -> GenerationRequest:
        filled = self._templates[name].format(**{key: self._counter.defuse(value) for key, value in values.items()})
        return GenerationRequest((Message("user", filled),), _MOST_TOKENS[name])

    def _ask(self, name: str, requests: Sequence[GenerationRequest], spans: Spans) -> list[Completion]:
        if not all(self._counter.fits(one.messages, one.max_new_tokens) for one in requests):
            raise WindowError(f"a question doesn't fit the model's window with the chain's prompt {name!r}. Ask shorter.")
        with spans(name, "CHAIN") as span:
            said = self._engine.generate(requests)
            if len(said) == 1:
                span.record(inputs=requests[0].messages[0].content, outputs=said[0].text)
            span.record(requests=len(requests), engine=self._engine.identity)
        return said


def _one_line(said: Completion) -> str:
    """The first line, without quotes around it; nothing of one that was cut off."""
    line = next((line.strip() for line in said.text.splitlines() if line.strip()), "")
    cut_off = said.finish_reason == "length" and line == said.text.strip()
    return "" if cut_off else line.strip("\"'“”")


def _parts(question: str, said: Completion) -> list[str]:
    lines = said.text.splitlines()
    if said.finish_reason == "length":
        lines = lines[:-1]  # the last one was cut off
    parts = [_BULLET.sub("", line).strip() for line in lines]
    return list(dict.fromkeys([question, *(part for part in parts if part)]))[: MOST_PARTS + 1]
