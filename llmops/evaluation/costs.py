"""What answers cost, from prices that someone states: of tokens at a server, or of a machine's hours and its throughput."""

from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from llmops.errors import ConfigError


@dataclass(frozen=True)
class Prices:
    """Prices in one currency: of a million tokens read and written at a server, and of an hour of a machine of one's own.

    What training cost is spread over `training_answers`.
    """

    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    machine_hour: float = 0.0
    training_answers: float = 100_000.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ConfigError(f"prices: {field.name} is {value!r}, expected a number of 0 or more.")
        if not self.training_answers:
            raise ConfigError("prices: training_answers is 0, expected the number of answers that training is spread over.")

    def of_server(self, prompt_tokens: float, completion_tokens: float) -> float:
        """The cost of 1,000 answers of so many tokens each, on average."""
        return (prompt_tokens * self.prompt_tokens + completion_tokens * self.completion_tokens) / 1e6 * 1000

    def of_machine(self, seconds: float, training_s: float = 0.0) -> float:
        """The cost of 1,000 answers that take so many seconds each in bulk, with their share of so long a training."""
        hours = seconds * 1000 / 3600 + training_s / 3600 * 1000 / self.training_answers
        return hours * self.machine_hour


def read_prices(path: Path) -> Prices:
    """Read prices from a YAML file with some of the fields of `Prices`.

    Raises:
        ConfigError: it can't be read, a field is unknown, or a price is no number of 0 or more.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"prices {str(path)!r} can't be read: {' '.join(str(error).split())}") from error
    known = [field.name for field in fields(Prices)]
    if not isinstance(data, dict) or not data or not set(data) <= set(known):
        found = ", ".join(map(str, data)) if isinstance(data, dict) else data
        raise ConfigError(f"{path.name} holds {found}, expected some of {', '.join(known)}.")
    return Prices(**data)
