"""What a process started here has to know of the store."""

import os
import re
from pathlib import Path

import mlflow

SECRET = re.compile("KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL", re.IGNORECASE)  # in the name of a variable


def store_environment() -> dict[str, str]:
    """This process's environment without its run, with the stores it uses by names that mean the same elsewhere."""
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_RUN_ID"}
    return environment | {
        "MLFLOW_TRACKING_URI": absolute_uri(mlflow.get_tracking_uri()),
        "MLFLOW_REGISTRY_URI": absolute_uri(mlflow.get_registry_uri()),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }


def absolute_uri(uri: str) -> str:
    """A store's URI that means the same in another working directory."""
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(prefix + "/"):
        return prefix + str(Path(uri.removeprefix(prefix)).resolve())
    return uri
