"""Who looks after whom: real processes, killed one by one, with a worker that needs no release."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateways import Load

from llmops.serving import process, state
from llmops.serving.options import Options
from llmops.serving.process import Running
from llmops.serving.rollout.events import read_events
from llmops.serving.state import Deployment
from llmops.serving.supervisor import starting
from llmops.serving.supervisor.record import find_processes, find_supervisor, read_record

NAME = "handbook"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr(starting, "SUPERVISOR", "fake_serving.supervisor")


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    made = Deployment(NAME, "models:/handbook@champion", Options(workers=2, request_timeout_s=5), 0)
    made = replace(made, port=process.check_port("127.0.0.1", 0))
    state.write(made)
    starting.start(made)
    wait(lambda: len(workers()) == 2 and "reconciler" in find_processes(NAME) and has_reported())
    yield made
    state.forget(NAME)
    starting.stop(made)


def wait(is_so: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, json.dumps(read_events(state.deployment_folder(NAME)), indent=1)
        time.sleep(0.05)


def workers() -> dict[str, Running]:
    return {slot: one for slot, one in find_processes(NAME).items() if slot.startswith("worker")}


def has_reported() -> bool:
    return all((state.deployment_folder(NAME) / f"worker-{one.pid}.json").exists() for one in workers().values())


def pids() -> dict[str, int]:
    return {slot: one.pid for slot, one in find_processes(NAME).items()}


def kill(running: Running) -> None:
    process.ask_to_end(running, signal.SIGKILL)
    assert process.wait_until_gone(running, 10)


def ask(deployment: Deployment, path: str = "/") -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(deployment.url + path, timeout=30, trust_env=False).json()
    return answer


def test_it_is_small() -> None:
    heavy = {"torch", "mlflow", "numpy", "fastapi"}
    code = f"import llmops.serving.supervisor.__main__, sys; print(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_killed_worker_or_reconciler_is_started_again_and_no_other_request_is_lost(deployment: Deployment) -> None:
    before = pids()
    with Load(deployment.url) as load:
        for slot in ("worker-1", "reconciler"):
            kill(find_processes(NAME)[slot])
        wait(lambda: len(pids()) == 4 and has_reported())
    after = pids()
    assert {slot for slot in after if after[slot] != before[slot]} == {"worker-1", "reconciler"}
    assert load.answered and len(load.failed) <= 1  # what the killed one was at
    said = [event for event in read_events(deployment.folder) if event["event"] == "restart"]
    assert {event["process"] for event in said} == {"worker-1", "reconciler"}


def test_a_worker_that_ended_leaves_no_file_of_metrics(deployment: Deployment) -> None:
    metrics = deployment.folder / "metrics"
    started = {one.pid for one in workers().values()}
    for pid in started:
        (metrics / f"counter_{pid}.db").write_bytes(bytes(16))
    kill(workers()["worker-1"])
    wait(lambda: len(workers()) == 2 and {one.pid for one in workers().values()} != started)
    left = started & {one.pid for one in workers().values()}
    assert [file.name for file in metrics.iterdir()] == [f"counter_{pid}.db" for pid in left]


def test_callers_wait_in_the_socket_while_no_worker_runs(deployment: Deployment) -> None:
    for one in workers().values():
        os.kill(one.pid, signal.SIGKILL)
    assert ask(deployment)["pid"] not in {one.pid for one in workers().values() if not one.alive}


def test_the_workers_of_a_killed_supervisor_go_on_and_start_another(deployment: Deployment) -> None:
    before, first = pids(), find_supervisor(NAME)
    assert first is not None
    with Load(deployment.url) as load:
        kill(first)
        wait(lambda: find_supervisor(NAME) is not None)
        second = find_supervisor(NAME)
    assert second != first and load.answered and not load.failed
    assert {**pids(), "supervisor": 0} == {**before, "supervisor": 0}  # all others are the same
    kill(workers()["worker-2"])
    wait(lambda: len(workers()) == 2)
    assert "took over 3 processes" in " ".join(event["text"] for event in read_events(deployment.folder))


def test_the_reconciler_starts_a_supervisor_where_all_others_were_killed(deployment: Deployment) -> None:
    running = find_processes(NAME)
    for slot in ("supervisor", "worker-1", "worker-2"):
        kill(running[slot])
    wait(lambda: len(workers()) == 2 and has_reported())
    assert pids()["reconciler"] == running["reconciler"].pid and ask(deployment)["pid"] in pids().values()


def test_other_options_come_with_workers_that_answer_before_the_old_ones_end(deployment: Deployment) -> None:
    before = pids()
    with Load(deployment.url) as load:
        state.write(replace(deployment, options=replace(deployment.options, trace_rate=0.25)))
        wait(is_applied)
        wait(lambda: len(find_processes(NAME)) == 4)
    after = pids()
    assert {slot for slot in after if after[slot] != before[slot]} == {"worker-1", "worker-2"}
    assert load.answered and not load.failed and ask(deployment)["rate"] == 0.25


def test_workers_stay_where_those_with_other_options_cannot_start(deployment: Deployment) -> None:
    before = pids()
    state.write(replace(deployment, options=replace(deployment.options, trace_rate=0.5)))
    wait(lambda: read_record(NAME)["problem"])
    assert "the weights are gone" in read_record(NAME)["problem"]
    assert pids() == before and ask(deployment)["rate"] == 1.0


def test_options_that_no_worker_reads_replace_none(deployment: Deployment) -> None:
    before = pids()
    state.write(replace(deployment, options=replace(deployment.options, workers=1, poll_s=1.0)))
    wait(is_applied)
    wait(lambda: len(workers()) == 1)
    assert workers()["worker-1"].pid == before["worker-1"]


def test_told_to_it_replaces_all_workers_as_for_a_new_certificate(deployment: Deployment) -> None:
    before, running = pids(), find_supervisor(NAME)
    assert running is not None
    with Load(deployment.url) as load:
        process.ask_to_end(running, signal.SIGHUP)
        wait(lambda: all(workers()[slot].pid != before[slot] for slot in ("worker-1", "worker-2")))
        wait(lambda: is_applied() and len(find_processes(NAME)) == 4)
    assert load.answered and not load.failed and pids()["supervisor"] == before["supervisor"]


def test_a_certificate_that_was_renewed_comes_with_new_workers(deployment: Deployment, tmp_path: Path) -> None:
    files = tmp_path / "tls.pem", tmp_path / "tls.key"
    for file in files:
        file.write_text("old")
    options = replace(deployment.options, certificate=str(files[0]), private_key=str(files[1]))
    state.write(replace(deployment, options=options))
    wait(is_applied)
    before = pids()
    for file in files:
        file.write_text("new")
    wait(lambda: all(workers()[slot].pid != before[slot] for slot in ("worker-1", "worker-2")))
    wait(is_applied)


def is_applied() -> bool:
    written = state.read(NAME)
    return written is not None and read_record(NAME).get("applied") == written.updated


def test_told_to_end_it_lets_what_is_under_way_end(deployment: Deployment) -> None:
    said: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: said.append(ask(deployment, "/slow")))
    asking.start()
    time.sleep(0.3)
    running = find_processes(NAME)
    process.ask_to_end(running["supervisor"])
    asking.join()
    assert said[0]["pid"] in {one.pid for one in running.values()}
    assert all(process.wait_until_gone(one, 20) for one in running.values())
    with pytest.raises(httpx.ConnectError):
        ask(deployment)


def test_what_keeps_ending_is_started_later_and_later_and_never_given_up(deployment: Deployment) -> None:
    (deployment.folder / "broken").touch()
    kill(workers()["worker-1"])
    wait(lambda: read_record(NAME)["children"]["worker-1"]["failures"] >= 4)
    said = [event for event in read_events(deployment.folder) if event.get("process") == "worker-1"]
    assert [event["text"].split(":")[0].split("again ")[1] for event in said[:4]] == [
        "at once",
        "in 1 s",
        "in 2 s",
        "in 4 s",
    ]
    assert "the weights are gone" in said[-1]["text"]
    (deployment.folder / "broken").unlink()
    wait(lambda: len(workers()) == 2)


def test_all_ends_where_the_deployment_was_forgotten(deployment: Deployment) -> None:
    running = find_processes(NAME)
    state.forget(NAME)
    assert all(process.wait_until_gone(one, 20) for one in running.values())


def test_workers_end_without_deployment_and_supervisor(deployment: Deployment) -> None:
    running = find_processes(NAME)
    state.forget(NAME)
    os.kill(running["supervisor"].pid, signal.SIGKILL)
    assert all(process.wait_until_gone(one, 30) for one in running.values())


def test_there_is_one_supervisor(deployment: Deployment) -> None:
    first = find_supervisor(NAME)
    second = starting.start(deployment)
    assert second.wait(30) == 2 and find_supervisor(NAME) == first
    assert "has a supervisor that runs" in process.last_words(starting.log_of(deployment, "supervisor"))
    assert not starting.revive(NAME)


def test_processes_recorded_before_a_restart_of_the_machine_are_not_ours(deployment: Deployment) -> None:
    path = deployment.folder / state.PROCESSES
    record = state.read_json(path)
    process.ask_to_end(find_processes(NAME)["supervisor"], signal.SIGSTOP)  # it writes no more
    try:
        state.write_json(path, {**record, "boot": "another"})
        assert find_processes(NAME) == {} and find_supervisor(NAME) is None
    finally:
        state.write_json(path, record)
        process.ask_to_end(find_processes(NAME)["supervisor"], signal.SIGCONT)
