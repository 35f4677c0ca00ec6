"""What a worker makes of a plan: releases that come and go while requests are answered, canaries, shadows, reports."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import EchoEngine, Parrot, bot, release
from fastapi.testclient import TestClient
from gateways import CHAT, SlowEngine, body, wait_for

from llmops.chains.answerer import Answerer
from llmops.errors import ArtifactError, DeploymentError, EngineError
from llmops.models.engine import Engine
from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.call import Outcome
from llmops.serving.gateway.settings import Settings
from llmops.serving.rollout.attempts import Attempts
from llmops.serving.rollout.breach import find_breach
from llmops.serving.rollout.plan import Canary, How, Plan, read_plan, write_plan
from llmops.serving.rollout.planned import PlannedRoster
from llmops.serving.rollout.probe import probe
from llmops.serving.rollout.report import Report, read_reports
from llmops.serving.rollout.scoring import read_copies, score
from llmops.serving.rollout.shadow import WAITING
from llmops.serving.rollout.tally import Tallies, Tally, add_up
from llmops.serving.roster import AnswererServing, Asked, Identity, Reply, Serving, UnknownModel
from llmops.tracking.golden import Golden
from llmops.types import Query

ONE, TWO, THREE = (f"models:/handbook/{number}" for number in (1, 2, 3))
HERE = How()


def serving(uri: str, engine: Engine | None = None) -> AnswererServing:
    number = uri.rpartition("/")[2]
    answerer: Answerer = bot(release("prompt"), engine or Parrot(f"This is {number}."))
    return AnswererServing(Identity("handbook", uri, number * 64, number), answerer)


class Releases:
    """Loads releases that say their number; those in `broken` can't be loaded, those in `engines` run on another engine."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.broken: dict[str, str] = {}
        self.engines: dict[str, Engine] = {}
        self.held_up: dict[str, threading.Event] = {}

    def load(self, name: str, uri: str, how: How) -> Serving:
        self.loads.append(uri)
        if uri in self.held_up:
            self.held_up[uri].wait(20)
        if uri in self.broken:
            raise ArtifactError(self.broken[uri])
        return serving(uri, self.engines.get(uri))


@pytest.fixture
def releases() -> Releases:
    return Releases()


@pytest.fixture
def roster(tmp_path: Path, releases: Releases) -> Iterator[PlannedRoster]:
    made = PlannedRoster(tmp_path, "handbook", releases.load)
    yield made
    made.close()


@pytest.fixture
def carry_out(tmp_path: Path, roster: PlannedRoster) -> Callable[..., Report]:
    """Write the next plan, of releases that run in the worker, and wait until the worker reports what is asked for."""

    def write(current: str = ONE, *loaded: str, until: Callable[[Report], bool] | None = None, **more: object) -> Report:
        plan = replace(read_plan(tmp_path), current=current, loaded=dict.fromkeys((current, *loaded), HERE), **more)  # type: ignore[arg-type]
        made = write_plan(tmp_path, plan)
        is_done = until or (lambda one: set(one.loaded) >= set(made.loaded) and one.current == current)
        wait_for(lambda: any(one.generation == made.generation and is_done(one) for one in read_reports(tmp_path)))
        return read_reports(tmp_path)[0]

    return write


def say(roster: PlannedRoster, model: str = "handbook", user: str = "alice") -> str:
    with roster.pick(model, user) as picked:
        return picked.answer(Asked(Query("How long is leave?"))).text


def outcome(uri: str, status: int = 200, seconds: float = 0.1, abstained: bool = False, user: str = "alice") -> Outcome:
    reply = Reply("Thirty days.", {"abstained": abstained}) if status == 200 else None
    return Outcome(serving(uri).identity, Asked(Query("How long is leave?")), user, reply, status, seconds)


def test_without_a_plan_nothing_is_served_and_it_says_why(
    roster: PlannedRoster, carry_out: Callable[..., Report], releases: Releases
) -> None:
    assert not roster.models() and "no release has been rolled out yet" in str(roster.ready())
    with pytest.raises(UnknownModel, match="Served: none"):
        say(roster)
    releases.broken[ONE] = "its index is gone."
    carry_out(ONE, until=lambda one: bool(one.errors))
    assert roster.ready() == f"{ONE} can't be loaded: `mlflow deployments get` says why."
    with pytest.raises(DeploymentError, match="its index is gone"):
        roster.wait_until_ready(0.1)


def test_who_has_no_key_is_not_told_what_a_release_was_asked_and_answered(
    roster: PlannedRoster, carry_out: Callable[..., Report], releases: Releases, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError) as failed:
        probe(serving(ONE), [replace(golden("Ninety."), question="What does Jo earn?")])
    releases.broken[ONE] = str(failed.value)
    report = carry_out(ONE, until=lambda one: bool(one.errors))
    assert "What does Jo earn?" in report.errors[ONE] and "Ninety." in report.errors[ONE]  # for who operates it
    http = TestClient(create_app(roster, tmp_path, Settings(trace_rate=0.0)))
    for reply in (http.get("/ready"), http.post("/invocations", json={"input": [{"role": "user", "content": "?"}]})):
        assert reply.status_code == 503 and ONE in reply.text
        assert not any(word in reply.text for word in ("Jo", "Ninety", "This is"))


def test_a_plan_is_carried_out_and_reported(roster: PlannedRoster, carry_out: Callable[..., Report]) -> None:
    told = carry_out(ONE, TWO)
    assert roster.ready() is None and say(roster) == "This is 1." and say(roster, "handbook/2") == "This is 2."
    assert (told.current, told.loaded, dict(told.errors)) == (ONE, (ONE, TWO), {})
    assert [name for name, _ in roster.models()] == ["handbook", "handbook/1", "handbook/2"]
    carry_out(TWO, ONE)
    assert say(roster) == "This is 2."


def test_a_request_keeps_the_release_it_began_with_which_is_let_go_when_it_ends(
    roster: PlannedRoster, carry_out: Callable[..., Report], tmp_path: Path
) -> None:
    carry_out(ONE)
    with roster.pick("handbook", "alice") as begun:
        told = carry_out(TWO)
        assert say(roster) == "This is 2." and begun.answer(Asked(Query("q"))).text == "This is 1."
        assert told.loaded == (ONE, TWO)  # so nobody unloads an adapter beneath it
        with pytest.raises(UnknownModel):
            say(roster, "handbook/1")
    wait_for(lambda: read_reports(tmp_path)[0].loaded == (TWO,))


def test_a_release_that_cannot_be_loaded_leaves_the_one_that_answers_and_a_new_plan_tries_again(
    roster: PlannedRoster, carry_out: Callable[..., Report], releases: Releases
) -> None:
    carry_out(ONE)
    releases.broken[TWO] = "its weights are gone.\nTraceback"
    told = carry_out(TWO, until=lambda one: TWO in one.errors)
    assert (told.errors[TWO], told.current, say(roster)) == ("its weights are gone.", ONE, "This is 1.")
    assert releases.loads.count(TWO) == 1
    releases.broken.clear()
    carry_out(TWO)
    assert say(roster) == "This is 2."


def test_a_release_that_loads_for_long_holds_up_no_switch_to_a_warm_one(
    roster: PlannedRoster, carry_out: Callable[..., Report], releases: Releases
) -> None:
    carry_out(ONE, TWO)
    releases.held_up[THREE] = threading.Event()
    carry_out(ONE, TWO, THREE, until=lambda one: THREE in releases.loads)
    carry_out(TWO, ONE, THREE, until=lambda one: one.current == TWO)
    assert say(roster) == "This is 2."
    releases.held_up[THREE].set()
    carry_out(TWO, THREE)


def test_a_damaged_plan_changes_nothing(roster: PlannedRoster, carry_out: Callable[..., Report], tmp_path: Path) -> None:
    carry_out(ONE)
    (tmp_path / "plan.json").write_text('{"generation": 3, "loaded": {}')
    with pytest.raises(DeploymentError, match="is no plan"):
        read_plan(tmp_path)
    assert say(roster) == "This is 1."
    write_plan(tmp_path, Plan(7, TWO, loaded={TWO: HERE}))
    wait_for(lambda: say(roster) == "This is 2.")


def test_a_release_whose_engine_changed_is_loaded_again_and_its_requests_end_on_the_old_one(
    roster: PlannedRoster, releases: Releases, tmp_path: Path
) -> None:
    write_plan(tmp_path, Plan(0, ONE, loaded={ONE: How("old", "adapter-1")}))
    wait_for(lambda: roster.ready() is None)
    with roster.pick("handbook", "alice") as begun:
        releases.engines[ONE] = Parrot("On the new engine.")
        write_plan(tmp_path, Plan(1, ONE, loaded={ONE: How("new", "adapter-1")}))
        wait_for(lambda: say(roster) == "On the new engine.")
        assert begun.answer(Asked(Query("q"))).text == "This is 1."


def test_a_canary_answers_its_share_of_the_users_and_each_user_the_same_way(
    roster: PlannedRoster, carry_out: Callable[..., Report]
) -> None:
    carry_out(ONE, TWO, canary=Canary(TWO, 10.0, 5.0))
    users = [f"user-{number}" for number in range(1000)]
    first, second = ({user: say(roster, user=user) for user in users} for _ in range(2))
    assert first == second
    assert 60 <= sum(text == "This is 2." for text in first.values()) <= 140
    assert {say(roster, "handbook/1", user) for user in users[:50]} == {"This is 1."}
    anybody = [say(roster, user="") for _ in range(300)]
    assert {"This is 1.", "This is 2."} == set(anybody)
    carry_out(ONE, TWO, canary=None)
    assert {say(roster, user=user) for user in users[:200]} == {"This is 1."}


def test_another_canary_begins_with_other_users(roster: PlannedRoster, carry_out: Callable[..., Report]) -> None:
    users = [f"user-{number}" for number in range(300)]
    asked = []
    for uri in (TWO, THREE):
        carry_out(ONE, uri, canary=Canary(uri, 20.0, 5.0))
        asked.append({user for user in users if say(roster, user=user) != "This is 1."})
    assert all(asked) and len(asked[0] & asked[1]) < min(map(len, asked)) / 2


def test_a_shadow_answers_copies_that_nobody_sees(
    roster: PlannedRoster, carry_out: Callable[..., Report], tmp_path: Path
) -> None:
    carry_out(ONE, TWO, shadow=TWO)
    app = create_app(roster, tmp_path, Settings(trace_rate=0.0), roster.wake, roster.heard)
    with TestClient(app) as client:
        said = [client.post(CHAT, json=body(f"How long is leave {number}?")).json() for number in range(5)]
        assert {one["choices"][0]["message"]["content"] for one in said} == {"This is 1."}
        assert client.post(CHAT, json=body(model="handbook/2")).status_code == 404
        served = [one["id"] for one in client.get("/v1/models").json()["data"]]
    assert served == ["handbook", "handbook/1"]
    wait_for(lambda: (tmp_path / "shadow.jsonl").exists() and (tmp_path / "shadow.jsonl").read_text().count("\n") == 5)
    line = json.loads((tmp_path / "shadow.jsonl").read_text().splitlines()[0])
    assert line["question"] == "How long is leave 0?"
    assert (line["shown"]["release"], line["shown"]["text"]) == (ONE, "This is 1.")
    assert (line["shadow"]["release"], line["shadow"]["text"], line["shadow"]["error"]) == (TWO, "This is 2.", "")
    assert (tmp_path / "shadow.jsonl").stat().st_mode & 0o077 == 0
    found = score(read_copies(tmp_path))
    assert (found.shown, found.shadow, found.copies, found.figures["overlap"].mean) == (ONE, TWO, 5, pytest.approx(2 / 3))
    wait_for(lambda: read_reports(tmp_path)[0].shadowed == 5)


def test_a_slow_shadow_holds_up_nobody_and_its_failures_are_noted(
    roster: PlannedRoster, carry_out: Callable[..., Report], releases: Releases, tmp_path: Path
) -> None:
    class Failing(SlowEngine):
        def says(self, request: object) -> str:
            raise EngineError("it is full.")

    slow = releases.engines[TWO] = Failing()
    carry_out(ONE, TWO, shadow=TWO)
    for _ in range(WAITING + 10):
        roster.heard(outcome(ONE))
    wait_for(lambda: read_reports(tmp_path)[0].dropped in (9, 10))
    slow.let.release(WAITING + 10)
    wait_for(lambda: read_reports(tmp_path)[0].shadowed > WAITING - 1)
    assert "it is full" in json.loads((tmp_path / "shadow.jsonl").read_text().splitlines()[0])["shadow"]["error"]


def test_requests_are_counted_by_release_from_the_beginning_of_a_canary(
    roster: PlannedRoster, carry_out: Callable[..., Report], tmp_path: Path
) -> None:
    carry_out(ONE, TWO)
    roster.heard(outcome(ONE, 500))
    carry_out(ONE, TWO, canary=Canary(TWO, 50.0, 5.0))
    for made in (outcome(ONE), outcome(TWO, abstained=True), outcome(TWO, 502), outcome(TWO, 504), outcome(TWO, 429)):
        roster.heard(made)
    roster.heard(outcome(TWO, 499))  # who left, or asked too much, says nothing of the release
    wait_for(lambda: read_reports(tmp_path)[0].tallies.get(TWO, Tally()).requests == 3)
    told = read_reports(tmp_path)[0]
    one, two = told.tallies[ONE], told.tallies[TWO]
    assert (told.trial, one.requests, one.failed) == (5.0, 1, 0)
    assert (two.failed, two.abstained, two.answered) == (2, 1, 1)
    assert one.median_s == pytest.approx(0.1, rel=0.06)


def test_reports_of_workers_that_ended_are_removed(roster: PlannedRoster, tmp_path: Path) -> None:
    wait_for(lambda: len(read_reports(tmp_path)) == 1)
    gone = json.loads((next(tmp_path.glob("worker-*.json"))).read_text()) | {"pid": 2**22 + 1}
    (tmp_path / "worker-9.json").write_text(json.dumps(gone))
    assert len(read_reports(tmp_path)) == 1 and not (tmp_path / "worker-9.json").exists()
    roster.close()
    assert not read_reports(tmp_path)


def tally(requests: int, failed: int = 0, abstained: int = 0, seconds: float = 1.0) -> Tally:
    counts = Tallies()
    for number in range(requests):
        counts.add("it", number < failed, failed <= number < failed + abstained, seconds * (1 + number % 3 / 100))
    return counts.read().get("it", Tally())


def varied(requests: int, every: int) -> Tally:
    """Answers of varied length: `every` in ten take 4 s, the others 1 s."""
    counts = Tallies()
    for number in range(requests):
        counts.add("it", False, False, 4.0 if number % 10 < every else 1.0)
    return counts.read()["it"]


@pytest.mark.parametrize(
    "current, canary, told",
    [
        (tally(200), tally(19, 19), ""),  # too few to know
        (tally(0), tally(20, 15), "15 of 20 requests failed"),
        (tally(30, 30), tally(20, 20), ""),  # what both run on is down
        (tally(0), tally(60, 0, 60), ""),  # nothing to compare with
        (tally(200, 2), tally(60, 12), "12 of 60 failed, and 2 of 200 of the current"),
        (tally(200, 10), tally(60, 3), ""),
        (tally(200, 20), tally(60, 12), ""),  # chance has that too often
        (tally(200, 0, 20), tally(60, 0, 30), "30 of 60 were abstentions, and 20 of 200"),
        (tally(200, 0, 100), tally(60, 0, 30), ""),
        (tally(200), tally(60, seconds=2.0), "a request took"),
        (tally(200), tally(60, seconds=1.3), ""),
        (varied(200, 4), varied(20, 6), ""),  # by chance more than half of the few were long
        (varied(200, 4), tally(40, seconds=4.0), "a request took"),
    ],
)
def test_a_canary_that_does_clearly_worse_breaches(current: Tally, canary: Tally, told: str) -> None:
    found = find_breach(current, canary)
    assert found.startswith(told) and bool(found) == bool(told)


def test_a_failure_is_news_once_and_again_for_whoever_asks_and_however_often_it_comes() -> None:
    attempts = Attempts()
    assert [attempts.note("models:/handbook/2", "refused", 0.0) for _ in range(2000)] == [True] + [False] * 1999
    attempts.hurry()
    assert not attempts.note("models:/handbook/2", "refused", 0.0)
    attempts.hurry(tell=True)
    assert [attempts.note("models:/handbook/2", "refused", 15.0) for _ in range(2)] == [True, False]
    assert not attempts.is_due("models:/handbook/2")


def test_tallies_of_workers_add_up() -> None:
    together = add_up([tally(10, 2, 1, 0.5), tally(30, 0, 3, 4.0)])
    assert (together.requests, together.failed, together.abstained) == (40, 2, 4)
    assert together.median_s == pytest.approx(4.0, rel=0.06)


def golden(answer: str, **engine: str) -> Golden:
    return Golden("How long is leave?", answer, {**EchoEngine.identity, **engine})


def test_a_release_that_says_something_else_than_when_it_was_made_is_no_good() -> None:
    probe(serving(ONE), [golden("This is 1.")] * 2)
    probe(serving(ONE), [golden("This is 1."), golden("a batch rounded this one")])
    probe(serving(ONE), [golden("Said otherwise.", version="0")])
    with pytest.raises(ArtifactError, match=r"answers 'This is 1.' .* expected 'Thirty.' .* \(2 of 3 answers differ\)"):
        probe(serving(ONE), [golden("This is 1."), golden("Thirty."), golden("Forty.")])


@pytest.mark.parametrize("known", [[], [golden("Thirty.", name="another")]])
def test_a_release_that_says_nothing_or_fails_on_its_engine_is_no_good(known: list[Golden]) -> None:
    if known:
        with pytest.raises(ArtifactError, match="says nothing"):
            probe(serving(ONE, Parrot("")), known)

    class Dead(EchoEngine):
        def says(self, request: object) -> str:
            raise EngineError("the engine died.")

    with pytest.raises(EngineError, match="died"):
        probe(serving(ONE, Dead()), known)


def test_a_release_whose_every_answer_takes_longer_than_a_request_may_is_no_good() -> None:
    class Slow(Parrot):
        waits = [0.0, 0.3]

        def says(self, request: Any) -> str:
            time.sleep(self.waits.pop())
            return super().says(request)

    probe(serving(ONE, Slow("This is 1.")), [golden("This is 1.")] * 2, limit_s=0.2)  # the second one is in time
    Slow.waits = [0.3]
    with pytest.raises(ArtifactError, match=r"takes 0.3 s for an answer, and requests have 0.2 s \(request_timeout_s\)"):
        probe(serving(ONE, Slow("This is 1.")), [golden("This is 1.")], limit_s=0.2)
