"""A tracking server that dies, returns 500s or answers late, at each request of a decision that writes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copy
from uuid import uuid4

import mlflow
import pytest
import servers
from conftest import use_store
from ledger_race import draft, make_versions
from proxy import Proxy, proxy
from test_run_life import INTERVAL, Config

from llmops.errors import LedgerError
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.writing import commit, settle
from llmops.registry.seat import Seat
from llmops.serving.process import check_port
from llmops.tracking.run import start_step

FOREVER = 10_000  # requests
TIMEOUT_S = 1


@dataclass
class Tracker:
    """A tracking server that comes back at the same address."""

    store: str
    folder: Path
    port: int = field(default_factory=lambda: check_port(servers.LOOPBACK, 0))
    life: ExitStack = field(default_factory=ExitStack)

    def start(self) -> servers.Server:
        artifacts = (self.folder / "artifacts").as_uri()
        made = servers.mlflow_server(self.store, artifacts, self.folder / "server.log", port=self.port)
        self.server = self.life.enter_context(made)
        return self.server


@pytest.fixture(scope="module")
def tracker(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    folder = tmp_path_factory.mktemp("faulty")
    tracker = Tracker(f"sqlite:///{copy(empty_store, folder / 'mlflow.db')}", folder)
    with tracker.life:
        tracker.start()
        yield tracker


@pytest.fixture
def faulty(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What stands before the server that this test works with; requests are tried twice."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(TIMEOUT_S))
    with proxy(tracker.server.url) as (made, url):
        use_store(url, "faults", monkeypatch)
        yield made
        mlflow.set_tracking_uri(tracker.store)


def new_seat() -> Seat:
    seat = Seat(f"faults-{uuid4().hex[:8]}")
    make_versions(seat.model, 2)
    return seat


def decided(seat: Seat) -> bool:
    """Decide while the store may fail; whether that worked, else it was said in one line."""
    try:
        commit(seat, draft(seat, "1"), 0)
    except LedgerError as error:
        assert "fails or can't be reached" in str(error) and "\n" not in str(error)
        return False
    return True


def decide_again(seat: Seat) -> None:
    """What the step does when it is run again."""
    settle(seat)
    if not standing(seat).entries:
        commit(seat, draft(seat, "1"), 0)


def assert_decided_once(seat: Seat) -> None:
    stand = standing(seat)
    assert ([entry.after for entry in stand.entries], stand.alias, stand.problems) == (["1"], "1", ())


def writes_of_a_decision(faulty: Proxy) -> list[str]:
    seat = new_seat()
    faulty.fail()
    assert decided(seat)
    return faulty.writes


@pytest.mark.parametrize("how", ["lose", "cut"])
def test_a_request_that_fails_once_is_tried_again_and_decides_once(faulty: Proxy, how: str) -> None:
    for number in range(1, len(writes_of_a_decision(faulty)) + 1):
        seat = new_seat()
        faulty.fail(how, number)
        assert decided(seat), f"it gave up at {faulty.writes[-1]}"
        assert_decided_once(seat)


@pytest.mark.parametrize("how", ["refuse", "forget"])
def test_from_whatever_request_on_the_store_fails_the_next_attempt_decides_once(faulty: Proxy, how: str) -> None:
    for number in range(1, len(writes_of_a_decision(faulty)) + 1):
        seat = new_seat()
        faulty.fail(how, number, FOREVER)
        assert not decided(seat)
        faulty.fail()
        decide_again(seat)
        assert_decided_once(seat)


ROOT, ENTRY, ALIAS = "registered-models/create", "runs/log-parameter", "registered-models/alias"


def place(writes: Sequence[str], path: str) -> int:
    """The number of the first request with this path."""
    return next(number for number, write in enumerate(writes, 1) if write.endswith(path))


@pytest.mark.parametrize("at", [ROOT, ENTRY, ALIAS])
def test_what_the_store_hears_when_the_caller_has_given_up_does_no_harm(faulty: Proxy, at: str) -> None:
    number = place(writes_of_a_decision(faulty), at)
    seat = new_seat()
    faulty.fail("delay", number, 2, 2 * TIMEOUT_S + 0.5)
    assert not decided(seat)
    faulty.fail()
    decide_again(seat)
    faulty.wait()  # for what comes late
    settle(seat)
    assert_decided_once(seat)


@pytest.mark.parametrize("at", [ENTRY, ALIAS])
def test_a_server_that_dies_in_a_decision_leaves_what_the_next_attempt_finishes(
    faulty: Proxy, tracker: Tracker, at: str
) -> None:
    number = place(writes_of_a_decision(faulty), at)
    seat = new_seat()
    faulty.fail(at=number, then=tracker.server.kill)
    assert not decided(seat)
    tracker.start()
    decide_again(seat)
    assert_decided_once(seat)


def test_a_step_goes_on_when_what_it_takes_of_the_machine_cannot_be_logged(
    faulty: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INTERVAL, "0.05")
    with start_step("step", Config()) as run:
        faulty.fail("refuse", 1, FOREVER, only="runs/log-batch")
        deadline = time.monotonic() + 60
        while not faulty.writes:
            assert time.monotonic() < deadline, "nothing was logged"
            time.sleep(0.02)
    assert mlflow.get_run(run.info.run_id).info.status == "FINISHED"
