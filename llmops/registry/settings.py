"""Which seat a step decides about or shows, as a user says it."""

from dataclasses import dataclass
from pathlib import Path

from llmops import step
from llmops.errors import ConfigError
from llmops.registry.environments import Environment, find_environment
from llmops.registry.seat import CHAMPION, Seat


@dataclass(frozen=True)
class SeatSettings:
    """An alias of the application's registered model, or an environment of a file."""

    app: str = step.setting("application", "handbook")
    alias: str = step.setting("alias of the application's model that is decided about", CHAMPION)
    environment: str = step.setting("environment in its place, of the file environments; empty means none", "")
    environments: str = step.setting("YAML file of environments", "examples/environments.yaml")

    def __post_init__(self) -> None:
        if self.environment and self.alias != CHAMPION:
            raise ConfigError(f"environment {self.environment!r} has an alias of its own: leave out alias={self.alias}.")

    def found_environment(self) -> Environment:
        """The environment; without one that of the alias, which asks for nothing.

        Raises:
            ConfigError: the file has none of this name, or makes no sense.
        """
        return find_environment(self.environment, self._file()) if self.environment else Environment("", alias=self.alias)

    def seat(self) -> Seat:
        return self.found_environment().seat(self.app)

    def source_seat(self) -> Seat | None:
        """The seat that a release must hold before it may come to this one; None where it needn't."""
        source = self.found_environment().source
        return find_environment(source, self._file()).seat(self.app) if source else None

    def _file(self) -> Path:
        return step.existing_file(self.environments, "environments file")
