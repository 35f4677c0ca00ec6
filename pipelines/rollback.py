"""Step `rollback`: the release that held the seat before holds it again; in seconds, without an evaluation.

mlflow run . -e rollback --env-manager local -P app=handbook -P reason="answers in the wrong language"
python -m pipelines.rollback --to 3
"""

from dataclasses import dataclass

import mlflow

from llmops import step
from llmops.registry.rollback import Rollback, roll_back
from llmops.registry.settings import SeatSettings
from llmops.registry.store_errors import NEEDS, start_registry_step


@dataclass(frozen=True)
class RollbackConfig(SeatSettings):
    """Put back a release that the ledger attests, after comparing all its parts with their digests."""

    to: str = step.setting("version to put back; empty means the one before", "")
    reason: str = step.setting("why, for the ledger", "")


def main(config: RollbackConfig) -> Rollback:
    """Verify, move the alias, and write it into the ledger."""
    with start_registry_step("rollback", config, f"roll {config.app!r} back", NEEDS) as run:
        seat = config.seat()
        done = roll_back(seat, config.to, config.reason or "no reason given", run.info.run_id)
        mlflow.set_tags({"llmops.decision": done.entry.decision, "llmops.release": done.version.uri})
        mlflow.log_dict(vars(done.entry), "entry.json")
    for line in done.repaired:
        print(f"repaired: {line}")
    print(f"rollback: {seat.name} is {done.version.uri}, after version {done.entry.before} (entry {done.entry.number})")
    return done


if __name__ == "__main__":
    step.run(main, RollbackConfig)
