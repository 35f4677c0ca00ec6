"""Deployments on this machine: create, update, delete, list, get, predict."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import httpx

from llmops.errors import DeploymentError
from llmops.serving import process, state
from llmops.serving.state import Deployment
from llmops.tracking.releases import read_release
from llmops.tracking.versions import get_version

HOST = "127.0.0.1"
DEFAULTS = {"port": "0", "timeout_s": "180"}


def create(name: str, model_uri: str, config: Mapping[str, str]) -> Deployment:
    """Start a gateway for what `model_uri` means now; return when it answers.

    Raises:
        DeploymentError: the name is taken, the port is in use, or the gateway didn't start. Nothing is left running.
        ArtifactError: `model_uri` names no registered release.
    """
    port, timeout_s = settings(config)
    with state.lock(name):
        existing = state.read(name)
        if existing is not None and _runs(existing):
            raise DeploymentError(f"{name!r} is deployed already, at {existing.url}. Update it, or delete it first.")
        return _start(name, model_uri, port, timeout_s)


def update(name: str, model_uri: str | None, config: Mapping[str, str]) -> Deployment:
    """Bring a deployment to what its URI (or a new one) means now; one that is there already is left alone.

    The gateway is replaced by a new process on the same port unless `config` names another.

    Raises:
        DeploymentError: there is no such deployment, or the new gateway didn't start.
    """
    with state.lock(name):
        existing = get(name)
        model_uri = model_uri or existing.model_uri
        wanted = get_version(model_uri)
        port, timeout_s = settings({"port": str(existing.port), **config})
        if _runs(existing):
            if (existing.digest, existing.port) == (wanted.digest, port or existing.port):
                state.write(replace(existing, model_uri=model_uri))
                return get(name)
            if port not in (0, existing.port):
                process.check_port(HOST, port)
            process.stop(existing.pid, existing.started)
        try:
            return _start(name, model_uri, port, timeout_s)
        except BaseException:  # also when the user interrupts: what served before serves again
            _start(name, existing.model_uri, existing.port, timeout_s, existing.release_uri)
            raise


def delete(name: str) -> None:
    """End a deployment's process and forget it; one that doesn't exist is deleted already."""
    with state.lock(name):
        existing = state.read(name)
        if existing is not None:
            process.stop(existing.pid, existing.started)
            state.remove(name)


def get(name: str) -> Deployment:
    """Raises DeploymentError if there is no deployment of this name."""
    found = state.read(name)
    if found is None:
        names = ", ".join(deployment.name for deployment in state.read_all()) or "none"
        raise DeploymentError(f"no deployment named {name!r}. Deployed: {names}.")
    return found


def describe(deployment: Deployment) -> dict[str, Any]:
    """What is recorded of a deployment, its URL, and whether it runs now."""
    return {**asdict(deployment), "url": deployment.url, "status": "running" if _runs(deployment) else "stopped"}


def predict(name: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask a deployment; each request is a body of chat completions, where `model` may be left out.

    Raises:
        DeploymentError: there is no such deployment, it doesn't answer, or it refuses a request.
    """
    deployment = get(name)
    answers = []
    for request in requests:
        body = {"model": name, **request}
        try:
            response = httpx.post(f"{deployment.url}/v1/chat/completions", json=body, timeout=120)
        except httpx.HTTPError as error:
            raise DeploymentError(
                f"{name!r} doesn't answer at {deployment.url} ({error}). Its log: {deployment.log}"
            ) from error
        if response.is_error:
            raise DeploymentError(f"{name!r} refused the request ({response.status_code}): {_message(response)}")
        answers.append(response.json())
    return answers


def _start(name: str, model_uri: str, port: int, timeout_s: float, release_uri: str | None = None) -> Deployment:
    version = get_version(release_uri or model_uri)
    read_release(version.uri)  # refuses what is none: an index loads too, and couldn't answer
    port = process.check_port(HOST, port)
    log = state.state_folder() / f"{name}.log"
    gateway = process.start_gateway(name, version.uri, port, log)
    try:
        process.wait_until_ready(gateway, f"http://{HOST}:{port}", name, log, timeout_s)
    except BaseException:  # also when the user interrupts
        process.stop(gateway.pid, process.started(gateway.pid))
        raise
    deployment = Deployment(
        name, model_uri, version.uri, version.digest, HOST, port, gateway.pid, process.started(gateway.pid), str(log)
    )
    state.write(deployment)
    return deployment


def _runs(deployment: Deployment) -> bool:
    return process.is_running(deployment.pid, deployment.started)


def settings(config: Mapping[str, str]) -> tuple[int, float]:
    """Read port and start-up timeout in seconds from a deployment's config.

    Raises:
        DeploymentError: a key is unknown, or a value is no number.
    """
    unknown = sorted(set(config) - set(DEFAULTS))
    if unknown:
        raise DeploymentError(f"unknown setting {unknown[0]!r}. Known: {', '.join(DEFAULTS)} (such as -C port=8210).")
    given = {**DEFAULTS, **config}
    try:
        return int(given["port"]), float(given["timeout_s"])
    except ValueError as error:
        raise DeploymentError(f"port and timeout_s must be numbers: {error}.") from error


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
