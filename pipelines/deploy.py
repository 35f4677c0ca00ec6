"""Step `deploy`: the release that `@champion` means now is served behind a gateway.

    mlflow run . -e deploy --env-manager local -P port=8210
    python -m pipelines.deploy --name handbook

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
from llmops.tracking.run import start_step


@dataclass(frozen=True)
class DeployConfig:
    """Create the deployment of an application's champion, or bring it up to date."""

    app: str = step.setting("application whose release is deployed", "handbook")
    alias: str = step.setting("alias of the release", "champion")
    name: str = step.setting("name of the deployment; empty means the application's", "")
    question: str = step.setting("question in the command that is printed for asking it", "your question")
    port: int = step.setting("port on 127.0.0.1; 0 takes a free one, or keeps that of a running deployment", 0)


def main(config: DeployConfig) -> str:
    """Deploy and return the gateway's URL."""
    with start_step("deploy", config):
        client = get_deploy_client("llmops")
        name, uri = config.name or config.app, f"models:/{config.app}@{config.alias}"
        settings = {"port": str(config.port)} if config.port else {}
        try:
            running = {d["name"] for d in client.list_deployments() if d["status"] == "running"}
            deploy = client.update_deployment if name in running else client.create_deployment
            deployment = deploy(name, uri, config=settings)
        except MlflowException as error:
            raise DeploymentError(error.message) from error
        mlflow.set_tags({"llmops.deployment": name, "llmops.release": deployment["release_uri"]})
        mlflow.log_dict(deployment, "deployment.json")
    print(f"{name} serves {deployment['release_uri']} at {deployment['url']}. Ask it:\n")
    print(f"  {curl(name, deployment['url'], config.question)}\n")
    return str(deployment["url"])


def curl(name: str, url: str, question: str) -> str:
    """The shell command that asks the deployment."""
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": question}]}, ensure_ascii=False)
    return f"curl -s {url}/v1/chat/completions -H 'content-type: application/json' -d {shlex.quote(body)}"


if __name__ == "__main__":
    step.run(main, DeployConfig)
