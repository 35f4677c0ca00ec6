"""Step `ledger`: what was decided about an application, by whom and why, and what runs now.

mlflow run . -e ledger --env-manager local -P app=handbook
python -m pipelines.ledger --environment prod
"""

from dataclasses import asdict, dataclass
from typing import Any

import mlflow
from mlflow.deployments import get_deploy_client

from llmops import step
from llmops.registry.ledger.history import history
from llmops.registry.ledger.standing import standing
from llmops.registry.settings import SeatSettings
from llmops.registry.store_errors import NEEDS, start_registry_step


@dataclass(frozen=True)
class LedgerConfig(SeatSettings):
    """Read the ledger, check that it is whole, and compare it with the alias and with what is deployed."""


def main(config: LedgerConfig) -> str:
    """Print the history; return it. Nothing is changed, also where it isn't whole."""
    with start_registry_step("ledger", config, f"read the ledger of {config.app!r}", NEEDS):
        seat = config.seat()
        stand = standing(seat)
        told = history(stand, _deployments(seat.model))
        mlflow.log_text(told + "\n", "ledger.md")
        mlflow.log_dict({"entries": [asdict(entry) for entry in stand.entries]}, "ledger.json")
        mlflow.set_tag("llmops.ledger", "broken" if stand.flaws else "unattested" if stand.problems else "whole")
    print(told)
    return told


def _deployments(model: str) -> list[dict[str, Any]]:
    """Those on this machine that serve versions of a model."""
    deployed = get_deploy_client("llmops").list_deployments()
    return [one for one in deployed if str(one["release_uri"]).startswith(f"models:/{model}/")]


if __name__ == "__main__":
    step.run(main, LedgerConfig)
