"""Asks a deployment through its gateway, as any client would."""

import json
import os
import ssl
from collections.abc import Iterator
from typing import Any

import httpx

from llmops.errors import DeploymentError
from llmops.serving.state import Deployment

KEY_VARIABLE = "LLMOPS_API_KEY"


def predict(deployment: Deployment, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask a deployment; each request is a body of chat completions, where `model` may be left out.

    Where it has API keys, the one in the environment variable LLMOPS_API_KEY is shown.

    Raises:
        DeploymentError: it doesn't answer, or it refuses a request.
    """
    with client_of(deployment) as client:
        answers = []
        for request in requests:
            with _told(deployment):
                response = client.post("/v1/chat/completions", json={"model": deployment.name, **request, "stream": False})
            _check(deployment, response)
            answers.append(response.json())
    return answers


def predict_stream(deployment: Deployment, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Ask a deployment; yield the chunks of its answer.

    Raises:
        DeploymentError: as `predict`, or the answer broke off.
    """
    body = {"model": deployment.name, **request, "stream": True}
    with (
        client_of(deployment) as client,
        _told(deployment),
        client.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        if answer.is_error:
            answer.read()
        _check(deployment, answer)
        for line in answer.iter_lines():
            if line == "data: [DONE]":
                return
            if line.startswith("data: "):
                chunk = json.loads(line.removeprefix("data: "))
                if "error" in chunk:
                    raise DeploymentError(f"{deployment.name!r} broke off: {chunk['error']['message']}")
                yield chunk
    raise DeploymentError(f"{deployment.name!r} broke off before the answer had ended. Ask again.")


def client_of(deployment: Deployment, timeout_s: float | None = None) -> httpx.Client:
    """What asks it from this machine: with TLS it must show the certificate that it was given."""
    key, certificate = os.environ.get(KEY_VARIABLE, ""), deployment.options.certificate
    verify: ssl.SSLContext | bool = False
    if certificate:
        verify = ssl.create_default_context(cafile=certificate)
        verify.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        verify.check_hostname = False
    return httpx.Client(
        base_url=deployment.url, timeout=timeout_s or deployment.options.request_timeout_s + 10, verify=verify,
        trust_env=False, headers={"authorization": f"Bearer {key}"} if key else {},
    )  # fmt: skip


class _told:
    """Turns what httpx raises into one line."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, httpx.HTTPError):
            one = self._deployment
            said = f"{one.name!r} doesn't answer at {one.url} ({error or type(error).__name__})."
            raise DeploymentError(f"{said} See: mlflow deployments get -t llmops --name {one.name}") from error


def _check(deployment: Deployment, response: httpx.Response) -> None:
    if response.is_error:
        try:
            message = str(response.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            message = response.text[:200]
        hint = f" Put a key into {KEY_VARIABLE}." if response.status_code == 401 else ""
        raise DeploymentError(f"{deployment.name!r} refused the request ({response.status_code}): {message}{hint}")
