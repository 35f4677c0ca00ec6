"""Deployments on this machine: create, update, delete. Each may be given again, and changes nothing then."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmops.errors import DeploymentError
from llmops.serving import lifecycle, state
from llmops.serving.keys.file import FILE as KEYS
from llmops.serving.options import read_options
from llmops.serving.readiness import wait_until_answering
from llmops.serving.rollout.target import resolve
from llmops.serving.state import Deployment
from llmops.serving.status import has_answered, runs
from llmops.serving.supervisor import starting
from llmops.serving.supervisor.record import read_record
from llmops.serving.wanted import check_wanted, difference, place


@dataclass(frozen=True)
class Done:
    """A deployment, and what was done about it, in a line."""

    deployment: Deployment
    said: str


def create(name: str, model_uri: str, config: Mapping[str, Any]) -> Done:
    """Serve what `model_uri` means; return when it answers. What is deployed so already is left alone.

    What a `create` that was killed began is seen to its end.

    Raises:
        DeploymentError: the name is taken by another, the port is in use, or it didn't start. Nothing is left running,
            unless it has answered before.
        ConfigError: an option makes no sense.
        ArtifactError: `model_uri` names no registered release.
    """
    options = read_options(config)
    with state.lock(name):
        existing = state.read(name)
        wanted = check_wanted(name, model_uri, options, existing)
        if existing is None or not runs(existing):
            return _start(wanted, existing)
        if others := difference(existing, wanted):
            raise DeploymentError(
                f"{name!r} is deployed already, at {existing.url}, with {others}. Update it, or delete it first."
            )
        if not has_answered(existing):
            return _go_on(wanted)
        if existing.old is None:
            wait_until_answering(wanted)
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
        wanted = check_wanted(name, model_uri or existing.asked or existing.model_uri, options, existing)
        if existing.old is not None or not runs(existing):
            return _start(wanted, existing)
        if place(existing) != place(wanted) and read_record(name).get("foreground"):
            raise DeploymentError(
                f"{name!r} runs in the foreground, at {existing.url}. Start it anew for another address or store."
            )
        if existing.options.engine == "vllm" and (other := existing.options.other_vllm(wanted.options)):
            raise DeploymentError(
                f"{other} is what vLLM is started with, and it runs. Delete {name!r}, and create it anew with that."
            )
        target = resolve(wanted.model_uri)
        if not difference(existing, wanted) and existing.release_uri == target.uri:
            return Done(existing, f"{name} is up to date: nothing was changed")
        try:
            if place(existing) != place(wanted):
                lifecycle.move(existing, wanted, target)
            else:
                lifecycle.change(wanted, target)
        except BaseException:  # also when the user interrupts
            lifecycle.back(existing, wanted)
            raise
        return Done(get(name), f"{name} was updated")


def delete(name: str) -> str:
    """End a deployment and forget it, its keys too; one that doesn't exist is deleted already. Return what was done."""
    with state.lock(name):
        try:
            existing = state.read(name)
        except DeploymentError:  # damaged: what runs of it is known all the same
            existing = None
        if existing is None and not state.deployment_folder(name).exists():
            return f"there is no deployment {name}: nothing was deleted"
        lifecycle.end(name, existing)
        state.remove(name)
    return f"{name} was deleted"


def forget(name: str) -> None:
    """What remains to be done when a deployment in the foreground has ended: its keys and logs stay."""
    lifecycle.release_engine(name)
    state.remove(name, keep=(KEYS, "logs"))


def get(name: str) -> Deployment:
    """Raises DeploymentError if there is no deployment of this name."""
    found = state.read(name)
    if found is None:
        raise DeploymentError(f"no deployment named {name!r}. Deployed: {', '.join(state.names()) or 'none'}.")
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
        wanted = check_wanted(name, model_uri, read_options(config), existing)
        lifecycle.write(wanted, existing)
    return starting.command(name, foreground=True), starting.environment_of(wanted)


def _start(wanted: Deployment, existing: Deployment | None) -> Done:
    """Start it from nothing; where it doesn't come up nothing is left running, and what was there is stopped as before."""
    if existing is not None:
        lifecycle.end(wanted.name, existing, keep_engine=True)
    lifecycle.write(wanted, existing)
    try:
        lifecycle.bring_up(wanted, resolve(wanted.model_uri))
    except BaseException:  # also when the user interrupts
        lifecycle.end(wanted.name, wanted)
        lifecycle.restore(wanted.name, existing)
        raise
    return Done(get(wanted.name), f"{wanted.name} was deployed")


def _go_on(wanted: Deployment) -> Done:
    """See to its end what was begun; where it doesn't come up nothing is left running, but what is in the foreground."""
    in_foreground = read_record(wanted.name).get("foreground")
    try:
        lifecycle.change(wanted, resolve(wanted.model_uri))
    except BaseException:  # also when the user interrupts
        if not in_foreground and not has_answered(wanted):
            lifecycle.end(wanted.name, wanted)
            lifecycle.restore(wanted.name, None)
        raise
    return Done(get(wanted.name), f"{wanted.name} was deployed")
