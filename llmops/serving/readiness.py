"""Whether a deployment answers with what is asked for, and if it doesn't, why."""

import time
from collections.abc import Callable

import httpx

from llmops.errors import DeploymentError
from llmops.serving import state
from llmops.serving.asking import client_of
from llmops.serving.rollout.events import read_events
from llmops.serving.rollout.target import resolve
from llmops.serving.state import Deployment
from llmops.serving.status import runs, workers
from llmops.serving.supervisor.record import read_record
from llmops.serving.supervisor.starting import log_of
from llmops.tracking.versions import Registered

_BAD = ("refused", "failed")  # events that say why a release isn't served
_AGAIN_S = 3.0  # between two looks at the alias while waiting for a release
_ENDINGS = 3  # of a process while starting, after which it is given up


def wait_until_served(wanted: Deployment, target: Registered, since: str, check: Callable[[], None]) -> None:
    """Wait until all workers answer with the release, and have the options.

    Raises:
        DeploymentError: they can't, or not in time.
    """
    deadline, again = time.monotonic() + wanted.options.timeout_s, time.monotonic() + _AGAIN_S
    while not _is_served(wanted, target):
        if time.monotonic() > again:  # the alias may have moved on
            target, again = resolve(wanted.model_uri), time.monotonic() + _AGAIN_S
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


def wait_until_answering(deployment: Deployment) -> None:
    """Wait until it answers, with whichever release it has.

    Raises:
        DeploymentError: it has ended, a process of it keeps ending, or it takes too long. What runs of it goes on.
    """
    timeout_s = deployment.options.timeout_s
    deadline = time.monotonic() + timeout_s
    while not _answers(deployment):
        reason = _ending(deployment) if runs(deployment) else "it has ended. Create it again."
        if not reason and time.monotonic() > deadline:
            reason = f"it was not ready after {timeout_s:.0f} s. Its logs: {deployment.folder / 'logs'}"
        if reason:
            raise DeploymentError(f"{deployment.name!r} does not answer: {reason}")
        time.sleep(0.1)


def _is_served(wanted: Deployment, target: Registered) -> bool:
    record, plan = read_record(wanted.name), state.read_plan(wanted.name)
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
    if problem := read_record(wanted.name).get("problem"):
        return str(problem)
    if reason := _ending(wanted):
        return reason
    for event in reversed(read_events(wanted.folder, 50)):
        if event["time"] > since and event["event"] in _BAD and event.get("release") in (None, target.uri):
            return str(event.get("text", ""))
    return ""


def _ending(deployment: Deployment) -> str:
    """Which process keeps ending, and what it said, if one does."""
    for slot, child in read_record(deployment.name).get("children", {}).items():
        if child["failures"] >= _ENDINGS:
            return f"{slot} keeps ending: {child['said']} Its log: {log_of(deployment, slot)}"
    return ""
