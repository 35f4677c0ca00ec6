"""Environments in a YAML file, reviewed like code: which seat `dev` or `prod` is, and what it asks of a release."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow

from llmops import step
from llmops.errors import ConfigError, LedgerError, LLMOpsError
from llmops.registry.ledger.standing import Standing
from llmops.registry.lines import find_line, read_marked
from llmops.registry.seat import CHAMPION, Seat
from llmops.registry.store_errors import store_errors
from llmops.tracking import versions
from llmops.tracking.versions import Registered

KEYS = ("model", "alias", "policy", "from")


@dataclass(frozen=True)
class Environment:
    """A seat by the name that people use; `{app}` in `model` stands for the application."""

    name: str
    model: str = "{app}"
    alias: str = CHAMPION
    policy: str = ""  # file; empty means the one that the step is given
    source: str = ""  # environment that must run a release first; empty means none

    def seat(self, app: str) -> Seat:
        """Raises LLMOpsError if MLflow can't hold a name in it."""
        return Seat(step.check_app(self.model.replace("{app}", app)), self.alias)


def read_environments(path: Path) -> dict[str, Environment]:
    """Read and check a file of environments; they are found by name.

    Raises:
        ConfigError: the file is missing or no YAML, or says what makes no sense: with the line.
    """
    data, lines = read_marked(path, "environments")
    found: dict[str, Environment] = {}
    if not isinstance(data, dict) or not data:
        raise ConfigError(f"{path.name}: found {data!r}, expected environments by name.")
    for name, settings in data.items():
        try:
            found[name] = _environment(name, settings, found)
        except _Wrong as error:
            raise ConfigError(f"{path.name}:{find_line(lines, error.place)}: {error}") from error
    return found


def find_environment(name: str, path: Path) -> Environment:
    """Raises ConfigError if the file has no environment of this name, and as `read_environments`."""
    found = read_environments(path)
    if name not in found:
        raise ConfigError(f"{path.name} has no environment {name!r}. It has: {', '.join(found) or 'none'}.")
    return found[name]


def seat_of(app: str, environment: str, path: Path) -> Seat:
    """The seat that an environment of the file is for an application.

    Raises:
        LLMOpsError: as `find_environment`, or MLflow can't hold a name in it.
    """
    return find_environment(environment, path).seat(app)


def check_source(environment: Environment, origin: Standing, version: Registered) -> None:
    """Check that a release holds the seat it must come from, by that seat's ledger: the last that was put there is this one.

    Versions of two models are the same release if their digests are.

    Raises:
        ConfigError: it doesn't.
        LedgerError: that ledger is broken.
    """
    if origin.flaws:
        raise LedgerError(f"{environment.name} takes what {environment.source} runs, but {' '.join(origin.flaws)}")
    mover = origin.mover
    if mover is None or mover.digest != version.digest:
        holds = f"version {origin.attested}" if mover else "nothing"
        raise ConfigError(
            f"{environment.name} takes what {environment.source} runs: {origin.seat.name} holds {holds} by its ledger, not "
            f"the release that {version.uri} is. Promote it there first: -P environment={environment.source}."
        )


def copy_to(seat: Seat, version: Registered) -> Registered:
    """The version of the seat's registered model with the same digest; where there is none, a copy is made.

    A copy points at the files of the original, and has its tags: digest, approvals.

    Raises:
        LedgerError: the registry refuses, or can't be reached.
    """
    if version.name == seat.model:
        return version
    with store_errors(f"copy {version.uri} to {seat.model!r}", f"EDIT permission on the registered model {seat.model}"):
        found = versions.find_digest(seat.model, version.digest)
        if found is not None:
            return found
        copied = mlflow.MlflowClient().copy_model_version(version.uri, seat.model)
        return versions.get_version(f"models:/{seat.model}/{copied.version}")


class _Wrong(ConfigError):
    """What makes no sense, and its place in the file."""

    def __init__(self, text: str, *place: str) -> None:
        super().__init__(text)
        self.place = place


def _environment(name: str, settings: Any, above: Mapping[str, Environment]) -> Environment:
    if not isinstance(settings, dict):
        raise _Wrong(f"{name} is {settings!r}, expected {', '.join(KEYS)}, or {{}} for none of them.", name)
    for key, value in settings.items():
        if key not in KEYS:
            raise _Wrong(f"{name} has {key!r}. Known: {', '.join(KEYS)}.", name, key)
        if not isinstance(value, str) or not value:
            raise _Wrong(f"{key} of {name} is {value!r}, expected a text.", name, key)
    found = Environment(name, **{"source" if key == "from" else key: value for key, value in settings.items()})
    try:
        found.seat("app")
    except LLMOpsError as error:
        raise _Wrong(f"{name}: {error}", name) from error
    if found.source and found.source not in above:
        expected = f"an environment above {name} ({', '.join(above) or 'none is'})"
        raise _Wrong(f"from of {name} is {found.source!r}, expected {expected}.", name, "from")
    for one in above.values():
        if (one.model, one.alias) == (found.model, found.alias):
            raise _Wrong(f"{name} has the model and alias of {one.name}. Give it an alias or a model of its own.", name)
    return found
