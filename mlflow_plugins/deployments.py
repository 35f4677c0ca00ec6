"""`mlflow.deployments`: the target `llmops`.

    mlflow deployments create -t llmops --name handbook -m models:/handbook@champion -C port=8210

MLflow wants exactly one client class in this module, so its base is named through `deployments`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from mlflow import deployments
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST

FLAVOR = "llmops"
Result = TypeVar("Result")


class LLMOpsDeploymentClient(deployments.BaseDeploymentClient):
    """Gateways on this machine, each serving one release under a name."""

    def create_deployment(
        self, name: str, model_uri: str, flavor: str | None = None, config: dict[str, str] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        from llmops.serving import deployments as ours

        created = _call(lambda: ours.create(name, model_uri, config or {}))
        return {"flavor": FLAVOR, **ours.describe(created)}

    def update_deployment(
        self, name: str, model_uri: str | None = None, flavor: str | None = None, config: dict[str, str] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        from llmops.serving import deployments as ours

        updated = _call(lambda: ours.update(name, model_uri, config or {}))
        return {"flavor": FLAVOR, **ours.describe(updated)}

    def delete_deployment(self, name: str, config: dict[str, str] | None = None, endpoint: str | None = None) -> None:
        from llmops.serving import deployments as ours

        _call(lambda: ours.delete(name))

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        from llmops.serving import deployments as ours
        from llmops.serving import state

        return _call(lambda: [ours.describe(deployment) for deployment in state.read_all()])

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        from llmops.serving import deployments as ours

        return _call(lambda: ours.describe(ours.get(name)), RESOURCE_DOES_NOT_EXIST)

    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> deployments.PredictionsResponse:
        """Ask a deployment. `inputs` is one request, a list of them, or a frame with a request a row."""
        from llmops.serving import deployments as ours

        if deployment_name is None:
            raise _Mistake("name the deployment to ask.", error_code=INVALID_PARAMETER_VALUE)
        answers = _call(lambda: ours.predict(deployment_name, _requests(inputs)))
        return deployments.PredictionsResponse(predictions=answers)


def _requests(inputs: Any) -> list[dict[str, Any]]:
    rows = inputs.to_dict("records") if hasattr(inputs, "to_dict") else inputs
    rows = [rows] if isinstance(rows, dict) else list(rows or [])
    if not all(isinstance(row, dict) for row in rows):
        rows = []
    if rows and all({"role", "content"} <= row.keys() for row in rows):
        return [{"messages": [{"role": row["role"], "content": row["content"]} for row in rows]}]
    if rows and all(isinstance(row.get("messages"), dict) for row in rows):  # pandas takes one request's messages apart
        return [{"messages": [row["messages"] for row in rows]}]
    if rows and all(isinstance(row.get("question"), str) for row in rows):
        return [{"messages": [{"role": "user", "content": row["question"]}]} for row in rows]
    if not rows or not all(isinstance(row.get("messages"), list) for row in rows):
        raise _Mistake(
            'inputs must be [{"messages": [{"role": "user", "content": "..."}]}] or [{"question": "..."}].',
            error_code=INVALID_PARAMETER_VALUE,
        )
    return rows


class _Mistake(MlflowException, click.ClickException):
    """MLflow's error to Python callers; one line and exit code 1 on the command line, which click writes."""


def _call(action: Callable[[], Result], error_code: int = INVALID_PARAMETER_VALUE) -> Result:
    """Turn a user's mistake into an error of MLflow's."""
    from llmops.errors import LLMOpsError

    try:
        return action()
    except LLMOpsError as error:
        raise _Mistake(str(error), error_code=error_code) from error


def run_local(name: str, model_uri: str, flavor: str | None = None, config: dict[str, str] | None = None) -> None:
    """Serve in the foreground until interrupted: `mlflow deployments run-local -t llmops`."""
    from llmops.serving import deployments as ours
    from llmops.serving import gateway, process
    from llmops.tracking.versions import get_version

    port = _call(lambda: process.check_port(ours.HOST, ours.settings(config or {})[0]))
    gateway.serve(name, _call(lambda: get_version(model_uri)).uri, port)


def target_help() -> str:
    """Shown by `mlflow deployments help -t llmops`."""
    return """The target `llmops` serves releases on this machine, each behind a gateway that speaks OpenAI's API.

    mlflow deployments create  -t llmops --name handbook -m models:/handbook@champion -C port=8210
    mlflow deployments predict -t llmops --name handbook -I request.json    # [{"question": "..."}]
    mlflow deployments update  -t llmops --name handbook    # move to what the alias means now
    mlflow deployments list    -t llmops
    mlflow deployments delete  -t llmops --name handbook

An alias is resolved to a version when a deployment is created or updated. Settings (-C key=value):
    port       port on 127.0.0.1; 0, the default, takes a free one
    timeout_s  how long to wait for the gateway to answer; default 180
State and logs are kept in $LLMOPS_STATE, by default ~/.local/state/mlflow-llmops."""
