"""`mlflow.deployments`: the target `llmops`.

    mlflow deployments create -t llmops --name handbook -m models:/handbook@champion -C port=8210

MLflow wants exactly one client class in this module, so its base is named through `deployments`.
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
from mlflow import deployments
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST

FLAVOR = "llmops"
Result = TypeVar("Result")


class LLMOpsDeploymentClient(deployments.BaseDeploymentClient):
    """Gateways on this machine, each serving under a name what an alias means."""

    def create_deployment(
        self, name: str, model_uri: str, flavor: str | None = None, config: dict[str, str] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        from llmops.serving import deployments as ours

        return _done(lambda: ours.create(name, model_uri, config or {}))

    def update_deployment(
        self, name: str, model_uri: str | None = None, flavor: str | None = None, config: dict[str, str] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        from llmops.serving import deployments as ours

        return _done(lambda: ours.update(name, model_uri, config or {}))

    def delete_deployment(self, name: str, config: dict[str, str] | None = None, endpoint: str | None = None) -> None:
        from llmops.serving import deployments as ours

        _tell(_call(lambda: ours.delete(name)))

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        from llmops.serving import status

        return _call(status.describe_all)

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        from llmops.serving import deployments as ours
        from llmops.serving import status

        return _call(lambda: status.describe_fully(ours.get(name)), RESOURCE_DOES_NOT_EXIST)

    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> deployments.PredictionsResponse:
        """Ask a deployment. `inputs` is one request, a list of them, or a frame with a request a row."""
        from llmops.serving import asking
        from llmops.serving import deployments as ours

        name = _named(deployment_name)
        answers = _call(lambda: asking.predict(ours.get(name), _requests(inputs)))
        return deployments.PredictionsResponse(predictions=answers)

    def predict_stream(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Ask a deployment one request; yield the chunks of its answer, as OpenAI has them."""
        from llmops.serving import asking
        from llmops.serving import deployments as ours

        name, requests = _named(deployment_name), _requests(inputs)
        if len(requests) != 1:
            raise _Mistake(f"found {len(requests)} requests, expected one.", error_code=INVALID_PARAMETER_VALUE)
        chunks = _call(lambda: asking.predict_stream(ours.get(name), requests[0]))
        end: dict[str, Any] = {}
        while (chunk := _call(lambda: next(chunks, end))) is not end:
            yield chunk


def _named(name: str | None) -> str:
    if name is None:
        raise _Mistake("name the deployment to ask.", error_code=INVALID_PARAMETER_VALUE)
    return name


def _done(action: Callable[[], Any]) -> dict[str, Any]:
    """What was done: MLflow's command line says "is created" whatever it was, so a line beside it says more."""
    from llmops.serving import status

    done = _call(action)
    _tell(done.said)
    return {"flavor": FLAVOR, **status.describe(done.deployment)}


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _requests(inputs: Any) -> list[dict[str, Any]]:
    if hasattr(inputs, "to_json"):
        rows = [_given(row) for row in json.loads(inputs.to_json(orient="records", date_format="iso"))]
    else:
        rows = inputs
    rows = [rows] if isinstance(rows, dict) else list(rows or [])
    if not all(isinstance(row, dict) for row in rows):
        rows = []
    if rows and all({"role", "content"} <= row.keys() for row in rows):
        return [{"messages": [{"role": row["role"], "content": row["content"]} for row in rows]}]
    if rows and all(isinstance(row.get("messages"), dict) for row in rows):  # pandas takes one request's messages apart
        return [{**rows[0], "messages": [row["messages"] for row in rows]}]
    if rows and all(isinstance(row.get("question"), str) for row in rows):
        return [{**row, "messages": [{"role": "user", "content": row["question"]}]} for row in rows]
    if not rows or not all(isinstance(row.get("messages"), list) for row in rows):
        raise _Mistake(
            'inputs must be [{"messages": [{"role": "user", "content": "..."}]}] or [{"question": "..."}].',
            error_code=INVALID_PARAMETER_VALUE,
        )
    return rows


def _given(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a frame as it was given: without the fields that only others have, for whose sake pandas makes a 5 5.0."""
    found = {name: value for name, value in row.items() if value is not None}
    return {name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in found.items()}


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
    """Serve in the foreground until told to end, and leave keys and logs: `mlflow deployments run-local -t llmops`.

    This process becomes the supervisor, as a container or a systemd unit wants it.
    """
    from llmops.serving import deployments as ours

    arguments, environment = _call(lambda: ours.foreground(name, model_uri, config or {}))
    os.execve(arguments[0], arguments, environment)


def target_help() -> str:
    """Shown by `mlflow deployments help -t llmops`."""
    from llmops.serving.options import help_text

    return f"""The target `llmops` serves releases on this machine, each behind a gateway that speaks OpenAI's API.

    mlflow deployments create  -t llmops --name handbook -m models:/handbook@champion -C port=8210
    mlflow deployments predict -t llmops --name handbook -I request.json    # [{{"question": "..."}}]
    mlflow deployments get     -t llmops --name handbook    # what answers, who runs, what happened, what is wrong
    mlflow deployments update  -t llmops --name handbook -C workers=2    # other settings; what the alias means now
    mlflow deployments list    -t llmops
    mlflow deployments delete  -t llmops --name handbook
    mlflow deployments run-local -t llmops --name handbook -m models:/handbook@champion    # in the foreground

A deployment follows its alias: what `promote` and `rollback` decide answers soon after, without a failed request. A version
(models:/handbook/5) stays. Each command may be given again. predict shows the API key in $LLMOPS_API_KEY.

Settings (-C key=value):
{help_text()}

State and logs are kept in $LLMOPS_STATE, by default ~/.local/state/mlflow-llmops. More: docs/serving.md."""
