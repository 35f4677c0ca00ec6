"""From the registry to what answers: a real store, real releases, a real gateway, and the reconciler between them."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
from applications import decide, three_releases, use_copy
from gateways import CHAT, body, served, wait_for

from llmops.chains.release import Release
from llmops.errors import DeploymentError, EngineError
from llmops.registry.seat import Seat
from llmops.serving import state
from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.call import Outcome
from llmops.serving.gateway.settings import Settings
from llmops.serving.options import Options
from llmops.serving.rollout.backend import InProcess, load_planned
from llmops.serving.rollout.events import read_events
from llmops.serving.rollout.plan import How, Plan, read_plan
from llmops.serving.rollout.planned import PlannedRoster
from llmops.serving.rollout.reconciler import Reconciler
from llmops.serving.rollout.report import read_reports
from llmops.serving.roster import Asked, Reply, Serving
from llmops.serving.state import Deployment
from llmops.tracking.versions import DIGEST_TAG, get_version
from llmops.types import Query

pytestmark = pytest.mark.usefixtures("one_thread")

QUESTION = "How long is leave?"
ONE, TWO, THREE = (f"models:/handbook/{number}" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def registered(empty_store: Path, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of `handbook`, with what they answer stored."""
    return three_releases(tmp_path_factory.mktemp("registered"), empty_store, tiny_lm, [QUESTION])


@pytest.fixture
def folder(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a deployment of handbook@champion, in a store of its own."""
    use_copy(registered, tmp_path, monkeypatch)
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    deploy()
    return state.deployment_folder("handbook")


@pytest.fixture
def roster(folder: Path) -> Iterator[PlannedRoster]:
    made = PlannedRoster(folder, "handbook")
    yield made
    made.close()


def deploy(model_uri: str = "models:/handbook@champion", **options: Any) -> None:
    state.write(Deployment("handbook", model_uri, Options(**{"poll_s": 0.1, **options}), 8210))


def move(uri: str, alias: str = "champion") -> None:
    """Move an alias by hand."""
    mlflow.MlflowClient().set_registered_model_alias("handbook", alias, uri.rpartition("/")[2])


def promote(uri: str) -> None:
    decide(get_version(uri))


def events(folder: Path, kind: str = "") -> list[dict[str, Any]]:
    return [one for one in read_events(folder, 1000) if not kind or one["event"] == kind]


def told(folder: Path) -> list[str]:
    return [one["event"] for one in events(folder)]


@contextmanager
def running(reconciler: Reconciler) -> Iterator[None]:
    thread = threading.Thread(target=reconciler.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        reconciler.end()
        thread.join(30)
        assert not thread.is_alive()


@dataclass(frozen=True)
class Heard:
    """What a client got: a status, who the headers and the body say answered, and how many tokens it has."""

    status: int
    header: str | None
    body: str | None
    tokens: int


def ask(client: httpx.Client, url: str, stream: bool = False) -> Heard:
    said = client.post(url + CHAT, json=body(stream=stream))
    answer = said.json() if not stream else {}
    for line in said.text.splitlines() if stream else ():
        if line.startswith("data: {"):
            answer |= json.loads(line.removeprefix("data: "))
    uri = answer.get("release", {}).get("uri")
    return Heard(said.status_code, said.headers.get("x-llmops-release"), uri, answer["usage"]["completion_tokens"])


def is_told_of(roster: PlannedRoster, uri: str) -> bool:
    return roster.models()[0][1].uri == uri


def has_grown(some: list[Heard], to: int) -> bool:
    return len(some) >= to


def test_an_alias_that_moves_under_load_costs_no_request_and_each_answer_names_who_made_it(
    folder: Path, roster: PlannedRoster
) -> None:
    deploy(allow_unattested=True)
    move(ONE)
    heard: list[Heard] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def load(url: str, number: int) -> None:
        with httpx.Client(timeout=60) as client:
            while not done.is_set():
                try:
                    heard.append(ask(client, url, stream=number % 2 == 0))
                except BaseException as error:
                    failures.append(error)
                    return

    app = create_app(roster, folder, Settings(trace_rate=0.0), roster.wake, roster.heard)
    with running(Reconciler("handbook")), served(app) as (url, _):
        roster.wait_until_ready(60)
        clients = [threading.Thread(target=load, args=(url, number), daemon=True) for number in range(4)]
        for client in clients:
            client.start()
        for uri in [TWO, THREE, TWO, ONE, THREE, ONE] * 4:
            move(uri)
            roster.wake()
            wait_for(partial(is_told_of, roster, uri), 60)
            wait_for(partial(has_grown, heard, len(heard) + 4), 60)
        done.set()
        for client in clients:
            client.join(60)
    assert not failures and len(heard) >= 100
    assert {one.status for one in heard} == {200}
    made = {(ONE, ONE, 4), (TWO, TWO, 5), (THREE, THREE, 6)}
    assert {(one.header, one.body, one.tokens) for one in heard} == made
    rollouts = events(folder, "rollout")
    assert [one["release"] for one in rollouts] == [ONE, *[TWO, THREE, TWO, ONE, THREE, ONE] * 4]
    assert [one["warm"] for one in rollouts[1:4]] == [False, False, True]  # back to the one before
    warm, cold = ([one["seconds"]["answering"] for one in rollouts if one["warm"] is is_so] for is_so in (True, False))
    print(f"{len(heard)} answers; rollouts {max(cold):.2f} s at most, of warm releases {sorted(warm)[len(warm) // 2]:.2f} s")


def test_what_the_ledger_does_not_attest_is_refused_and_told_once_and_served_once_it_does(
    folder: Path, roster: PlannedRoster
) -> None:
    promote(ONE)
    reconciler = Reconciler("handbook")
    with running(reconciler):
        roster.wait_until_ready(60)
        move(TWO)
        wait_for(lambda: bool(events(folder, "refused")), 60)
        time.sleep(0.5)
        (refused,) = events(folder, "refused")
        assert f"{TWO} is not attested by the ledger of handbook@champion: by it handbook@champion is" in refused["text"]
        assert f"({ONE} goes on answering.)" in refused["text"] and read_plan(folder).current == ONE
        promote(TWO)
        wait_for(lambda: read_plan(folder).current == TWO, 60)
        wait_for(lambda: "recovered" in told(folder), 60)
    assert told(folder) == ["rollout", "refused", "rollout", "recovered"]


def test_a_release_that_was_changed_since_it_was_attested_is_refused(folder: Path, roster: PlannedRoster) -> None:
    for uri in (TWO, ONE):
        promote(uri)
    reconciler = Reconciler("handbook")
    reconciler.look()
    with exchanged(TWO, THREE):
        deploy(TWO)
        reconciler.look()
        (refused,) = events(folder, "refused")
        said = f"{TWO} has digest {get_version(THREE).digest[:12]}, by the ledger of handbook@champion it was"
        assert said in refused["text"] and read_plan(folder).current == ONE
        deploy(TWO, allow_unattested=True)
        reconciler.look()
        assert read_plan(folder).current == TWO


@contextmanager
def exchanged(uri: str, other: str) -> Iterator[None]:
    """Have another release's files in the place of a version's, and its digest on it, in this test's copy of the store."""
    files, aside = model_file(uri).parent, model_file(uri).parent.with_suffix(".aside")
    files.rename(aside)
    shutil.copytree(model_file(other).parent, files)
    number = uri.rpartition("/")[2]
    mlflow.MlflowClient().set_model_version_tag("handbook", number, DIGEST_TAG, get_version(other).digest)
    try:
        yield
    finally:
        shutil.rmtree(files)
        aside.rename(files)


def test_a_release_that_is_pinned_is_served_if_it_ever_held_the_seat_or_without_the_ledgers_word(
    folder: Path, roster: PlannedRoster
) -> None:
    promote(ONE)
    promote(TWO)
    deploy(THREE)
    reconciler = Reconciler("handbook")
    with running(reconciler):
        wait_for(lambda: bool(events(folder, "refused")), 60)
        assert "(nothing answers yet.)" in events(folder, "refused")[0]["text"] and not read_plan(folder).current
        deploy(ONE)
        wait_for(lambda: read_plan(folder).current == ONE, 60)
        deploy(THREE, allow_unattested=True)
        wait_for(lambda: read_plan(folder).current == THREE, 60)
        move(TWO)
        time.sleep(0.5)
    assert read_plan(folder).current == THREE


def test_a_damaged_download_leaves_the_release_before_and_is_tried_again_when_something_changes(
    folder: Path, roster: PlannedRoster
) -> None:
    deploy(allow_unattested=True, poll_s=5.0)
    move(ONE)
    with running(Reconciler("handbook")):
        roster.wait_until_ready(60)
        damaged = model_file(TWO)
        whole = damaged.read_text()
        damaged.write_text(whole.replace("max_new_tokens: 5", "max_new_tokens: 9"))
        try:
            move(TWO)
            roster.wake()
            wait_for(lambda: bool(events(folder, "failed")), 60)
        finally:
            damaged.write_text(whole)
        (failed,) = events(folder, "failed")
        assert "has digest" in failed["text"] and failed["release"] == TWO and read_plan(folder).loaded.keys() == {ONE}
        roster.wake()
        wait_for(lambda: len(events(folder)) == 4, 60)
    assert told(folder) == ["rollout", "failed", "rollout", "recovered"]
    assert read_plan(folder).current == TWO


def model_file(uri: str) -> Path:
    """Where the store has a release's configuration."""
    return Path(mlflow.artifacts.download_artifacts(f"models:/{get_version(uri).model_id}")) / "MLmodel"


def test_a_release_that_workers_cannot_load_is_taken_back_and_tried_again_later_and_later(folder: Path) -> None:
    deploy(allow_unattested=True, poll_s=0.2)
    move(ONE)
    tries: list[float] = []

    def load(name: str, uri: str, how: How) -> Serving:
        if uri == TWO:
            tries.append(time.monotonic())
            raise EngineError("the engine is full.")
        return load_planned(name, uri, how)

    roster, reconciler = PlannedRoster(folder, "handbook", load), Reconciler("handbook")
    with running(reconciler):
        roster.wait_until_ready(60)
        move(TWO)
        wait_for(lambda: len(tries) == 3, 60)
    roster.close()
    (failed,) = events(folder, "failed")  # told once
    assert "the engine is full." in failed["text"] and read_plan(folder).current == ONE
    assert tries[2] - tries[1] > 0.7 and read_plan(folder).loaded.keys() <= {ONE, TWO}


def test_a_release_that_is_rolled_back_while_it_loads_never_answers(folder: Path) -> None:
    deploy(allow_unattested=True, poll_s=60.0)
    move(ONE)
    let = threading.Event()

    def load(name: str, uri: str, how: How) -> Serving:
        assert uri == ONE or let.wait(60)
        return load_planned(name, uri, how)

    roster = PlannedRoster(folder, "handbook", load)
    with running(Reconciler("handbook")):
        roster.wait_until_ready(60)
        move(TWO)
        roster.wake()
        wait_for(lambda: TWO in read_plan(folder).loaded, 60)
        move(ONE)
        let.set()
        wait_for(lambda: bool(events(folder, "overtaken")) and TWO not in read_plan(folder).loaded, 60)
    roster.close()
    assert read_plan(folder).current == ONE and told(folder) == ["rollout", "overtaken"]


def test_while_the_tracking_server_is_away_what_answers_goes_on(
    folder: Path, roster: PlannedRoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    promote(ONE)
    reconciler, store = Reconciler("handbook"), mlflow.get_tracking_uri()
    look_until(reconciler, lambda: read_plan(folder).current == ONE)
    promote(TWO)
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    reconciler.look()
    reconciler.look()
    wait_for(lambda: roster.ready() is None)
    with roster.pick("handbook", "") as serving:
        assert serving.identity.uri == ONE and serving.answer(Asked(Query(QUESTION))).text
    mlflow.set_tracking_uri(store)
    reconciler.look()
    assert read_plan(folder).current == TWO
    assert told(folder) == ["rollout", "unreachable", "recovered", "rollout"]
    assert "127.0.0.1:9 fails or can't be reached" in events(folder, "unreachable")[0]["text"]


def look_until(reconciler: Reconciler, is_so: Callable[[], bool]) -> None:
    def looked() -> bool:
        reconciler.look()
        return is_so()

    wait_for(looked, 60)


def test_an_alias_that_is_gone_or_a_model_that_never_was_is_told(folder: Path, roster: PlannedRoster) -> None:
    reconciler = Reconciler("handbook")
    reconciler.look()
    deploy("models:/nobody@champion")
    reconciler.look()
    said = [one["text"] for one in events(folder, "unreachable")]
    assert "handbook@champion is not set" in said[0] and "'nobody' is not in the registry" in said[1]


def test_a_canary_takes_its_share_and_one_that_fails_goes_back_by_itself_for_good(
    folder: Path, roster: PlannedRoster
) -> None:
    deploy(allow_unattested=True, canary=30)
    move(ONE)
    move(TWO, "challenger")
    reconciler = Reconciler("handbook")
    reconciler.look()
    plan = read_plan(folder)
    assert plan.canary is not None and (plan.canary.uri, plan.canary.percent, plan.current) == (TWO, 30.0, ONE)
    wait_for(lambda: read_reports(folder)[0].trial == plan.canary.since)  # type: ignore[union-attr]
    asked = {roster_says(roster, f"user-{number}") for number in range(30)}
    assert asked == {ONE, TWO}
    hear(roster, ONE, 40)
    hear(roster, TWO, 25, status=502)
    look_until(reconciler, lambda: read_plan(folder).canary is None)
    assert "25 of 25 requests failed" in events(folder, "breach")[0]["text"]
    wait_for(lambda: {roster_says(roster, f"user-{number}") for number in range(30)} == {ONE})
    look_until(reconciler, lambda: not read_plan(folder).leaving)
    Reconciler("handbook").look()  # another process remembers it
    assert read_plan(folder).canary is None and read_plan(folder).loaded.keys() == {ONE}
    move(THREE, "challenger")
    reconciler = Reconciler("handbook")
    reconciler.look()
    assert read_plan(folder).canary.uri == THREE  # type: ignore[union-attr]
    move(THREE)
    reconciler.look()
    assert (read_plan(folder).current, read_plan(folder).canary) == (THREE, None)
    assert [one["warm"] for one in events(folder, "rollout")] == [False, True]


def test_a_challenger_that_the_ledger_does_not_attest_answers_copies_only(folder: Path, roster: PlannedRoster) -> None:
    promote(ONE)
    deploy(canary=30, shadow=True)
    move(TWO, "challenger")
    reconciler = Reconciler("handbook")
    reconciler.look()
    plan = read_plan(folder)
    assert (plan.current, plan.canary, plan.shadow) == (ONE, None, TWO)
    (refused,) = events(folder, "refused")
    assert f"{TWO} is not attested by the ledger of handbook@challenger: it has no entry" in refused["text"]
    decide(get_version(THREE), seat=Seat("handbook", "challenger"))
    reconciler.look()
    assert read_plan(folder).canary.uri == read_plan(folder).shadow == THREE  # type: ignore[union-attr]
    move(TWO, "challenger")
    reconciler.look()
    assert (read_plan(folder).canary, read_plan(folder).shadow) == (None, TWO)
    deploy(canary=30, shadow=True, allow_unattested=True)
    reconciler.look()
    assert read_plan(folder).canary.uri == TWO  # type: ignore[union-attr]


def roster_says(roster: PlannedRoster, user: str) -> str:
    with roster.pick("handbook", user) as serving:
        return serving.identity.uri


def hear(roster: PlannedRoster, uri: str, times: int, status: int = 200) -> None:
    """Let the gateway tell of so many requests."""
    with roster.pick(uri.removeprefix("models:/"), "") as serving:
        identity = serving.identity
    reply = Reply("yes", {"abstained": False}) if status == 200 else None
    for _ in range(times):
        roster.heard(Outcome(identity, Asked(Query(QUESTION)), "alice", reply, status, 0.1))


def test_a_shadow_is_loaded_beside_and_ends_with_its_option(folder: Path, roster: PlannedRoster) -> None:
    deploy(allow_unattested=True, shadow=True)
    move(ONE)
    move(TWO, "challenger")
    reconciler = Reconciler("handbook")
    reconciler.look()
    assert (read_plan(folder).shadow, read_plan(folder).canary) == (TWO, None)
    wait_for(lambda: {name for name, _ in roster.models()} == {"handbook", "handbook/1"})
    deploy(allow_unattested=True)
    reconciler.look()
    assert not read_plan(folder).shadow and read_plan(folder).loaded.keys() == {ONE}
    assert told(folder) == ["rollout", "shadow", "shadow"]


def test_what_a_release_ran_on_is_let_go_when_no_worker_has_a_request_on_it(folder: Path, roster: PlannedRoster) -> None:
    kept: list[list[str]] = []

    class Engines(InProcess):
        def prepare(self, release: Release) -> How:
            return How("", f"adapter-{release.generator.max_new_tokens}")

        def settle(self, hows: Collection[How]) -> None:
            kept.append(sorted(one.adapter for one in hows))

    deploy(allow_unattested=True)
    reconciler = Reconciler("handbook", lambda name, _: Engines(name))
    for uri in (ONE, TWO):
        move(uri)
        reconciler.look()
    with roster.pick("handbook/1", ""):
        move(THREE)
        reconciler.look()
        wait_for(lambda: read_reports(folder)[0].generation == read_plan(folder).generation)
        reconciler.upkeep()
        assert kept == [["adapter-4"]] and read_plan(folder).leaving.keys() == {ONE}
    look_until(reconciler, lambda: len(kept) > 1)
    assert kept[1:] == [["adapter-5", "adapter-6"]]
    assert (read_plan(folder).leaving, set(read_plan(folder).loaded)) == ({}, {TWO, THREE})


def test_an_option_of_another_engine_moves_what_is_loaded_there_while_it_answers(
    folder: Path, roster: PlannedRoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(InProcess):
        def prepare(self, release: Release) -> How:
            if is_down:
                raise EngineError("there is no vLLM here.")
            return How("", "elsewhere")

        def settle(self, kept: Collection[How]) -> None:
            settled.append([how.adapter for how in kept])

    settled: list[list[str]] = []

    def backend(name: str, options: Options) -> InProcess:
        return Elsewhere(name) if options.engine == "vllm" else InProcess(name)

    deploy(allow_unattested=True)
    move(ONE)
    reconciler, is_down = Reconciler("handbook", backend), True
    reconciler.look()
    deploy(allow_unattested=True, engine="vllm")
    reconciler.look()
    assert read_plan(folder).loaded == {ONE: How()} and "there is no vLLM" in events(folder, "failed")[0]["text"]
    assert settled == [[""]]  # so that nothing stays that was started for it
    is_down = False
    look_until(reconciler, lambda: read_plan(folder).loaded == {ONE: How("", "elsewhere")})
    assert told(folder) == ["rollout", "failed", "engine", "recovered"] and roster_says(roster, "") == ONE


def test_workers_follow_an_engine_to_another_address_and_one_that_is_gone_is_made_anew(
    folder: Path, roster: PlannedRoster
) -> None:
    class Engines(InProcess):
        def prepare(self, release: Release) -> How:
            return self.now(How())

        def now(self, how: How) -> How:
            if not address:
                raise EngineError("the engine is gone.")
            return replace(how, url=address[0])

    deploy(allow_unattested=True, poll_s=0.1)
    move(ONE)
    reconciler, address = Reconciler("handbook", lambda name, _: Engines(name)), ["first"]
    reconciler.look()
    address[0] = "second"
    reconciler.tend()
    assert read_plan(folder).loaded == {ONE: How(url="second")} and roster_says(roster, "") == ONE
    address.clear()
    reconciler.tend()
    address.append("third")
    reconciler.look()
    assert read_plan(folder).loaded == {ONE: How(url="third")} and roster_says(roster, "") == ONE


class Slowly(InProcess):
    """Prepares the third release when it is let. One that is dead is at another address once it is healed."""

    def __init__(self) -> None:
        super().__init__("handbook")
        self.begun, self.let, self.is_dead, self.url = threading.Event(), threading.Event(), False, "first"

    def prepare(self, release: Release) -> How:
        if release.generator.max_new_tokens == 6:
            self.begun.set()
            assert self.let.wait(60)
        return self.now(How())

    def tend(self, hows: Collection[How]) -> str:
        if not self.is_dead:
            return ""
        self.is_dead, self.url = False, "second"
        return "the engine was started anew."

    def now(self, how: How) -> How:
        return replace(how, url=self.url)


@contextmanager
def dying_while_a_release_loads(engines: Slowly, roster: PlannedRoster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ONE answers, THREE is being made ready, and the engine has just died."""
    monkeypatch.setattr("llmops.serving.rollout.reconciler.TEND_S", 0.1)
    deploy(allow_unattested=True)
    move(ONE)
    with running(Reconciler("handbook", lambda *_: engines)):
        roster.wait_until_ready(60)
        move(THREE)
        assert engines.begun.wait(60)
        engines.is_dead = True
        yield


def test_an_engine_that_dies_while_a_release_loads_is_healed_meanwhile(
    folder: Path, roster: PlannedRoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = Slowly()
    with dying_while_a_release_loads(engines, roster, monkeypatch):
        wait_for(lambda: read_plan(folder).loaded == {ONE: How(url="second")})
        engines.let.set()
        wait_for(lambda: len(events(folder, "rollout")) == 2, 60)
    assert told(folder) == ["rollout", "engine", "rollout"]
    assert read_plan(folder).loaded == {ONE: How(url="second"), THREE: How(url="second")}


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_a_canary_that_fails_while_another_release_loads_goes_back_meanwhile_for_good(
    folder: Path, roster: PlannedRoster, alias: str
) -> None:
    deploy(allow_unattested=True, canary=30)
    move(ONE)
    move(TWO, "challenger")
    engines = Slowly()
    with running(Reconciler("handbook", lambda *_: engines)):
        wait_for(lambda: bool(events(folder, "canary")), 60)
        wait_for(lambda: bool(read_reports(folder)[0].trial))
        move(THREE, alias)
        assert engines.begun.wait(60)
        hear(roster, ONE, 40)
        hear(roster, TWO, 25, status=502)
        wait_for(lambda: bool(events(folder, "breach")))
        assert (read_plan(folder).current, read_plan(folder).canary, read_plan(folder).breached) == (ONE, None, TWO)
        engines.let.set()
        wait_for(lambda: len(events(folder)) == 4, 60)
        time.sleep(0.5)
    plan, canary = read_plan(folder), read_plan(folder).canary
    if alias == "champion":
        assert (plan.current, canary, plan.breached) == (THREE, None, TWO)
    else:
        assert (plan.current, canary and canary.uri, plan.breached) == (ONE, THREE, "")
    assert told(folder) == ["rollout", "canary", "breach", "rollout" if alias == "champion" else "canary"]


def test_an_engine_that_stays_dead_is_no_reason_against_the_release_that_loads(
    folder: Path, roster: PlannedRoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hopeless(Slowly):
        def tend(self, hows: Collection[How]) -> str:
            if self.is_dead:
                raise EngineError("vLLM ended while starting.")
            return ""

    engines = Hopeless()
    with dying_while_a_release_loads(engines, roster, monkeypatch):
        wait_for(lambda: bool(events(folder, "failed")))
        engines.let.set()
        wait_for(lambda: read_plan(folder).current == THREE, 60)
    assert events(folder, "failed")[0]["release"] == ONE


ENDLESS = """
import time
from concurrent.futures import ThreadPoolExecutor
from llmops.serving.rollout import keeper, reconciler

def download(_):
    print("begun", flush=True)
    return ThreadPoolExecutor(1).submit(time.sleep, 600).result()

keeper.check_parts = download
reconciler.main("handbook")
"""


def test_told_to_end_in_the_middle_of_a_download_it_ends_at_once(folder: Path) -> None:
    deploy(allow_unattested=True)
    move(ONE)
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"begun\n"
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_a_full_disk_leaves_what_answers_and_passes(
    folder: Path, roster: PlannedRoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(allow_unattested=True, poll_s=0.1)
    move(ONE)
    reconciler = Reconciler("handbook")
    reconciler.look()
    with monkeypatch.context() as full:
        full.setattr("llmops.serving.rollout.plan.files.write_whole", no_space)
        move(TWO)
        reconciler.look()
    assert "No space left" in events(folder, "failed")[0]["text"] and roster_says(roster, "") == ONE
    look_until(reconciler, lambda: read_plan(folder).current == TWO)


def test_a_deployment_that_cannot_be_read_disturbs_no_other(
    folder: Path, roster: PlannedRoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage("other")
    deploy(allow_unattested=True)
    move(ONE)
    reconciler = Reconciler("handbook")
    reconciler.look()
    deploy(allow_unattested=True, max_in_flight=9)  # whoever changed it is told what fails
    reconciler.look()
    assert told(folder) == ["rollout"]
    with monkeypatch.context() as broken:
        broken.setattr("llmops.serving.rollout.keeper.check_parts", no_space)
        broken.setattr("llmops.serving.rollout.keeper.copies.prune", no_access)
        move(TWO)
        reconciler.look()
    assert [one["text"] for one in events(folder, "failed")] == [
        f"[Errno 28] No space left on device ({ONE} goes on answering.)"
    ]


def damage(name: str) -> None:
    """Leave half a file of another deployment."""
    path = state.deployment_folder(name) / state.DEPLOYMENT
    path.parent.mkdir(parents=True)
    path.write_text('{"format": 1')


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_access(*_: Any) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_killed_in_the_middle_of_a_rollout_it_goes_on_where_it_was(folder: Path) -> None:
    deploy(allow_unattested=True)
    move(ONE)
    let = threading.Event()

    def load(name: str, uri: str, how: How) -> Serving:
        assert uri != TWO or let.wait(120)
        return load_planned(name, uri, how)

    roster, first = PlannedRoster(folder, "handbook", load), start()
    try:
        roster.wait_until_ready(120)
        with pytest.raises(DeploymentError, match="another reconciler works on 'handbook'"):
            Reconciler("handbook").run()
        move(TWO)
        wait_for(lambda: TWO in read_plan(folder).loaded, 60)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert (read_plan(folder).current, roster_says(roster, "")) == (ONE, ONE)
        second = start()
        let.set()
        wait_for(lambda: read_plan(folder).current == TWO and roster_says(roster, "") == TWO, 120)
        wait_for(lambda: len(events(folder, "rollout")) == 2, 30)
        state.forget("handbook")  # which it notices
        assert second.wait(60) == 0
    finally:
        roster.close()
        first.kill()
    assert told(folder) == ["rollout", "rollout"]
    assert replace(read_plan(folder), generation=0) == Plan(0, TWO, ONE, {ONE: How(), TWO: How()}, engine="transformers")


def start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "llmops.serving.rollout.reconciler", "--name", "handbook"])
