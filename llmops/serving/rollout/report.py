"""What a worker tells the reconciler: which plan it has seen, what it holds, and what came of requests."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from llmops import files
from llmops.serving.process import is_running
from llmops.serving.rollout.tally import Tally


@dataclass(frozen=True)
class Report:
    """A worker process, by id and when it began. `held` are releases that it has as the plan says, `loaded` all that it has.

    `errors` says why a release of the plan can't be loaded, `tallies` counts since `trial`, the beginning of the canary.
    `shadowed` and `dropped` are copies of requests that the shadow answered, and that it had no time for.
    """

    pid: int
    started: float
    generation: int = 0
    current: str = ""
    held: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    trial: float = 0.0
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    shadowed: int = 0
    dropped: int = 0


def write_report(folder: Path, report: Report) -> None:
    files.write_whole(folder / f"worker-{report.pid}.json", json.dumps(asdict(report)) + "\n")


def remove_report(folder: Path, pid: int) -> None:
    (folder / f"worker-{pid}.json").unlink(missing_ok=True)


def read_reports(folder: Path) -> list[Report]:
    """The reports of workers that run; those of others are removed."""
    found = []
    for file in sorted(folder.glob("worker-*.json")):
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            tallies = {uri: Tally(**one) for uri, one in data["tallies"].items()}
            sides = {side: tuple(data[side]) for side in ("held", "loaded")}
            report = Report(**{**data, **sides, "tallies": tallies})
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # it just ended, or another version wrote it
            continue
        if is_running(report.pid, report.started):
            found.append(report)
        else:
            file.unlink(missing_ok=True)
    return found
