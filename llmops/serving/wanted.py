"""A deployment as it is asked for: checked before anything starts, and what is other in it than in the one that runs."""

import os
import ssl
from collections.abc import Mapping

import psutil

from llmops.addresses import without_password
from llmops.errors import DeploymentError
from llmops.registry.webhook import read_secret
from llmops.serving import process, state
from llmops.serving.engine.environment import VARIABLE as ENGINE
from llmops.serving.engine.environment import find_environment
from llmops.serving.keys.check import Keys, check_bind
from llmops.serving.keys.file import FILE as KEYS
from llmops.serving.options import Options
from llmops.serving.rollout.target import resolve
from llmops.serving.state import Deployment
from llmops.serving.status import runs
from llmops.serving.supervisor.record import find_supervisor
from llmops.tracking.environment import SECRET, store_environment
from llmops.tracking.releases import read_release


def check_wanted(name: str, model_uri: str, options: Options, existing: Deployment | None) -> Deployment:
    """The deployment as asked for, checked as far as it can be before anything starts."""
    version = resolve(model_uri)
    read_release(version.uri)  # refuses what is none: an index loads too, and couldn't answer
    port = options.port or (existing.port if existing else 0)
    if existing is None or not runs(existing) or (options.host, port) != (existing.options.host, existing.port):
        port = process.check_port(options.host, port)
    created = existing.created if existing else ""
    pinned = "" if options.follow or version.uri == model_uri else model_uri
    wanted = Deployment(
        name, version.uri if pinned else model_uri, options, port, _store(), created, state.now(), pinned
    )  # fmt: skip
    theirs = _their_environment(existing) if existing and place(existing) == place(wanted) else {}
    if existing and theirs:
        _check_same(existing, options, theirs)
    _check_options(name, options, {**os.environ, **theirs})
    return wanted


def _check_options(name: str, options: Options, environment: Mapping[str, str]) -> None:
    """Raises LLMOpsError for what would fail only in a worker, which has this environment."""
    check_bind(options.host, Keys(state.deployment_folder(name) / KEYS).required)
    if options.certificate:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.certificate, options.private_key)
        except (OSError, ssl.SSLError) as error:
            raise DeploymentError(
                f"certificate {options.certificate} and its private_key can't be used ({error})."
            ) from error
    if options.webhook_secret_env:
        read_secret(options.webhook_secret_env, environment)
    if options.engine_key_env and options.engine_key_env not in environment:
        raise DeploymentError(f"the environment variable {options.engine_key_env} that engine_key_env names is not set.")
    if options.engine == "vllm":
        find_environment()


def _check_same(existing: Deployment, options: Options, theirs: Mapping[str, str]) -> None:
    """Raises DeploymentError where a variable that its processes read is another here: they keep those of their start."""
    read = [options.webhook_secret_env, options.engine_key_env]
    if options.engine == "vllm" != existing.options.engine:
        read.append(ENGINE)
    for variable in read:
        if variable in os.environ and os.environ[variable] != theirs.get(variable):
            has = "has another value" if variable in theirs else "is not set"
            raise DeploymentError(
                f"{variable} {has} where {existing.name!r} runs, which keeps the environment that it was created in. "
                "Delete it, and create it again with the variable as it is here."
            )


def _their_environment(existing: Deployment) -> Mapping[str, str]:
    """That of the processes that run; empty where none do, or it can't be read."""
    running = find_supervisor(existing.name)
    try:
        return psutil.Process(running.pid).environ() if running else {}
    except psutil.Error:
        return {}


def _store() -> dict[str, str]:
    """What processes have to know of the store, also after a restart of the machine; no secrets but those in addresses."""
    known = {name: value for name, value in store_environment().items() if name.startswith("MLFLOW_")}
    return {name: value for name, value in known.items() if not SECRET.search(name) and "RUN_ID" not in name}


def difference(existing: Deployment, wanted: Deployment) -> str:
    """What is other in what was asked for, as it is now; empty if nothing is."""
    now, then = existing.options.to_dict(), wanted.options.to_dict()
    if not wanted.options.port:
        then["port"] = now["port"]
    if wanted.options.port == existing.port:
        now["port"] = then["port"]
    names = [name for name in now if now[name] != then[name] and name != "timeout_s"]
    others = [f"{name}={without_password(str(now[name]))}" for name in names]
    if (existing.asked or existing.model_uri) != (wanted.asked or wanted.model_uri):
        others.insert(0, existing.asked or existing.model_uri)
    if existing.store and stores(existing) != stores(wanted):
        others.insert(0, f"the store {without_password(existing.store['MLFLOW_TRACKING_URI'])}")
    return ", ".join(others)


def place(deployment: Deployment) -> tuple[str | int, ...]:
    """What only processes that start anew can change."""
    return deployment.options.host, deployment.port, *stores(deployment)


def stores(deployment: Deployment) -> tuple[str, ...]:
    return tuple(deployment.store.get(name, "") for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"))
