"""Step `shadow`: what a challenger answered in the shadow of a deployment -> figures beside what was shown, with intervals.

    mlflow run . -e shadow --env-manager local -P name=handbook
    python -m pipelines.shadow --name handbook --release models:/handbook/5

The run has the figures as metrics, `shadow/...`, and every copy in the table copies.json: compare two challengers in the UI.
"""

from dataclasses import dataclass

import mlflow

from llmops import step
from llmops.errors import ConfigError
from llmops.registry.store_errors import NEEDS, start_registry_step
from llmops.serving import deployments
from llmops.serving.rollout import scoring
from llmops.serving.rollout.scoring import ShadowScore


@dataclass(frozen=True)
class ShadowConfig:
    """Compare what a shadow answered with what was shown."""

    app: str = step.setting("application the run is tagged with", "handbook")
    name: str = step.setting("deployment on this machine; empty means the application's name", "")
    release: str = step.setting("models:/ URI of the shadow; empty means the last one that answered", "")
    most: int = step.setting("copies of the table, the last ones: they hold questions and answers", 1000)

    def __post_init__(self) -> None:
        if self.most < 0:
            raise ConfigError(f"most is {self.most}, expected 0 or more.")


def main(config: ShadowConfig) -> ShadowScore:
    """Score the copies, print the figures and log them."""
    folder = deployments.get(config.name or config.app).folder
    copies = scoring.read_copies(folder, config.release)
    found = scoring.score(copies)
    with start_registry_step("shadow", config, f"log the shadow of {config.app!r}", NEEDS):
        mlflow.set_tags({"llmops.shown": found.shown, "llmops.shadow": found.shadow})
        mlflow.log_metrics(found.metrics)
        if rows := copies[len(copies) - min(config.most, len(copies)) :]:
            mlflow.log_table(
                {
                    "question": [copy.question for copy in rows],
                    "shown": [copy.shown["text"] for copy in rows],
                    "shadow": [copy.shadow["text"] or "" for copy in rows],
                    "error": [copy.shadow.get("error", "") for copy in rows],
                },
                "copies.json",
            )
    print(scoring.tell(found))
    return found


if __name__ == "__main__":
    step.run(main, ShadowConfig)
