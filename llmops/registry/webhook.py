"""Webhooks: the tracking server tells a gateway at once when an alias moves; what it delivers is signed (`deliveries`).

A webhook is a hint, which can get lost: who serves an alias asks the registry every now and then all the same.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import mlflow
from mlflow.entities.webhook import Webhook, WebhookAction, WebhookEntity, WebhookEvent
from mlflow.exceptions import MlflowException

from llmops.addresses import without_password
from llmops.errors import ConfigError, DeploymentError
from llmops.registry.store_errors import store_errors

EVENTS = [
    WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED),
    WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.DELETED),
]
SHORTEST = 16  # characters of a secret
SCHEMES, PRIVATE, KEY = (
    f"MLFLOW_WEBHOOK_{name}" for name in ("ALLOWED_SCHEMES", "ALLOW_PRIVATE_IPS", "SECRET_ENCRYPTION_KEY")
)
KEY_ADVICE = (
    f"Start the server with the same {KEY} (a Fernet key) each time: with none, or another, it can't read the secret after "
    "a restart, and sends nothing more."
)


@dataclass(frozen=True)
class Registration:
    """A webhook on the tracking server; `is_new` unless it was there and was brought up to date."""

    webhook_id: str
    name: str
    url: str
    is_new: bool


def read_secret(variable: str, environment: Mapping[str, str] = os.environ) -> str:
    """The secret that an environment variable holds.

    Raises:
        ConfigError: it holds none, or a short one. No value is repeated, in case the secret itself was given for the name.
    """
    secret = environment.get(variable, "")
    if len(secret) < SHORTEST:
        found = f"holds {len(secret)} characters" if secret else "is not set"
        raise ConfigError(
            f"the environment variable that secret_env names {found}, expected a secret of at least {SHORTEST} characters. "
            "Make one with: openssl rand -hex 32"
        )
    return secret


def check_url(url: str) -> str:
    """Return the address of a gateway if it is one.

    Raises:
        ConfigError: it isn't, or it holds a password, which would stand in the run's params.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ConfigError("url holds a user or password, which MLflow shows to everyone. Leave them out: the secret signs.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"url is {url!r}, expected a gateway's address, such as https://gateway/hooks/mlflow.")
    return url


def register(name: str, url: str, secret: str) -> Registration:
    """Let the tracking server post to `url` whenever an alias moves; the webhook of this name and address is used again.

    Raises:
        ConfigError: the store is no server, or the server doesn't take this name or address.
        DeploymentError: the server can't read its webhooks.
        LedgerError: the server can't be reached, or the user may not.
    """
    _check_server()
    client = mlflow.MlflowClient()
    about = "signed by mlflow-llmops: wakes a gateway when an alias moves"
    with _told("register a webhook"):
        found = _find(client, name, url)
        if found is None:
            made = client.create_webhook(name, url, [*EVENTS], about, secret, "ACTIVE")
        else:
            made = client.update_webhook(found.webhook_id, None, about, None, [*EVENTS], secret, "ACTIVE")
    return Registration(made.webhook_id, name, url, found is None)


def try_delivery(registration: Registration) -> int:
    """Let the server post an example to the webhook; return the HTTP status that the gateway answered.

    Raises:
        DeploymentError: the gateway can't be reached, or refuses.
    """
    with _told("test a webhook"):
        result = mlflow.MlflowClient().test_webhook(registration.webhook_id, EVENTS[0])
    if not result.success or result.response_status is None:
        found = f"status {result.response_status}" if result.response_status else _one_line(result.error_message)
        raise DeploymentError(
            f"{registration.url} did not take the test delivery: {found}. Check that the gateway runs and has this secret."
        )
    return result.response_status


def _check_server() -> None:
    uri = without_password(mlflow.get_registry_uri())
    if urlsplit(uri).scheme not in ("http", "https"):
        raise ConfigError(
            f"{uri} has no webhooks: only an MLflow server sends them. Start `mlflow server` on this store, and set "
            "MLFLOW_TRACKING_URI to its address. Promotion works without."
        )


def _find(client: mlflow.MlflowClient, name: str, url: str) -> Webhook | None:
    token = None
    while True:
        page = client.list_webhooks(max_results=100, page_token=token)
        found = next((one for one in page if (one.name, one.url) == (name, url)), None)
        token = page.token
        if found is not None or not token:
            return found


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what the server says of webhooks into one line, and the rest as `store_errors` does."""
    with store_errors(what, "an administrator's account: MLflow lets no others"):
        try:
            yield
        except MlflowException as error:
            told = _explained(error)
            if told is None:
                raise
            raise told from error


def _explained(error: MlflowException) -> ConfigError | DeploymentError | None:
    server, message = without_password(mlflow.get_registry_uri()), _one_line(error.message)
    if "URL scheme" in message or "non-public" in message:
        setting = f"{SCHEMES}=http,https" if "URL scheme" in message else f"{PRIVATE}=true"
        return ConfigError(f"{server} refuses the address: {message} To allow it, set {setting} on the server, and restart.")
    if "500 error" in message:
        return DeploymentError(
            f"{server} can't read its webhooks (status 500). Most likely it was started with another {KEY} than when they "
            "were made: start it with that one, or delete the rows of its table `webhooks`."
        )
    if error.error_code == "INVALID_PARAMETER_VALUE":
        return ConfigError(f"{server} refuses the webhook: {message}")
    return None


def _one_line(message: str | None) -> str:
    return " ".join(str(message).split())[:400]
