"""The alias that says which release answers users."""

import mlflow
from mlflow.exceptions import MlflowException

from llmops.tracking.versions import Registered, get_version

CHAMPION = "champion"


def find_champion(app: str) -> Registered | None:
    """The version that `@champion` means now; None where the alias was never set."""
    try:
        mlflow.MlflowClient().get_model_version_by_alias(app, CHAMPION)
    except MlflowException as error:
        if "not found" in error.message:  # of the model or of its alias; anything else is no answer
            return None
        raise
    return get_version(f"models:/{app}@{CHAMPION}")


def crown(version: Registered) -> None:
    """Move `@champion` to a version."""
    mlflow.MlflowClient().set_registered_model_alias(version.name, CHAMPION, version.version)
