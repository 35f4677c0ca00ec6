"""Deployments on this machine: create, update, delete. Each may be given again, and changes nothing then."""

import os
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from llmops.errors import DeploymentError
from llmops.registry.webhook import read_secret
from llmops.serving import process, state, supervisor
from llmops.serving.asking import client_of
from llmops.serving.keys import FILE as KEYS
from llmops.serving.keys import check_bind, read_keys
from llmops.serving.options import Options, read_options
from llmops.serving.rollout.events import FILE as EVENTS
from llmops.serving.rollout.events import read_events
from llmops.serving.state import Deployment
from llmops.serving.status import runs, runs_old, without_password, workers
from llmops.tracking.environment import store_environment
from llmops.tracking.releases import read_release
from llmops.tracking.versions import Registered, get_version

_BAD = ("refused", "failed")  # events that say why a release isn't served
_AGAIN_S = 3.0  # between two looks at the alias while waiting for a release
_ENDINGS = 3  # of a process while starting, after which it is given up
_SECRET = re.compile("PASSWORD|TOKEN|SECRET|_KEY|RUN_ID|PASSPHRASE")


@dataclass(frozen=True)
class Done:
    """A deployment, and what was done about it, in a line."""

    deployment: Deployment
    said: str


def create(name: str, model_uri: str, config: Mapping[str, Any]) -> Done:
    """Serve what `model_uri` means; return when it answers. What is deployed so already is left alone.

    Raises:
        DeploymentError: the name is taken by another, the port is in use, or it didn't start. Nothing is left running.
        ConfigError: an option makes no sense.
        ArtifactError: `model_uri` names no registered release.
    """
    options = read_options(config)
    with state.lock(name):
        existing = state.read(name)
        wanted = _wanted(name, model_uri, options, existing)
        if existing is None or not runs(existing):
            return _start(wanted, existing)
        if difference := _difference(existing, wanted):
            raise DeploymentError(
                f"{name!r} is deployed already, at {existing.url}, with {difference}. Update it, or delete it first."
            )
        return Done(existing, f"{name} is deployed already, with these settings")


def update(name: str, model_uri: str | None, config: Mapping[str, Any]) -> Done:
    """Bring a deployment to what its URI (or a new one) means now, and to other options; the rest stays as it is.

    Workers are replaced one by one, and only for what they read when they start. Another address means a new start.

    Raises:
        DeploymentError: there is no such deployment, or it can't be served so. Then all is as it was.
        ConfigError: an option makes no sense.
    """
    with state.lock(name):
        existing = get(name)
        options = read_options(config, existing.options)
        wanted = _wanted(name, model_uri or existing.asked or existing.model_uri, options, existing)
        if existing.old is not None or not runs(existing):
            return _start(wanted, existing)
        if _place(existing) != _place(wanted) and supervisor.read_record(name).get("foreground"):
            raise DeploymentError(
                f"{name!r} runs in the foreground, at {existing.url}. Start it anew for another address or store."
            )
        target = get_version(wanted.model_uri)
        if not _difference(existing, wanted) and existing.release_uri == target.uri:
            return Done(existing, f"{name} is up to date: nothing was changed")
        try:
            _move(existing, wanted, target) if _place(existing) != _place(wanted) else _change(wanted, target)
        except BaseException:  # also when the user interrupts
            _back(existing, wanted)
            raise
        return Done(get(name), f"{name} was updated")


def delete(name: str) -> str:
    """End a deployment and forget it, its keys too; one that doesn't exist is deleted already. Return what was done."""
    with state.lock(name):
        existing = state.read(name)
        if existing is None and not state.deployment_folder(name).exists():
            return f"there is no deployment {name}: nothing was deleted"
        _end(name, existing)
        state.remove(name)
    return f"{name} was deleted"


def forget(name: str) -> None:
    """What remains to be done when a deployment in the foreground has ended: its keys stay."""
    _release_engine(name)
    state.remove(name, keep=(KEYS, "logs"))


def get(name: str) -> Deployment:
    """Raises DeploymentError if there is no deployment of this name."""
    found = state.read(name)
    if found is None:
        names = ", ".join(deployment.name for deployment in state.read_all()) or "none"
        raise DeploymentError(f"no deployment named {name!r}. Deployed: {names}.")
    return found


def foreground(name: str, model_uri: str, config: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Write down a deployment for a process that becomes its supervisor: the command line and environment to do so.

    Raises:
        LLMOpsError: as `create`.
    """
    with state.lock(name):
        existing = state.read(name)
        if existing is not None and runs(existing):
            raise DeploymentError(f"{name!r} is deployed already, at {existing.url}. Delete it first, or take another name.")
        wanted = _wanted(name, model_uri, read_options(config), existing)
        _write(wanted, existing)
    return supervisor.command(name, foreground=True), supervisor.environment_of(wanted)


# What is to be


def _wanted(name: str, model_uri: str, options: Options, existing: Deployment | None) -> Deployment:
    """The deployment as asked for, checked as far as it can be before anything starts."""
    version = get_version(model_uri)
    read_release(version.uri)  # refuses what is none: an index loads too, and couldn't answer
    _check_options(name, options)
    port = options.port or (existing.port if existing else 0)
    if existing is None or not runs(existing) or (options.host, port) != (existing.options.host, existing.port):
        port = process.check_port(options.host, port)
    created = existing.created if existing else ""
    pinned = "" if options.follow or version.uri == model_uri else model_uri
    return Deployment(
        name, version.uri if pinned else model_uri, options, port, _store(), created, state.now(), pinned
    )  # fmt: skip


def _check_options(name: str, options: Options) -> None:
    """Raises LLMOpsError for what would fail only in a worker."""
    check_bind(options.host, bool(read_keys(state.deployment_folder(name) / KEYS)))
    if options.certificate:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.certificate, options.private_key)
        except (OSError, ssl.SSLError) as error:
            raise DeploymentError(
                f"certificate {options.certificate} and its private_key can't be used ({error})."
            ) from error
    if options.webhook_secret_env:
        read_secret(options.webhook_secret_env)
    if options.engine_key_env and options.engine_key_env not in os.environ:
        raise DeploymentError(f"the environment variable {options.engine_key_env} that engine_key_env names is not set.")
    if options.engine == "vllm":
        from llmops.serving.engine.environment import find_environment

        find_environment()


def _store() -> dict[str, str]:
    """What processes have to know of the store, also after a restart of the machine; no secrets."""
    known = store_environment()
    return {name: value for name, value in known.items() if name.startswith("MLFLOW_") and not _SECRET.search(name)}


def _difference(existing: Deployment, wanted: Deployment) -> str:
    """What is other in what was asked for, as it is now; empty if nothing is."""
    now, then = existing.options.to_dict(), wanted.options.to_dict()
    if not wanted.options.port:
        then["port"] = now["port"]
    if wanted.options.port == existing.port:
        now["port"] = then["port"]
    others = [f"{name}={now[name]}" for name in now if now[name] != then[name] and name != "timeout_s"]
    if (existing.asked or existing.model_uri) != (wanted.asked or wanted.model_uri):
        others.insert(0, existing.asked or existing.model_uri)
    if existing.store and _stores(existing) != _stores(wanted):
        others.insert(0, f"the store {without_password(existing.store['MLFLOW_TRACKING_URI'])}")
    return ", ".join(others)


def _place(deployment: Deployment) -> tuple[str | int, ...]:
    """What only processes that start anew can change."""
    return deployment.options.host, deployment.port, *_stores(deployment)


def _stores(deployment: Deployment) -> tuple[str, ...]:
    return tuple(deployment.store.get(name, "") for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"))


# Starting, changing, ending


def _start(wanted: Deployment, existing: Deployment | None) -> Done:
    """Start it from nothing; where it doesn't come up nothing is left running, and what was there is stopped as before."""
    if existing is not None:
        _end(wanted.name, existing, keep_engine=True)
    _write(wanted, existing)
    try:
        _bring_up(wanted, get_version(wanted.model_uri))
    except BaseException:  # also when the user interrupts
        _end(wanted.name, wanted)
        _restore(wanted.name, existing)
        raise
    return Done(get(wanted.name), f"{wanted.name} was deployed")


def _write(wanted: Deployment, before: Deployment | None) -> None:
    """Write down what is asked for; a plan about another store's releases is none for this one's."""
    if before is not None and _stores(before) != _stores(wanted):
        (wanted.folder / state.PLAN).unlink(missing_ok=True)
    state.write(wanted)


def _restore(name: str, existing: Deployment | None) -> None:
    if existing is None or existing.old is not None:
        state.remove(name, keep=(KEYS, EVENTS, "logs"))
    else:
        state.write(existing)


def _bring_up(wanted: Deployment, target: Registered) -> None:
    started, since = supervisor.start(wanted), state.now()

    def check() -> None:
        if started.poll() is not None and supervisor.find_supervisor(wanted.name) is None:
            log = supervisor.log_of(wanted, "supervisor")
            raise DeploymentError(f"the supervisor ended while starting: {process.last_words(log)} Its log: {log}")

    _wait(wanted, target, since, check)


def _move(existing: Deployment, wanted: Deployment, target: Registered) -> None:
    """To another address or store: end it there, and start it here."""
    supervisor.stop(existing)
    _write(wanted, existing)
    _bring_up(wanted, target)


def _change(wanted: Deployment, target: Registered) -> None:
    """Let those that run take the new options."""
    since = state.now()
    state.write(wanted)
    _wait(wanted, target, since, lambda: None)


def _back(existing: Deployment, wanted: Deployment) -> None:
    """As it was before an update."""
    if _place(existing) != _place(wanted):
        supervisor.stop(wanted)
    _write(existing, wanted)
    if supervisor.find_supervisor(existing.name) is None:
        supervisor.start(existing)


def _wait(wanted: Deployment, target: Registered, since: str, check: Callable[[], None]) -> None:
    """Wait until all workers answer with the release, and have the options.

    Raises:
        DeploymentError: they can't, or not in time.
    """
    deadline, again = time.monotonic() + wanted.options.timeout_s, time.monotonic() + _AGAIN_S
    while not _is_served(wanted, target):
        if time.monotonic() > again:  # the alias may have moved on
            target, again = get_version(wanted.model_uri), time.monotonic() + _AGAIN_S
        check()
        if reason := _failure(wanted, target, since):
            raise DeploymentError(f"{target.uri} is not served: {reason}")
        if time.monotonic() > deadline:
            last = (read_events(wanted.folder, 1) or [{"text": "nothing was said."}])[-1].get("text", "")
            raise DeploymentError(
                f"{wanted.name!r} was not ready after {wanted.options.timeout_s:.0f} s: {last} "
                f"Its logs: {wanted.folder / 'logs'}"
            )
        time.sleep(0.1)


def _is_served(wanted: Deployment, target: Registered) -> bool:
    record, plan = supervisor.read_record(wanted.name), state.read_plan(wanted.name)
    written = state.read_json(wanted.folder / state.DEPLOYMENT).get("updated")
    if record.get("applied") != written or plan.get("current") != target.uri:
        return False
    releases = [one["release"] for one in workers(wanted, record)]
    return releases == [target.uri] * wanted.options.workers and _answers(wanted)


def _answers(deployment: Deployment) -> bool:
    try:
        with client_of(deployment, 5.0) as client:
            return bool(client.get("/ready").is_success)
    except (httpx.HTTPError, OSError):
        return False


def _failure(wanted: Deployment, target: Registered, since: str) -> str:
    """Why it won't come to be served, if that is known already."""
    record = supervisor.read_record(wanted.name)
    if record.get("problem"):
        return str(record["problem"])
    for slot, child in record.get("children", {}).items():
        if child["failures"] >= _ENDINGS:
            return f"{slot} keeps ending: {child['said']} Its log: {supervisor.log_of(wanted, slot)}"
    for event in reversed(read_events(wanted.folder, 50)):
        if event["time"] > since and event["event"] in _BAD and event.get("release") in (None, target.uri):
            return str(event.get("text", ""))
    return ""


def _end(name: str, existing: Deployment | None, keep_engine: bool = False) -> None:
    """End all processes. The record of what was asked for is gone then, so that none of them starts another."""
    state.forget(name)
    if existing is not None and existing.old is not None:
        _end_old(*existing.old)
    elif existing is not None or supervisor.find_processes(name):
        supervisor.stop(existing or Deployment(name, "", Options(), 0))
    if not keep_engine:
        _release_engine(name)


def _end_old(pid: int, started: float) -> None:
    """The gateway process of version 0.1.0, which knew processes by the clock."""
    if runs_old(pid, started):
        process.stop(pid, process.started(pid))


def _release_engine(name: str) -> None:
    from llmops.serving.engine import engines

    engines.release(name)
