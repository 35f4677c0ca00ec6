"""Bounds of a gateway, per worker unless they say otherwise."""

from dataclasses import dataclass, field

from llmops.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """How much a gateway takes on, and how long it waits.

    `max_in_flight` requests are answered at once, `max_waiting` more wait; each takes `timeout_s` at most, waiting
    included. A body of at most `max_body` bytes must arrive within `body_timeout_s`. `trace_rate` is the share of answers
    that are traced, `trace_queue` how many may wait to be written. `webhook_secret` signs what MLflow's server posts; an
    empty one refuses all of it.

    Raises:
        ConfigError: a value makes no sense.
    """

    max_in_flight: int = 32
    max_waiting: int = 64
    timeout_s: float = 120.0
    max_body: int = 1_000_000
    body_timeout_s: float = 20.0
    max_messages: int = 200
    max_characters: int = 200_000
    trace_rate: float = 1.0
    trace_queue: int = 1000
    webhook_secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in ("max_in_flight", "timeout_s", "max_body", "body_timeout_s", "max_messages", "max_characters"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0.")
        if self.max_waiting < 0 or self.trace_queue < 1:
            raise ConfigError(
                f"max_waiting is {self.max_waiting} and trace_queue {self.trace_queue}, expected 0 and 1 or more."
            )
        if not 0 <= self.trace_rate <= 1:
            raise ConfigError(f"trace_rate is {self.trace_rate}, expected a share from 0 to 1.")
