"""Step `retention`: old releases, indexes, adapters, bases and caches that nothing names are shown, and removed if asked to.

    mlflow run . -e retention --env-manager local -P app=handbook
    python -m pipelines.retention --keep 3 --apply

Kept is all that a rollback can go back to, all with an alias, an approval or a deployment on this machine, the newest of
each kind, and what these are made of. Runs, scorecards, prompts and question sets are never removed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import mlflow

from llmops import step
from llmops.errors import ConfigError
from llmops.models.cache import cache_folder
from llmops.registry.retention.caches import find_unused, remove_cache
from llmops.registry.retention.plan import Held, Plan, make_plan
from llmops.registry.retention.store import (
    count_bytes,
    find_model,
    find_orphans,
    find_pinned,
    remove,
    remove_model,
    take_inventory,
)  # fmt: skip
from llmops.registry.store_errors import start_registry_step
from llmops.serving import state
from llmops.tracking.evaluations import APP_TAG

_NEEDS = "MANAGE permission on its registered models and the experiments of its runs"


@dataclass(frozen=True)
class RetentionConfig:
    """Show what of an application nothing needs any more, and remove it if asked to."""

    app: str = step.setting("application", "handbook")
    keep: int = step.setting("newest releases that are kept whatever they are, and as many of each kind of part", 5)
    unused_days: int = step.setting("days without use after which this machine's caches can go", 30)
    apply: str = step.setting("yes removes what is shown; no only shows it", "no")

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ConfigError(f"keep is {self.keep}, expected at least 1.")
        if self.unused_days < 0:
            raise ConfigError(f"unused_days is {self.unused_days}, expected 0 or more.")
        if self.apply not in ("yes", "no"):
            raise ConfigError(f"apply is {self.apply!r}, expected yes or no.")


@dataclass(frozen=True)
class Removal:
    """One thing that can go: its name, its size in bytes, why, and how."""

    name: str
    size: int
    reason: str
    remove: Callable[[], None]


def main(config: RetentionConfig) -> list[Removal]:
    """Show what can go, log it, and remove it if asked to."""
    apply = config.apply == "yes"
    with start_registry_step("retention", config, f"remove what is old of {config.app!r}", _NEEDS):
        mlflow.set_tag(APP_TAG, config.app)
        registered = take_inventory()
        deployed = {uri: f"deployed as {one.name}" for one in state.read_all() for uri in one.releases}
        plan = make_plan(config.app, registered, config.keep, deployed | find_pinned(config.app))
        found = [*_orphans(config.app, registered), *_versions(plan, config.keep), *_caches(config.unused_days)]
        shown = [{"name": one.name, "bytes": one.size, "reason": one.reason} for one in found]
        mlflow.log_dict({"applied": apply, "can_go": shown, "stay": dict(plan.kept)}, "retention.json")
        print(_table(found, plan, apply))
        for one in found if apply else ():
            one.remove()
    return found


def _orphans(app: str, registered: Sequence[Held]) -> list[Removal]:
    reason = "left when it was being removed"
    orphans = find_orphans(app, registered)
    return [Removal(f"models:/{one.model_id}", count_bytes(one), reason, partial(remove_model, one)) for one in orphans]


def _versions(plan: Plan, keep: int) -> list[Removal]:
    reason = f"no alias, never had a seat, not among the newest {keep}, in nothing that is kept"
    found = []
    for held in plan.removed:
        model = find_model(held.model_id) if held.uri in plan.last and held.model_id else None
        found.append(Removal(held.uri, count_bytes(model) if model else 0, reason, partial(remove, held, model)))
    return found


def _caches(days: float) -> list[Removal]:
    return [
        Removal(str(one.path), one.size, f"cache, unused for {one.unused_days:.0f} days", partial(remove_cache, one))
        for one in find_unused(cache_folder(), days)
    ]


def _table(found: Sequence[Removal], plan: Plan, apply: bool) -> str:
    total = _megabytes(sum(one.size for one in found))
    head = f"removing {len(found)}, {total}" if apply else f"{len(found)} can go, {total}; apply=yes removes them"
    names = [*(one.name for one in found), *plan.kept]
    wide = max(map(len, names), default=0)
    lines = [f"  {one.name:<{wide}}  {_megabytes(one.size):>10}  {one.reason}" for one in found]
    kept = [f"  {uri:<{wide}}  {'':>10}  {reason}" for uri, reason in plan.kept.items()]
    return "\n".join([head, *lines, f"{len(kept)} stay", *kept])


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


if __name__ == "__main__":
    step.run(main, RetentionConfig)
