"""Step `deploy`: what `@champion` names is served behind a gateway, which follows it from then on.

    mlflow run . -e deploy --env-manager local -P port=8210
    python -m pipelines.deploy --name handbook --engine vllm

The same as `mlflow deployments create -t llmops --name handbook -m models:/handbook@champion`, or `update` if it is there.
"""

import json
import shlex
from dataclasses import dataclass

import mlflow
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

from llmops import step
from llmops.errors import DeploymentError
from llmops.registry.settings import SeatSettings
from llmops.tracking.run import start_step


@dataclass(frozen=True)
class DeployConfig(SeatSettings):
    """Create the deployment of an application's champion, or bring it up to date."""

    name: str = step.setting("name of the deployment; empty means the registered model's", "")
    question: str = step.setting("question in the command that is printed for asking it", "your question")
    port: int = step.setting("port of the gateway; 0 takes a free one, or keeps that of a running deployment", 0)
    engine: str = step.setting("transformers, vllm or url; empty means transformers, or keeps what is deployed", "")
    follow: str = step.setting("yes goes where the alias goes, no stays; empty means yes, or keeps what is deployed", "")


def main(config: DeployConfig) -> str:
    """Deploy and return the gateway's URL."""
    with start_step("deploy", config):
        client = get_deploy_client("llmops")
        seat = config.seat()
        name = config.name or seat.model
        try:
            there = {deployment["name"] for deployment in client.list_deployments()}
            deploy = client.update_deployment if name in there else client.create_deployment
            deployment = deploy(name, f"models:/{seat.name}", config=_settings(config))
        except MlflowException as error:
            raise DeploymentError(error.message) from error
        mlflow.set_tags({"llmops.deployment": name, "llmops.release": deployment["release_uri"]})
        mlflow.log_dict(deployment, "deployment.json")
    print(f"{name} serves {deployment['release_uri']} at {deployment['url']}. Ask it:\n")
    print(f"  {curl(name, deployment['url'], config.question)}\n")
    return str(deployment["url"])


def _settings(config: DeployConfig) -> dict[str, str]:
    """Those that are given."""
    given = {"port": str(config.port) if config.port else "", "engine": config.engine, "follow": config.follow}
    return {name: value for name, value in given.items() if value}


def curl(name: str, url: str, question: str) -> str:
    """The shell command that asks the deployment."""
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": question}]}, ensure_ascii=False)
    return f"curl -s {url}/v1/chat/completions -H 'content-type: application/json' -d {shlex.quote(body)}"


if __name__ == "__main__":
    step.run(main, DeployConfig)
