"""The seat: an alias of a registered model, which one release holds at a time."""

import re
from dataclasses import dataclass

from llmops.errors import ConfigError

CHAMPION = "champion"


@dataclass(frozen=True)
class Seat:
    """`handbook@champion`. An environment is another alias, or another registered model.

    Raises:
        ConfigError: MLflow can't hold the name of the model or of the alias.
    """

    model: str
    alias: str = CHAMPION

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^/:@'\"`\s]{1,200}", self.model):
            raise ConfigError(f"{self.model!r} names no model: expected none of '/', ':', '@', quotes and spaces.")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", self.alias) or re.fullmatch(r"latest|v\d+", self.alias, re.IGNORECASE):
            raise ConfigError(
                f"alias is {self.alias!r}, expected letters, digits, '_' and '-', not 'latest' or 'v1'. Choose another."
            )

    @property
    def name(self) -> str:
        return f"{self.model}@{self.alias}"

    @property
    def experiment(self) -> str:
        """The experiment with the chain runs of all seats of the model."""
        return f"{self.model}-ledger"

    @property
    def ledger(self) -> str:
        """The registered model that says which run holds the chain of this seat."""
        return self.experiment if self.alias == CHAMPION else f"{self.experiment}-{self.alias}"

    @property
    def places(self) -> str:
        """Where in the store a user needs a permission who decides about the seat."""
        return f"the registered models {self.model} and {self.ledger} and the experiment {self.experiment}"

    def tag(self, key: str) -> str:
        """The name of a tag in which the ledger of this seat leaves a trace on its model and versions."""
        return f"llmops.ledger.{self.alias}.{key}"
