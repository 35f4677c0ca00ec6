"""The policy: which metric must win, and what must not get worse by how much. A YAML file, reviewed like code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llmops.errors import ConfigError
from llmops.evaluation.kpis import FIGURES, JUDGED, KPIS

DECIDING = tuple(name for name, kpi in KPIS.items() if kpi.decides)


@dataclass(frozen=True)
class Policy:
    """Read from a file by `read_policy`."""

    win_metric: str
    win_by: float
    margins: dict[str, float]
    baselines: tuple[str, ...]


def read_policy(path: Path) -> Policy:
    """Read and check a policy.

    Raises:
        ConfigError: the file is missing or no YAML, or a key or metric in it is unknown or has an impossible value.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"policy {str(path)!r} can't be read: {reason}") from error
    _keys(path, "the policy", data, {"win"}, {"margins", "baselines"})
    _keys(path, "win", data["win"], {"metric", "by"}, set())
    margins, baselines = data.get("margins") or {}, data.get("baselines") or []
    if not isinstance(margins, dict) or not isinstance(baselines, list) or not all(isinstance(b, str) for b in baselines):
        raise ConfigError(f"{path.name}: margins must map metrics to numbers, and baselines must be a list of candidates.")
    known = (*DECIDING, *FIGURES)
    for metric, margin in [(data["win"]["metric"], data["win"]["by"]), *margins.items()]:
        if isinstance(metric, str) and metric in KPIS and metric not in known:
            raise ConfigError(f"{path.name}: {metric} is shown but decides nothing. Known: {', '.join(known)}.")
        if not isinstance(metric, str) or not (metric in known or metric.startswith(JUDGED)):
            raise ConfigError(f"{path.name}: unknown metric {metric!r}. Known: {', '.join(known)}, {JUDGED}<rubric>.")
        if isinstance(margin, bool) or not isinstance(margin, int | float) or not margin >= 0:  # nan is not
            raise ConfigError(f"{path.name}: {metric} has {margin!r}, expected a number of 0 or more.")
    if data["win"]["metric"] in FIGURES:
        raise ConfigError(f"{path.name}: {data['win']['metric']} has no value per question, so no interval; win by another.")
    return Policy(data["win"]["metric"], float(data["win"]["by"]), margins, tuple(baselines))


def _keys(path: Path, what: str, data: Any, needed: set[str], optional: set[str]) -> None:
    if not isinstance(data, dict) or not needed <= data.keys() <= needed | optional:
        found = sorted(map(str, data)) if isinstance(data, dict) else data
        expected = ", ".join([*sorted(needed), *(f"{key} (optional)" for key in sorted(optional))])
        raise ConfigError(f"{path.name}: {what} holds {found}, expected the keys {expected}.")
