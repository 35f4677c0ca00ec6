"""The policy: what a release must show before it holds an alias. A YAML file, reviewed like code (docs/promotion.md)."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from llmops import digests
from llmops.datasets.questions import ORIGINS
from llmops.errors import ConfigError
from llmops.evaluation.kpis import FIGURES, JUDGED, KPIS
from llmops.evaluation.scorecard import ABSTAINER
from llmops.evaluation.statistics import CONFIDENCE
from llmops.registry.decision.keys import load_public_key
from llmops.registry.lines import Place, find_line, read_marked

DECIDING = (*(kpi.name for kpi in KPIS.values() if kpi.decides), *(one.name for one in FIGURES.values() if one.decides))
FAILURES = "safety/failures"  # cases of the safety pack that failed, a count
_SHOWN = 3  # mistakes named in one message


def _known(name: str, *more: str) -> str:
    """Check that something of this name may decide."""
    known = (*DECIDING, *more)
    if name in known or (name.startswith(JUDGED) and name != JUDGED):
        return name
    if name in {*KPIS, *FIGURES}:
        raise ValueError(f"{name} is shown but decides nothing. Known: {', '.join(known)}, {JUDGED}<rubric>")
    raise ValueError(f"unknown KPI {name!r}{_meant(name, (*known, f'{JUDGED}<rubric>'))}")


def _with_interval(name: str) -> str:
    if name in FIGURES:
        raise ValueError(f"{name} has no value per question, so no interval; win by another, and hold it with a margin")
    return name


def _meant(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}" if near else f". Known: {', '.join(known)}"


def _user(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):  # it is part of a tag's name
        raise ValueError(f"user {name!r:.40} has other than letters, digits, '.', '_' and '-'")
    return name


Comparable = Annotated[str, AfterValidator(_known)]
Winnable = Annotated[str, AfterValidator(_known), AfterValidator(_with_interval)]
Limitable = Annotated[str, AfterValidator(lambda name: _known(name, FAILURES))]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
User = Annotated[str, AfterValidator(_user)]


class Part(BaseModel):
    """A mapping of the file: values have the type that is asked for, and unknown keys are refused by name."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, data: Any) -> Any:
        known = tuple(cls.model_fields)
        for key in data if isinstance(data, dict) else ():
            if key not in known:
                said = f"unknown key {key!r}{_meant(key, known)}"
                raise PydanticCustomError("unknown_key", "{said}", {"said": said, "key": key})
        return data


class Win(Part):
    """A KPI on which the challenger must be better by more than `by`."""

    kpi: Winnable
    by: NotNegative


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _once(wins: list[Win]) -> list[Win]:
    if len({win.kpi for win in wins}) < len(wins):
        raise ValueError("a KPI stands twice among those that must win")
    return wins


Wins = Annotated[list[Win], BeforeValidator(_listed), AfterValidator(_once)]


class Limit(Part):
    """A floor or a ceiling, kept by the bound of the interval on the bad side, or by the mean alone."""

    min: float | None = None
    max: float | None = None
    by: Literal["bound", "mean"] = "bound"

    @model_validator(mode="after")
    def _some(self) -> "Limit":
        if (self.min is None) == (self.max is None):
            raise ValueError("a limit has either min or max")
        return self


class Origin(Part):
    """How many of the questions must be of an origin: a share of all, a count, or both."""

    share: Share = 0.0
    count: Annotated[int, Field(ge=0)] = 0


class Engine(Part):
    """What will serve. An answer of another engine counts with a parity certificate of at least these figures."""

    name: str
    dtype: str | None = None
    equal: Share = 0.8
    f1: Share = 0.9


class Evidence(Part):
    """What the evaluation must be of."""

    questions: Annotated[int, Field(ge=1)] | None = None
    origins: dict[Literal[ORIGINS], Origin] = {}  # type: ignore[valid-type]
    engine: Engine | None = None


class Approvals(Part):
    """How many of the named users must approve. Those with a key in `signed` must sign."""

    count: Annotated[int, Field(ge=1)]
    users: list[User] = []
    signed: dict[User, str] = {}

    @property
    def named(self) -> list[str]:
        return list(dict.fromkeys([*self.users, *self.signed]))

    @model_validator(mode="after")
    def _enough(self) -> "Approvals":
        if len(self.named) < self.count:
            raise ValueError(f"{self.count} approvals are asked for and {len(self.named)} users named. Name more")
        if len(set(self.signed.values())) < len(self.signed):
            raise ValueError("two users sign with one key. Give each a key of their own")
        return self


class First(Part):
    """The rule where there is no champion: what must be beaten, and on which KPIs where these aren't the policy's."""

    beat: Annotated[list[str], Field(min_length=1)] = [ABSTAINER, "prompt"]
    win: Wins = []


Certificate = Literal["reload", "parity", "servability", "judge"]


class Policy(Part):
    """Read from a file by `read_policy`. `digest` is the sha256 of the file."""

    win: Annotated[Wins, Field(min_length=1)]
    confidence: Annotated[float, Field(ge=0.5, le=0.995)] = CONFIDENCE
    margins: dict[Comparable, NotNegative] = {}
    limits: dict[Limitable, Limit] = {}
    certificates: list[Certificate] = []
    evidence: Evidence = Evidence()
    approvals: Approvals | None = None
    first: First = First()
    _digest: str = PrivateAttr("")

    @property
    def digest(self) -> str:
        return self._digest

    @model_validator(mode="after")
    def _named_engine(self) -> "Policy":
        if "parity" in self.certificates and self.evidence.engine is None:
            raise ValueError("certificates asks for parity: name the engine that will serve, under evidence")
        return self


def read_policy(path: Path) -> Policy:
    """Read and check a policy. A section without a value counts as left out.

    Raises:
        ConfigError: the file is missing or no YAML, or a key or value in it is unknown or makes no sense; with its line.
    """
    data, lines = read_marked(path, "policy")
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path.name}:1: the policy holds {data!r:.40}, expected keys such as win. See policies/default.yaml."
        )
    try:
        given = {key: part for key, part in data.items() if part is not None}
        policy = Policy.model_validate(_with_keys(path, given, lines))
    except ValidationError as error:
        raise ConfigError(_explain(path, error, lines)) from error
    policy._digest = digests.of_file(path)
    return policy


def _with_keys(path: Path, data: dict[str, Any], lines: dict[Place, int]) -> dict[str, Any]:
    """The data with approvers' public keys in place of the files that hold them."""
    approvals = data.get("approvals")
    if not isinstance(approvals, dict) or not isinstance(signed := approvals.get("signed"), dict):
        return data
    keys = dict(signed)
    for user, key in signed.items():
        try:
            keys[user] = load_public_key(key, path.parent, user) if isinstance(key, str) else key
        except ConfigError as error:
            raise ConfigError(f"{path.name}:{find_line(lines, ('approvals', 'signed', user))}: {error}") from error
    return {**data, "approvals": {**approvals, "signed": keys}}


def _explain(path: Path, error: ValidationError, lines: dict[Place, int]) -> str:
    found = []
    for one in error.errors(include_url=False):
        place = tuple(part for part in one["loc"] if part != "[key]")
        key = one.get("ctx", {}).get("key")
        line = find_line(lines, (*place, key) if key else place)
        where = ".".join(str(part) for part in place if isinstance(part, str)) or "the policy"
        said = one["msg"].removeprefix("Value error, ")
        given = "" if one["type"] in ("missing", "value_error", "unknown_key") else f", found {one['input']!r:.40}"
        found.append((line, f"{path.name}:{line}: {where}: {said[0].lower()}{said[1:]}{given}"))
    shown = list(dict.fromkeys(text for _, text in sorted(found)))
    more = f" ({len(shown) - _SHOWN} more)" if len(shown) > _SHOWN else ""
    return "; ".join(shown[:_SHOWN]) + f"{more}."
