"""How things stand with a deployment: what was asked for, what runs, what happened last, and what is wrong."""

from collections.abc import Iterator, Mapping
from typing import Any

import psutil

from llmops.addresses import without_password
from llmops.errors import DeploymentError, LLMOpsError
from llmops.serving import state
from llmops.serving.options import Options
from llmops.serving.process import Running
from llmops.serving.rollout.events import read_events
from llmops.serving.rollout.target import resolve
from llmops.serving.state import Deployment
from llmops.serving.supervisor.child import RECONCILER_SLOT
from llmops.serving.supervisor.record import find_processes, find_supervisor, read_record

_MOST_EVENTS = 1000  # that are looked through


def describe_all() -> list[dict[str, Any]]:
    """All deployments by name, those too that can't be read."""
    found: list[dict[str, Any]] = []
    for name in state.names():
        try:
            if (deployment := state.read(name)) is not None:
                found.append(describe(deployment))
        except DeploymentError as error:
            found.append({"name": name, "status": "damaged", "problems": [str(error)]})
    return found


def describe(deployment: Deployment) -> dict[str, Any]:
    """What `list` shows: what is asked for, what answers, and whether it runs."""
    return {
        "name": deployment.name, "url": deployment.url, "status": "running" if runs(deployment) else "stopped",
        "model_uri": deployment.asked or deployment.model_uri, "release_uri": deployment.release_uri,
        "port": deployment.port, "engine": deployment.options.engine, "folder": str(deployment.folder),
    }  # fmt: skip


def describe_fully(deployment: Deployment) -> dict[str, Any]:
    """What `get` shows: also what the alias says, who runs, what happened last, and what is wrong."""
    plan, record = state.read_plan(deployment.name), read_record(deployment.name)
    means, unknown = _meaning(deployment)
    return {
        **describe(deployment), "alias_means": means, "warm": plan.get("previous") or "", "canary": plan.get("canary"),
        "shadow": plan.get("shadow") or "", "options": _shown(deployment.options),
        "store": without_password(deployment.store.get("MLFLOW_TRACKING_URI", "")),
        "created": deployment.created, "updated": deployment.updated, "supervisor": record.get("supervisor", {}).get("pid"),
        "workers": workers(deployment, record), "engine_state": _engine_state(deployment),
        "events": read_events(deployment.folder, 10), "problems": [*unknown, *_problems(deployment, record, means)],
    }  # fmt: skip


def _shown(options: Options) -> dict[str, Any]:
    return options.to_dict() | {"engine_url": without_password(options.engine_url)}


def runs(deployment: Deployment) -> bool:
    if deployment.old is not None:
        return runs_old(*deployment.old)
    return bool(find_processes(deployment.name))


def has_answered(deployment: Deployment) -> bool:
    """Whether it was ever served since it was created: by its plan or, where that is lost, by its events."""
    return bool(deployment.release_uri) or any(
        one["event"] == "rollout" and one["time"] > deployment.created
        for one in read_events(deployment.folder, _MOST_EVENTS)
    )


def runs_old(pid: int, started: float) -> bool:
    try:
        return bool(abs(psutil.Process(pid).create_time() - started) < 2.0)
    except psutil.NoSuchProcess:
        return False


def workers(deployment: Deployment, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Workers that run: what each answers with, and what it can't load."""
    found = []
    for slot, one in record.get("children", {}).items():
        running = Running(one["pid"], one["started"])
        if slot != RECONCILER_SLOT and running.alive:
            report = state.read_json(deployment.folder / f"worker-{running.pid}.json")
            found.append(
                {"worker": slot, "pid": running.pid, "release": report.get("current", ""), "restarts": one["restarts"],
                 "errors": report.get("errors", {})}
            )  # fmt: skip
    return found


def _meaning(deployment: Deployment) -> tuple[str, list[str]]:
    """What the model URI means now by the registry, and why that isn't known."""
    try:
        return resolve(deployment.asked or deployment.model_uri).uri, []
    except LLMOpsError as error:
        return "", [str(error)]
    except Exception as error:  # whatever MLflow raises for a server that is away
        return "", [f"the registry doesn't answer ({type(error).__name__})."]


def _engine_state(deployment: Deployment) -> dict[str, Any]:
    options = deployment.options
    if options.engine == "transformers":
        return {"kind": options.engine, "where": "in each worker"}
    if options.engine == "url":
        return {"kind": options.engine, "where": without_password(options.engine_url)}
    from llmops.serving.engine import engines

    engine = engines.engine_of(deployment.name)
    if engine is None:
        return {"kind": options.engine, "where": "not started"}
    record = engine.record
    return {
        "kind": options.engine, "where": record.url, "version": record.version, "base": record.spec.base,
        "adapters": sorted(record.adapters), "restarts": record.restarts, "log": str(engine.log),
    }  # fmt: skip


def _problems(deployment: Deployment, record: Mapping[str, Any], means: str) -> Iterator[str]:
    if deployment.old is not None:
        yield "an earlier version of this package started it. Update it, so that it follows its alias."
        return
    if not runs(deployment):
        yield "nothing of it runs. Create it again, or start its supervisor."
        return
    if find_supervisor(deployment.name) is None:
        yield "its supervisor has ended; a worker starts another."
    if problem := record.get("problem"):
        yield str(problem)
    if means and deployment.options.follow and means != deployment.release_uri:
        last = next((one for one in reversed(read_events(deployment.folder, 50)) if one.get("release") == means), None)
        yield f"{means} is asked for and doesn't answer yet{': ' + last.get('text', '') if last else '.'}"
    for slot, child in record.get("children", {}).items():
        if child["failures"] > 1:
            yield f"{slot} keeps ending ({child['failures']} times): {child['said']}"
    for worker in workers(deployment, record):
        yield from (f"{worker['worker']} can't load {uri}: {line}" for uri, line in worker["errors"].items())
