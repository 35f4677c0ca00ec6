"""Step `webhook`: the tracking server tells a gateway at once when an alias moves, in posts signed with a shared secret.

    mlflow run . -e webhook --env-manager local -P url=https://gateway/hooks/mlflow
    python -m pipelines.webhook --url https://gateway/hooks/mlflow --test

Registering the same name and address again replaces the secret. The secret itself is never logged or shown.
"""

from dataclasses import dataclass

import mlflow

from llmops import step
from llmops.addresses import without_password
from llmops.errors import ConfigError
from llmops.registry import webhook
from llmops.registry.store_errors import start_registry_step
from llmops.registry.webhook import Registration


@dataclass(frozen=True)
class WebhookConfig:
    """Register a signed webhook for moved aliases on the tracking server, or bring it up to date."""

    app: str = step.setting("application the run is tagged with; the server tells of every application", "handbook")
    url: str = step.setting("address the server posts to, such as https://gateway/hooks/mlflow", "")
    name: str = step.setting("name of the webhook", "llmops")
    secret_env: str = step.setting("environment variable that holds the secret", "LLMOPS_WEBHOOK_SECRET")
    test: str = step.setting("yes sends a test delivery", "no")

    def __post_init__(self) -> None:
        if self.test not in ("yes", "no"):
            raise ConfigError(f"test is {self.test!r}, expected yes or no.")


def main(config: WebhookConfig) -> Registration:
    """Register the webhook and, if asked to, let the server try it."""
    url, secret = webhook.check_url(config.url), webhook.read_secret(config.secret_env)  # before they are params of a run
    with start_registry_step("webhook", config, "register a webhook"):
        made = webhook.register(config.name, url, secret)
        mlflow.set_tag("llmops.webhook", made.webhook_id)
        done = "registered" if made.is_new else "updated"
        print(f"{done} webhook {made.name!r}: {without_password(mlflow.get_registry_uri())} tells {made.url}")
        print(f"  {webhook.KEY_ADVICE}")
        if config.test == "yes":
            print(f"  test delivery: {made.url} answered {webhook.try_delivery(made)}")
    return made


if __name__ == "__main__":
    step.run(main, WebhookConfig)
