"""Deployments as a user has them: small real releases, real processes, aliases moved by decisions."""

import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from applications import decide, three_releases, use_copy
from gateways import Load
from mlflow import MlflowClient
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

from llmops.serving import deployments, process, state
from llmops.serving.keys.file import create_key
from llmops.serving.supervisor.record import find_processes, find_supervisor
from llmops.tracking.versions import get_version

pytestmark = pytest.mark.usefixtures("one_thread")
ONE, TWO, THREE, URI = *(f"models:/handbook/{number}" for number in (1, 2, 3)), "models:/handbook@champion"
QUESTION = [{"question": "How long is leave?"}]


@pytest.fixture(scope="module")
def registered(empty_store: Path, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of `handbook`, the first of which is the champion by the ledger."""
    path = three_releases(tmp_path_factory.mktemp("registered"), empty_store, tiny_lm)
    decide(get_version(ONE))
    return path


@pytest.fixture
def client(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The target as users get it, in a store of its own; all that was deployed is ended after the test."""
    use_copy(registered, tmp_path, monkeypatch)
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    yield get_deploy_client("llmops")
    for deployment in state.read_all():
        deployments.delete(deployment.name)


def wait(is_so: Callable[[], object], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_deployment_from_creation_to_deletion(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = client.create_deployment("handbook", URI, config={"poll_s": "0.2", "request_timeout_s": "20"})
    assert made["status"] == "running" and made["release_uri"] == ONE and made["flavor"] == "llmops"
    pids = find_processes("handbook")
    assert set(pids) == {"supervisor", "reconciler", "worker-1"}

    again = client.create_deployment("handbook", URI, config={"poll_s": "0.2", "request_timeout_s": "20"})
    assert again == made and "deployed already, with these settings" in capsys.readouterr().err
    with pytest.raises(MlflowException, match="deployed already, at .*, with poll_s=0.2.*Update it, or delete it"):
        client.create_deployment("handbook", URI, config={"request_timeout_s": "20"})
    client.update_deployment("handbook")
    assert "nothing was changed" in capsys.readouterr().err and find_processes("handbook") == pids

    answer = client.predict("handbook", QUESTION)["predictions"][0]
    assert answer["release"]["uri"] == ONE
    chunks = list(client.predict_stream("handbook", QUESTION))
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
    assert said == answer["choices"][0]["message"]["content"]

    decide(get_version(TWO))  # as `promote` does
    wait(lambda: client.get_deployment("handbook")["release_uri"] == TWO)
    wait(lambda: [one["release"] for one in client.get_deployment("handbook")["workers"]] == [TWO])
    shown = client.get_deployment("handbook")
    assert shown["alias_means"] == TWO and shown["warm"] == ONE and shown["problems"] == []
    assert [worker["release"] for worker in shown["workers"]] == [TWO]
    wait(lambda: [one["event"] for one in client.get_deployment("handbook")["events"]] == ["rollout", "rollout"])
    assert client.predict("handbook", QUESTION)["predictions"][0]["release"]["uri"] == TWO
    assert find_processes("handbook") == pids

    process.ask_to_end(pids["supervisor"], signal.SIGKILL)
    wait(lambda: find_supervisor("handbook") not in (None, pids["supervisor"]))
    wait(lambda: len(find_processes("handbook")) == 3)
    pids = find_processes("handbook") | {"first": pids["supervisor"], "worker-1": pids["worker-1"]}
    assert client.predict("handbook", QUESTION)["predictions"][0]["release"]["uri"] == TWO

    url = shown["url"]
    for one in find_processes("handbook").values():
        process.ask_to_end(one, signal.SIGKILL)  # as when the machine fails
    wait(lambda: client.list_deployments()[0]["status"] == "stopped")
    assert client.get_deployment("handbook")["problems"] == ["nothing of it runs. Create it again, or start its supervisor."]
    again = client.create_deployment("handbook", URI, config={"poll_s": "0.2", "request_timeout_s": "20"})
    assert (again["status"], again["url"], again["release_uri"]) == ("running", url, TWO)
    pids |= find_processes("handbook")

    client.delete_deployment("handbook")
    client.delete_deployment("handbook")
    assert "nothing was deleted" in capsys.readouterr().err
    assert client.list_deployments() == [] and not any(one.alive for one in pids.values())
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_a_create_that_was_killed_is_seen_to_its_end_by_the_next(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    begin_and_kill(URI)
    before, config = find_processes("handbook"), {"request_timeout_s": "20"}
    assert client.get_deployment("handbook")["release_uri"] == ""
    made = client.create_deployment("handbook", URI, config=config)
    assert made["release_uri"] == ONE and httpx.get(f"{made['url']}/ready").is_success
    assert find_processes("handbook")["supervisor"] == before["supervisor"] and "was deployed" in capsys.readouterr().err

    running = find_processes("handbook")
    process.ask_to_end(running["worker-1"], signal.SIGSTOP)
    with pytest.raises(MlflowException, match="'handbook' does not answer: it was not ready after 1 s"):
        client.create_deployment("handbook", URI, config=config | {"timeout_s": "1"})
    process.ask_to_end(running["worker-1"], signal.SIGCONT)
    assert client.create_deployment("handbook", URI, config=config) == made and find_processes("handbook") == running


def test_what_a_killed_create_began_is_ended_by_the_next_where_it_cannot_be_served(client: Any) -> None:
    begin_and_kill(TWO)
    with pytest.raises(MlflowException, match="models:/handbook/2 is not served: .*not attested"):
        client.create_deployment("handbook", TWO, config={"request_timeout_s": "20"})
    assert client.list_deployments() == [] and find_processes("handbook") == {}


def begin_and_kill(uri: str) -> None:
    """Have `create` killed while the release is loaded."""
    command = [sys.executable, "-m", "mlflow", "deployments", "create", "-t", "llmops", "--name", "handbook", "-m", uri]
    with subprocess.Popen([*command, "-C", "request_timeout_s=20"]) as beginning:
        wait(lambda: find_supervisor("handbook"))
        beginning.kill()


def test_an_update_changes_options_and_a_bad_one_nothing(client: Any) -> None:
    client.create_deployment("handbook", ONE, config={"request_timeout_s": "20"})
    before = find_processes("handbook")
    create_key(state.deployment_folder("handbook"), "alice")
    with pytest.raises(MlflowException, match=r"refused the request \(401\).*LLMOPS_API_KEY"):
        client.predict("handbook", QUESTION)
    with pytest.raises(MlflowException, match="no option. Did you mean 'workers'"):
        client.update_deployment("handbook", config={"worker": "2"})
    with pytest.raises(MlflowException, match="models:/handbook/2 is not served: .*not attested by the ledger"):
        client.update_deployment("handbook", TWO)
    assert client.get_deployment("handbook")["model_uri"] == ONE and find_processes("handbook") == before
    ready = client.get_deployment("handbook")["url"] + "/ready"
    with Load(ready) as asking, Load(ready, keep=True) as kept:
        client.update_deployment("handbook", TWO, config={"allow_unattested": "true", "max_in_flight": "3"})
        wait(lambda: len(find_processes("handbook")) == len(before))
    assert asking.answered and kept.closed and not (asking.failed or kept.failed)
    shown = client.get_deployment("handbook")
    assert shown["release_uri"] == TWO and shown["options"]["max_in_flight"] == 3
    assert find_processes("handbook")["worker-1"] != before["worker-1"]
    moved = client.update_deployment("handbook", config={"port": str(process.check_port("127.0.0.1", 0))})
    assert moved["url"] != shown["url"] and httpx.get(f"{moved['url']}/ready").is_success
    said = command_line("update", "--name", "handbook", "-C", "poll_s=2", "-C", "max_waiting=5")
    assert "was updated" in said and client.get_deployment("handbook")["options"]["max_waiting"] == 5
    assert "nothing was changed" in command_line("update", "--name", "handbook", "-C", "poll_s=2")
    assert all(word in command_line("help") for word in ("poll_s", "canary", "engine_url"))


def command_line(verb: str, *arguments: str) -> str:
    """What a verb prints."""
    command = [sys.executable, "-m", "mlflow", "deployments", verb, "-t", "llmops", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_update_needs_no_secret_here_and_takes_no_other(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = "HANDBOOK_SECRET"
    config = {"webhook_secret_env": variable, "request_timeout_s": "20"}
    monkeypatch.setenv(variable, "a secret of a webhook")
    client.create_deployment("handbook", ONE, config=config)
    monkeypatch.delenv(variable)
    client.update_deployment("handbook", config={"poll_s": "1"})
    monkeypatch.setenv(variable, "another secret of a webhook")
    with pytest.raises(MlflowException, match="HANDBOOK_SECRET has another value where 'handbook' runs.*Delete") as caught:
        client.update_deployment("handbook", config={"poll_s": "2"})
    assert "webhook" not in str(caught.value)
    monkeypatch.delenv(variable)
    monkeypatch.setenv("PROVIDER_KEY", "a key")
    with pytest.raises(MlflowException, match="PROVIDER_KEY is not set where 'handbook' runs"):
        client.update_deployment(
            "handbook", config={"engine": "url", "engine_url": "http://127.0.0.1:9", "engine_key_env": "PROVIDER_KEY"}
        )


def test_an_update_is_told_at_once_what_was_told_before(client: Any) -> None:
    client.create_deployment("handbook", URI, config={"poll_s": "0.2", "request_timeout_s": "20"})
    MlflowClient().set_registered_model_alias("handbook", "champion", "3")  # by hand
    wait(lambda: [one["event"] for one in client.get_deployment("handbook")["events"]] == ["rollout", "refused"])
    with pytest.raises(MlflowException, match="models:/handbook/3 is not served: "):
        client.update_deployment("handbook", config={"poll_s": "0.3", "timeout_s": "3600"})
    shown = client.get_deployment("handbook")
    assert (shown["release_uri"], shown["options"]["poll_s"]) == (ONE, 0.2)
    client.update_deployment("handbook", config={"allow_unattested": "true", "request_timeout_s": "20"})
    assert client.get_deployment("handbook")["release_uri"] == THREE


def test_what_does_not_start_leaves_nothing_running(client: Any, tmp_path: Path) -> None:
    for uri, config, words in (
        (TWO, {}, "not attested"),
        ("models:/handbook/9", {}, "not in the registry"),
        (ONE, {"host": "0.0.0.0"}, "no API keys"),
        (ONE, {"certificate": "a.pem", "private_key": "b.pem"}, "can't be used"),
        (ONE, {"webhook_secret_env": "NOBODY_SET_THIS"}, "not set"),
    ):
        with pytest.raises(MlflowException, match=words):
            client.create_deployment("handbook", uri, config=config)
        assert client.list_deployments() == [] and find_processes("handbook") == {}


def test_in_the_foreground_it_leaves_nothing_when_it_ends(client: Any, tmp_path: Path) -> None:
    port = process.check_port("127.0.0.1", 0)
    command = [sys.executable, "-m", "mlflow", "deployments", "run-local", "-t", "llmops", "--name", "handbook", "-m", URI]
    running = subprocess.Popen([*command, "-C", f"port={port}"])
    try:
        wait(lambda: _is_ready(port))
        assert client.predict("handbook", QUESTION)["predictions"][0]["release"]["uri"] == ONE
    finally:
        running.terminate()
        assert running.wait(60) == 0
    assert client.list_deployments() == [] and not state.deployment_folder("handbook").joinpath("plan.json").exists()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=5).is_success
    except httpx.HTTPError:
        return False


def test_with_tls_it_is_asked_with_the_certificate_it_was_given_or_renewed(client: Any, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    openssl = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=gateway.example", "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    subprocess.run(openssl, check=True, capture_output=True)
    made = client.create_deployment("handbook", ONE, config={"certificate": str(certificate), "private_key": str(key)})
    assert made["url"].startswith("https://")
    assert client.predict("handbook", QUESTION)["predictions"][0]["release"]["uri"] == ONE
    subprocess.run(openssl, check=True, capture_output=True)
    wait(lambda: ssl.get_server_certificate(("127.0.0.1", made["port"])).strip() == certificate.read_text().strip())
    assert client.predict("handbook", QUESTION)["predictions"][0]["release"]["uri"] == ONE
