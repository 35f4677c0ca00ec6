"""Local copies of what a deployment serves: it starts again while the tracking server is away."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import mlflow
import psutil
import pytest
import servers
from conftest import HANDBOOK, use_store
from gateways import CHAT, body, wait_for
from vllm_models import make_adapter

from llmops import digests
from llmops.chains.parts import Generator
from llmops.chains.prompt import read_prompt
from llmops.chains.release import Release
from llmops.errors import ArtifactError
from llmops.models.weights import resolve_weights
from llmops.registry.parts import check_parts
from llmops.serving import deployments, state
from llmops.serving.rollout.keeper import prune_copies
from llmops.serving.rollout.report import read_reports
from llmops.serving.supervisor.record import find_processes
from llmops.tracking import copies
from llmops.tracking.flavor import log_folder
from llmops.tracking.prompts import register_template
from llmops.tracking.releases import log_release, read_release
from llmops.tracking.versions import download, get_version

pytestmark = pytest.mark.usefixtures("one_thread")
ONE, TWO, THREE = (f"models:/handbook/{number}" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def place(empty_store: Path, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A tracking server, which tests may stop: two versions of `handbook` with an adapter each, and one without."""
    folder = tmp_path_factory.mktemp("away")
    store = f"sqlite:///{shutil.copy(empty_store, folder / 'mlflow.db')}"
    artifacts = folder / "artifacts"

    def start(port: int = 0):  # type: ignore[no-untyped-def]
        return servers.mlflow_server(store, artifacts.as_uri(), folder / "server.log", port=port)

    with start() as server, pytest.MonkeyPatch.context() as patch:
        use_store(server.url, "test", patch)
        register(tiny_lm, folder)
        yield SimpleNamespace(server=server, start=start, artifacts=artifacts)
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def register(base: Path, folder: Path) -> None:
    template = read_prompt(HANDBOOK / "prompt.txt").template
    prompt = register_template("handbook-prompt", template)
    plain = Generator(str(base), resolve_weights(str(base)).digest, "float32", 4)
    for generator in [*(with_adapter(plain, base, folder / f"adapter-{seed}", seed) for seed in (1, 2)), plain]:
        with mlflow.start_run():
            log_release(Release("handbook", "adapter" if generator.adapter else "prompt", prompt, template, generator))


def with_adapter(generator: Generator, base: Path, folder: Path, seed: int) -> Generator:
    make_adapter(base, folder, seed)
    with mlflow.start_run():
        made = log_folder("adapter", folder, "handbook-adapter", digests.of_folder(folder), {"method": "lora", "rank": 4})
    return replace(generator, adapter=made.uri, adapter_digest=made.digest)


@pytest.fixture
def kept(place: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the copies are."""
    use_store(place.server.url, "test", monkeypatch)
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv(copies.VARIABLE, str(tmp_path / "state" / "copies"))
    return tmp_path / "state" / "copies"


def names(kept: Path) -> set[str]:
    return {f"{path.parent.name}/{path.name}" for path in kept.glob("*/*/*")}


def test_a_version_is_fetched_once_and_known_when_the_store_is_not_asked(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = check_parts(get_version(ONE))
    assert names(kept) == {"handbook/1", "handbook/1.json", "handbook-adapter/1"}
    known = get_version(ONE)
    monkeypatch.setattr("mlflow.MlflowClient.get_model_version", None)
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", None)
    assert get_version(ONE) == known and read_release(ONE) == release
    assert download(ONE) == download(ONE) and (download(str(release.generator.adapter)) / "adapter").is_dir()


def test_several_processes_may_note_the_same_version_at_once(kept: Path) -> None:
    known, start = vars(get_version(ONE)), threading.Barrier(8)

    def note(_: int) -> None:
        start.wait(20)
        for _ in range(200):
            copies.remember(ONE, known)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(note, range(8)))
    assert copies.recall(ONE) == known


def test_what_can_come_to_mean_another_version_is_always_asked_for(kept: Path) -> None:
    for uri in ("models:/handbook/latest", "models:/handbook@champion", f"models:/{get_version(ONE).model_id}"):
        assert copies.place_of(uri) is None


def test_where_no_copies_are_wanted_or_the_store_is_on_this_machine_none_are_kept(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert copies.place_of(ONE) is not None
    with monkeypatch.context() as patch:
        patch.delenv(copies.VARIABLE)
        assert copies.place_of(ONE) is None
    monkeypatch.setattr("mlflow.get_registry_uri", lambda: "sqlite:///mlflow.db")
    assert copies.place_of(ONE) is None


def test_pruning_leaves_releases_and_what_they_name_and_waits_for_who_fetches(kept: Path) -> None:
    for uri in (ONE, TWO, THREE):
        check_parts(get_version(uri))
    (left_over := next(kept.glob("*/handbook")) / ".7-killed").mkdir()
    everything = names(kept)
    with copies.fetching():
        copies.prune([ONE])
    assert names(kept) == everything
    copies.prune([ONE])
    assert names(kept) == {"handbook/1", "handbook/1.json", "handbook-adapter/1"} and not left_over.exists()


def test_nothing_is_pruned_while_nobody_knows_what_a_deployment_has(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    check_parts(get_version(ONE))
    everything, damaged = names(kept), state.deployment_folder("other") / state.DEPLOYMENT
    damaged.parent.mkdir(parents=True)
    damaged.write_text('{"format": 1')
    prune_copies()
    assert names(kept) == everything and "other/deployment.json can't be read" in caplog.text
    damaged.unlink()
    prune_copies()
    assert names(kept) == set()


def test_a_copy_that_is_not_what_it_was_is_fetched_anew(kept: Path) -> None:
    adapter = str(check_parts(get_version(ONE)).generator.adapter)
    file = download(adapter) / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match="It was changed"):
        check_parts(get_version(ONE))
    copies.prune([])
    assert names(kept) == set() and check_parts(get_version(ONE))


def test_killed_workers_come_back_while_the_tracking_server_is_away_and_the_alias_is_followed_afterwards(
    place: SimpleNamespace, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(copies.VARIABLE)  # this process is none of the deployment's
    move(ONE)
    options = {"poll_s": 0.2, "allow_unattested": True, "trace_rate": 0.0, "request_timeout_s": 20}
    deployment = deployments.create("handbook", "models:/handbook@champion", options).deployment
    try:
        said = ask(deployment.url)
        place.server.kill()
        for slot in ("worker-1", "reconciler"):
            before = find_processes("handbook")[slot].pid
            os.kill(before, signal.SIGKILL)
            wait_for(lambda before=before, slot=slot: is_new(slot, before), 120)  # type: ignore[misc]
            wait_for(lambda: [one.current for one in read_reports(deployment.folder)] == [ONE], 120)
            assert ask(deployment.url) == said
        port = int(place.server.url.rpartition(":")[2])
        with place.start(port) as again:
            assert again.url == place.server.url
            for uri in (TWO, THREE):
                move(uri)
                wait_for(lambda uri=uri: ask(deployment.url)[0] == uri, 120)  # type: ignore[misc]
            left = {"handbook/2", "handbook/2.json", "handbook/3", "handbook/3.json", "handbook-adapter/2"}
            wait_for(lambda: names(kept) == left, 60)
    finally:
        deployments.delete("handbook")
    assert not kept.exists()


def is_new(slot: str, before: int) -> bool:
    running = find_processes("handbook").get(slot)
    return running is not None and running.pid != before and psutil.pid_exists(running.pid)


def move(uri: str) -> None:
    mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", uri.rpartition("/")[2])


def ask(url: str) -> tuple[str, str]:
    """The release that answers, and what it says."""
    said = httpx.post(url + CHAT, json=body(), timeout=60)
    said.raise_for_status()
    return said.json()["release"]["uri"], said.json()["choices"][0]["message"]["content"]
