"""What a release's guards do, as data that it pins."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any

from llmops import digests
from llmops.errors import ConfigError

ACTIONS = ("block", "redact", "flag", "off")
GUARDS = (
    "too_long", "injection", "question_personal_data", "passage_injection", "unsupported", "answer_personal_data",
    "answer_secrets", "leaked_prompt",
)  # fmt: skip


@dataclass(frozen=True)
class GuardSettings:
    """What each guard does ("block", "redact", "flag" or "off"), and the limits it goes by.

    Defaults: what would turn the bot against its owner is blocked, what can be cut out without harm to the rest is cut out,
    and what may well be right (a user's own e-mail address, a sentence in other words than the passages') is only flagged.
    """

    injection: str = "block"  # the question gives the bot orders
    injection_classifier: str = ""  # name of a text classification model; "" is none
    injection_classifier_digest: str = ""  # of its weights, which a release pins; "" is whatever has the name
    injection_threshold: float = 0.9  # classifier scores from here on are injections
    too_long: str = "block"
    max_question_chars: int = 4000
    question_personal_data: str = "flag"
    passage_injection: str = "redact"  # a passage gives the bot orders
    unsupported: str = "flag"  # a sentence of the answer that no passage supports
    min_support: float = 0.5  # share of a sentence's content words that passages must hold
    answer_personal_data: str = "redact"
    answer_secrets: str = "redact"
    leaked_prompt: str = "block"
    leaked_words: int = 12  # as many of the prompt's words in a row are a leak
    canary: str = ""  # a word planted in the prompt that no answer may hold
    personal_data_finder: str = "patterns"  # or "presidio", "presidio:<name of a spaCy model>"

    def __post_init__(self) -> None:
        for field in fields(self):
            value: Any = getattr(self, field.name)
            usual: Any = field.default
            if type(value) is not type(usual) and not (isinstance(usual, float) and type(value) is int):
                raise ConfigError(f"{field.name} is {value!r}, expected a {type(usual).__name__} such as {usual!r}.")
            if isinstance(usual, float):
                object.__setattr__(self, field.name, float(value))  # 1 and 1.0 have one digest
        for name in GUARDS:
            if getattr(self, name) not in ACTIONS:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(ACTIONS)}.")
        self._check_limits()

    def _check_limits(self) -> None:
        for name, least in (("max_question_chars", 1), ("leaked_words", 5)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected {least} or more.")
        for name in ("injection_threshold", "min_support"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a number in [0, 1].")
        if len(self.canary.split()) > 1 or 0 < len(self.canary) < 8:
            raise ConfigError(f"canary is {self.canary!r}, expected one word of 8 characters or more, or none.")
        finder, _, model = self.personal_data_finder.partition(":")
        if finder not in ("patterns", "presidio") or (finder == "patterns" and model):
            raise ConfigError(f"personal_data_finder is {self.personal_data_finder!r}, expected 'patterns' or 'presidio'.")

    @property
    def digest(self) -> str:
        return digests.of_data(asdict(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "GuardSettings":
        """Read what `dataclasses.asdict` makes of settings; what is left out has its default.

        Raises:
            ConfigError: a name is unknown, or a value makes no sense.
        """
        known = [field.name for field in fields(cls)]
        for name in data:
            if name not in known:
                near = get_close_matches(str(name), known, n=1)
                raise ConfigError(f"unknown guard setting {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return cls(**data)
