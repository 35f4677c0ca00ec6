"""What is known of deployments on disk: whole, private, and still right after a restart."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from llmops.errors import DeploymentError
from llmops.serving import deployments, process, state
from llmops.serving.keys.file import create_key
from llmops.serving.options import Options
from llmops.serving.state import Deployment
from llmops.serving.status import describe, describe_all, describe_fully

OLD = {
    "name": "handbook", "model_uri": "models:/handbook@champion", "release_uri": "models:/handbook/5", "digest": "d" * 64,
    "host": "127.0.0.1", "port": 8210, "pid": 2**22, "started": 0.0, "log": "handbook.log",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def deployment(name: str = "handbook", **options: object) -> Deployment:
    return Deployment(name, "models:/handbook@champion", Options(**options), 8210, {"MLFLOW_TRACKING_URI": "sqlite:////a"})  # type: ignore[arg-type]


def test_what_is_written_is_read_again() -> None:
    made = deployment(workers=2, follow=False)
    state.write(made)
    found = state.read("handbook")
    assert found is not None and found.options == made.options and found.store == made.store
    assert found.url == "http://127.0.0.1:8210" and found.created and found.updated >= found.created
    assert [one.name for one in state.read_all()] == ["handbook"]


def test_copies_go_with_the_last_deployment_whatever_is_kept_of_it(folder: Path) -> None:
    for name in ("handbook", "other"):
        state.write(deployment(name))
        (state.deployment_folder(name) / "keys.json").touch()
    (folder / "copies" / "store").mkdir(parents=True)
    state.remove("handbook")
    assert (folder / "copies").exists()
    state.remove("other", keep=("keys.json",))  # as when it ran in the foreground
    assert not (folder / "copies").exists() and (folder / "other" / "keys.json").exists()


@pytest.mark.parametrize("first", ["deployment", "keys", "someone"])
def test_nobody_else_may_read_it(folder: Path, first: str) -> None:
    if first == "keys":  # as the documentation has it
        create_key(folder / "handbook", "alice")
    if first == "someone":
        (folder / "handbook").mkdir(parents=True, mode=0o755)
    state.write(deployment())
    assert stat.S_IMODE((folder / "handbook").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "handbook" / "deployment.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "https://127.0.0.1:8210"), ("::", "https://[::1]:8210"), ("::1", "https://[::1]:8210")]
)
def test_the_address_is_one_that_can_be_asked(host: str, url: str) -> None:
    assert deployment(host=host, certificate="/a", private_key="/b").url == url


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "engines", "adapters", "x" * 64])
def test_a_name_that_is_no_folder_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(DeploymentError, match="Rename it"):
        state.read(name)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2}', '{"format": 1}'])
def test_a_damaged_file_says_what_to_do(folder: Path, text: str) -> None:
    state.write(deployment())
    (folder / "handbook" / "deployment.json").write_text(text)
    with pytest.raises(DeploymentError, match="Delete the deployment 'handbook' and create it again"):
        state.read("handbook")


def test_the_file_of_an_earlier_version_is_read_and_gives_way(folder: Path) -> None:
    folder.mkdir()
    (folder / "handbook.json").write_text(json.dumps(OLD))
    found = state.read("handbook")
    assert found is not None and (found.release_uri, found.port, found.releases) == (
        "models:/handbook/5", 8210, ("models:/handbook/5",)
    )  # fmt: skip
    assert describe(found)["status"] == "stopped"
    state.write(deployment())
    assert not (folder / "handbook.json").exists() and [one.old for one in state.read_all()] == [None]


def test_one_that_is_damaged_is_listed_with_the_others_and_can_be_deleted(folder: Path) -> None:
    for name in ("handbook", "other"):
        state.write(replace(deployment(), name=name))
    (folder / "handbook" / "deployment.json").write_text('{"format": 1')
    damaged, other = describe_all()
    assert (damaged["name"], damaged["status"], other["name"], other["status"]) == (
        "handbook",
        "damaged",
        "other",
        "stopped",
    )
    assert "Delete the deployment 'handbook' and create it again" in damaged["problems"][0]
    assert deployments.delete("handbook") == "handbook was deleted" and state.names() == ["other"]


def test_a_gateway_of_an_earlier_version_that_runs_is_known_by_its_beginning(folder: Path, store: str) -> None:
    folder.mkdir()
    ours = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    (folder / "handbook.json").write_text(json.dumps({**OLD, **ours}))
    (found,) = state.read_all()
    assert describe(found)["status"] == "running"
    assert any("Update it" in line for line in describe_fully(found)["problems"])
    (folder / "handbook.json").write_text(json.dumps({**OLD, **ours, "started": 1.0}))
    assert describe(state.read_all()[0])["status"] == "stopped"


def test_what_is_served_is_what_the_plan_says() -> None:
    state.write(deployment())
    found = state.read("handbook")
    assert found is not None and found.release_uri == "" and found.releases == ()
    plan = {"current": "models:/handbook/5", "loaded": {"models:/handbook/4": {}}, "leaving": {"models:/handbook/3": {}}}
    state.write_json(found.folder / state.PLAN, plan)
    assert found.releases == ("models:/handbook/5", "models:/handbook/4", "models:/handbook/3")


def test_a_kill_while_writing_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    code = """
import itertools, sys
from llmops.serving import state
for number in itertools.count():
    state.write_json(state.state_folder() / "x.json", {"number": number, "rest": "x" * 50_000})
"""
    state.state_folder().mkdir()
    path = state.state_folder() / "x.json"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code])
        path.unlink(missing_ok=True)
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.05)
        writer.kill()
        writer.wait()
        assert len(state.read_json(path)["rest"]) == 50_000


HOLD = """
import time
from llmops.serving import state
with state.lock("handbook"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_let_go_of_by_a_kill() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    got = threading.Event()

    def take() -> None:
        with state.lock("handbook"):
            got.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not got.wait(0.2)
    holder.kill()
    holder.wait()
    assert got.wait(10)
    waiting.join()


def test_removing_can_keep_the_keys(folder: Path) -> None:
    state.write(deployment())
    create_key(folder / "handbook", "alice")
    state.remove("handbook", keep=("keys.json",))
    assert [path.name for path in (folder / "handbook").iterdir()] == ["keys.json"] and state.read_all() == []
    state.remove("handbook")
    state.remove("handbook")
    assert not (folder / "handbook").exists()


def test_a_process_is_known_by_its_beginning() -> None:
    child = subprocess.Popen(["sleep", "60"])
    running = process.Running(child.pid, process.started(child.pid))
    assert running.alive and not process.Running(child.pid, running.started + 1).alive
    process.stop(child.pid, running.started + 1)  # another's
    assert running.alive
    child.kill()
    assert process.wait_until_gone(running, 10)  # though nobody has waited for it yet
    child.wait()
    assert process.started(child.pid) == 0.0 and not process.Running(0, 0.0).alive


def test_what_ignores_the_question_is_killed() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "up\n"
    process.stop(child.pid, process.started(child.pid), grace_s=0.2)
    assert child.wait(10) == -9
