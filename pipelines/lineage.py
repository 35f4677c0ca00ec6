"""Step `lineage`: a release -> what it is made of, what was found and decided about it, and where it runs.

    mlflow run . -e lineage --env-manager local -P release=models:/handbook/4
    python -m pipelines.lineage --document backups.pdf

Of a document: which releases answer with it, and which of these hold a seat or are deployed. The run has it as lineage.json,
and as a picture in lineage.svg and lineage.html.
"""

from dataclasses import dataclass

import mlflow

from llmops import step
from llmops.errors import ConfigError
from llmops.registry.lineage.facts import of_document, of_release
from llmops.registry.lineage.graph import Deployed, Lineage, tell
from llmops.registry.lineage.picture import draw, page
from llmops.registry.store_errors import NEEDS, start_registry_step
from llmops.serving import state, status


@dataclass(frozen=True)
class LineageConfig:
    """Show where a release comes from and where it went, or which releases answer with a document."""

    app: str = step.setting("application", "handbook")
    release: str = step.setting("models:/ URI of a release; empty means the application's champion", "")
    document: str = step.setting("id, file name or digest of a document, to show the releases that answer with it", "")

    def __post_init__(self) -> None:
        if self.release and self.document:
            raise ConfigError("a release and a document are given, expected one of both.")


def main(config: LineageConfig) -> Lineage:
    """Find the lineage, print it, and log it with its picture."""
    with start_registry_step("lineage", config, f"read the lineage of {config.app!r}", NEEDS):
        deployed = [_deployed(deployment) for deployment in state.read_all()]
        if config.document:
            title, lineage = config.document, of_document(config.app, config.document, deployed)
        else:
            title = config.release or f"models:/{config.app}@champion"
            lineage = of_release(title, deployed)
        mlflow.log_dict(lineage.to_dict(), "lineage.json")
        mlflow.log_text(draw(lineage), "lineage.svg")
        mlflow.log_text(page(lineage, f"Lineage of {title}"), "lineage.html")
    print(tell(lineage))
    return lineage


def _deployed(one: state.Deployment) -> Deployed:
    said = f"{status.describe(one)['status']} at {one.url}"
    return Deployed(one.name, one.asked or one.model_uri, one.release_uri, said)


if __name__ == "__main__":
    step.run(main, LineageConfig)
