"""The code MLflow logs with a release. It loads without pickle, in any working directory, with any version of the package:
what a release needs of the package is this one name."""

import mlflow

from llmops.tracking.agent import ReleaseAgent

mlflow.models.set_model(ReleaseAgent())
