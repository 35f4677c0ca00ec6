"""How servers may be asked from this machine: its environment says so, for a release is the same wherever it runs."""

import os
from dataclasses import dataclass, fields

from llmops.errors import ConfigError

PREFIX = "LLMOPS_SERVER_"


@dataclass(frozen=True)
class Limits:
    """For each server: requests under way at once, seconds for a try, further tries, and requests a minute if so limited."""

    concurrency: int = 8
    timeout_s: float = 60.0
    retries: int = 5
    requests_per_minute: float | None = None


def read_limits() -> Limits:
    """The limits, each from the variable LLMOPS_SERVER_<NAME> where it is set.

    Raises:
        ConfigError: one is no number.
    """
    given = {field.name: os.environ.get(f"{PREFIX}{field.name.upper()}", "").strip() for field in fields(Limits)}
    kinds = {"concurrency": int, "retries": int}
    try:
        return Limits(**{name: kinds.get(name, float)(value) for name, value in given.items() if value})  # type: ignore[arg-type]
    except ValueError as error:
        found = ", ".join(f"{PREFIX}{name.upper()}={value}" for name, value in given.items() if value)
        raise ConfigError(f"{found}: expected numbers, concurrency and retries whole ones.") from error
