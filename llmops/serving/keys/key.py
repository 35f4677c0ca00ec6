"""One API key: who may ask, and what.

A key is 256 random bits, so that one round of SHA-256 is enough: nobody can try them all, unlike passwords, for which slow
hashes are made.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from llmops.errors import ConfigError


@dataclass(frozen=True)
class Key:
    """Who may ask, and what: None for `applications` is all of them, for `groups` whatever the release shows.

    `requests_per_minute` and `tokens_per_minute` are rates that hold for all workers together; None is no bound.
    `created` and `expires` are times in UTC, as ISO 8601 has them.
    """

    key_id: str
    name: str
    digest: str
    created: str
    expires: str | None = None
    applications: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        if self.expires is not None:
            _time(self.expires)
        for name in ("requests_per_minute", "tokens_per_minute"):
            if (rate := getattr(self, name)) is not None and rate < 1:
                raise ConfigError(f"{name} is {rate}, expected 1 or more. Leave it out for no bound.")

    def may_ask(self, application: str) -> bool:
        return self.applications is None or application in self.applications

    def is_valid(self, now: datetime) -> bool:
        return self.expires is None or now < _time(self.expires)


ANYONE = Key("", "anonymous", "", "")  # where there are no keys, which is on loopback only


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"expires is {text!r}, expected a date or time such as 2027-01-31 or 2027-01-31T12:00Z."
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)
