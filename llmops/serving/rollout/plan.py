"""The plan of a deployment: which releases its workers hold, and who answers. The reconciler alone writes it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from llmops import files
from llmops.errors import DeploymentError

FILE = "plan.json"


@dataclass(frozen=True)
class How:
    """What a release runs on: the engine of this key, at this address, which knows its adapter by this name.

    Without an engine it is the worker itself.
    """

    engine: str = ""
    adapter: str = ""
    url: str = ""


@dataclass(frozen=True)
class Canary:
    """A release that answers `percent` of the users since a time, in seconds since the epoch."""

    uri: str
    percent: float
    since: float


@dataclass(frozen=True)
class Plan:
    """`loaded` are the releases to hold, by URI, `leaving` those whose last requests may be under way.

    `current` answers, `previous` did before and is kept warm, `shadow` answers copies that nobody sees. `breached` is a
    canary that did worse: it is not tried again. `engine` is the option by which it was decided what they run on.
    """

    generation: int = 0
    current: str = ""
    previous: str = ""
    loaded: Mapping[str, How] = field(default_factory=dict)
    leaving: Mapping[str, How] = field(default_factory=dict)
    canary: Canary | None = None
    shadow: str = ""
    breached: str = ""
    engine: str = ""

    @property
    def wanted(self) -> frozenset[str]:
        """The releases that have a part to play."""
        canary = self.canary.uri if self.canary else ""
        return frozenset({self.current, self.previous, self.shadow, canary} - {""})

    def holding(self, uri: str, how: How) -> "Plan":
        leaving = {one: its for one, its in self.leaving.items() if one != uri}
        return replace(self, loaded={**self.loaded, uri: how}, leaving=leaving)

    def pruned(self) -> "Plan":
        """The same without releases that have no part; those are leaving."""
        loaded = {uri: how for uri, how in self.loaded.items() if uri in self.wanted}
        gone = {uri: how for uri, how in self.loaded.items() if uri not in self.wanted}
        return replace(self, loaded=loaded, leaving={**self.leaving, **gone})


def read_plan(folder: Path) -> Plan:
    """The plan; an empty one where there is none.

    Raises:
        DeploymentError: the file is damaged.
    """
    try:
        return _parse(json.loads((folder / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Plan()
    except (ValueError, TypeError, AttributeError) as error:
        raise DeploymentError(f"{folder / FILE} is no plan ({error}). Remove it: it is made anew.") from error


def write_plan(folder: Path, plan: Plan) -> Plan:
    """Write a plan as the next generation; return it."""
    made = replace(plan, generation=plan.generation + 1)
    files.write_whole(folder / FILE, json.dumps(asdict(made), indent=1) + "\n")
    return made


class PlanFile:
    """Reads the plan again only where the file was replaced."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._seen, self._plan = folder, (0, 0), Plan()

    def read(self) -> Plan:
        try:
            stat = (self._folder / FILE).stat()
        except FileNotFoundError:
            return self._plan
        if (seen := (stat.st_mtime_ns, stat.st_ino)) != self._seen:
            self._plan, self._seen = read_plan(self._folder), seen
        return self._plan


def _parse(data: dict[str, Any]) -> Plan:
    sides = {side: {uri: How(**how) for uri, how in data[side].items()} for side in ("loaded", "leaving")}
    canary = Canary(**data["canary"]) if data["canary"] else None
    return Plan(**{**data, **sides, "canary": canary})
