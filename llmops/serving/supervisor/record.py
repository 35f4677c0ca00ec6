"""Who runs of a deployment, as its supervisor wrote it into `processes.json`."""

from collections.abc import Mapping
from typing import Any

from llmops.serving import process, state
from llmops.serving.process import Running


def read_record(name: str) -> dict[str, Any]:
    """Who runs, as the supervisor wrote it; nothing after the machine was started anew."""
    record = state.read_json(state.deployment_folder(name) / state.PROCESSES)
    return record if record.get("boot") == process.boot_id() else {}


def find_supervisor(name: str) -> Running | None:
    """The supervisor, if it runs."""
    found = read_record(name).get("supervisor")
    running = running_of(found) if found else None
    return running if running and running.alive else None


def find_processes(name: str) -> dict[str, Running]:
    """All processes of a deployment that run, by what they are."""
    record = read_record(name)
    named = {**record.get("children", {}), **{f"leaving-{one['pid']}": one for one in record.get("leaving", ())}}
    if "supervisor" in record:
        named["supervisor"] = record["supervisor"]
    return {name: running for name, one in named.items() if (running := running_of(one)).alive}


def running_of(found: Mapping[str, Any]) -> Running:
    return Running(int(found["pid"]), float(found["started"]))
