"""A ledger whose writers are killed or come late, that is tampered with, or whose store fails."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pytest
from conftest import ROOT
from ledger_race import draft, make_versions
from mlflow import MlflowClient

from llmops.errors import Conflict, LedgerError
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.writing import commit, settle
from llmops.registry.seat import Seat
from llmops.registry.store_errors import store_errors
from pipelines import approve, ledger, lineage, parity, promote, retention, rollback
from pipelines.approve import ApproveConfig
from pipelines.ledger import LedgerConfig
from pipelines.lineage import LineageConfig
from pipelines.parity import ParityConfig
from pipelines.promote import PromoteConfig
from pipelines.retention import RetentionConfig
from pipelines.rollback import RollbackConfig

SEAT = Seat("handbook")


@pytest.fixture
def seat(store: str) -> Seat:
    """The seat of an application with four versions, of which 1, 2 and 3 were promoted in turn."""
    make_versions(SEAT.model, 4)
    for number, version in enumerate("123"):
        commit(SEAT, draft(SEAT, version), number)
    return SEAT


def now(seat: Seat) -> tuple[int, str | None, tuple[str, ...]]:
    stand = standing(seat)
    return len(stand.entries), stand.alias, stand.problems


# Killed

KILLED = """
import os, shutil, signal, sys
import mlflow
from ledger_race import draft
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.writing import commit, settle
from llmops.registry.seat import Seat

base, decision, version, expected = sys.argv[1:]
seat = Seat("handbook")
mlflow.set_tracking_uri("sqlite:///" + shutil.copy(base, f"{base}-0"))
standing(seat)  # imports all that is needed; a fork for each then takes no seconds
WRITES = [
    "create_experiment", "create_run", "update_run", "create_registered_model", "log_param",
    "set_registered_model_alias", "set_model_version_tag", "set_registered_model_tag",
]
for attempt in range(1, 30):
    if os.fork() == 0:
        done = 0
        def counted(write):
            def counting(*args, **kwargs):
                global done
                done += 1
                if done == attempt:
                    os.kill(os.getpid(), signal.SIGKILL)
                return write(*args, **kwargs)
            return counting
        for name in WRITES:
            setattr(mlflow.MlflowClient, name, counted(getattr(mlflow.MlflowClient, name)))
        mlflow.set_tracking_uri("sqlite:///" + shutil.copy(base, f"{base}-{attempt}"))
        if decision == "settle":
            settle(seat)
        else:
            commit(seat, draft(seat, version, decision, run="the run"), int(expected))
        os._exit(0)
    status = os.wait()[1]
    print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else "done" if status == 0 else "failed")
    if not os.WIFSIGNALED(status):
        break
"""


def kill_before_each_write(base: Path, decision: str, version: str, expected: int) -> list[Path]:
    """Stores in which a process was killed before its first, second... write, and at last one in which it wasn't."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-c", KILLED, str(base), decision, version, str(expected)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    ends = done.stdout.split()
    assert ends[-1] == "done" and set(ends[:-1]) == {str(int(signal.SIGKILL))}, done.stderr
    return [base.with_name(f"{base.name}-{number}") for number in range(1, len(ends) + 1)]


def promote_again(seat: Seat, version: str) -> None:
    """As the step does: settle first, then decide only what isn't decided yet."""
    settle(seat)
    stand = standing(seat)
    if stand.attested != version:
        commit(seat, draft(seat, version), len(stand.entries))


@pytest.mark.parametrize("version, expected, writes", [("1", 0, 10), ("3", 2, 6)], ids=["the first", "a later"])
def test_a_process_killed_between_any_two_writes_leaves_what_settle_finishes(
    store: str, version: str, expected: int, writes: int
) -> None:
    make_versions(SEAT.model, 3)
    for number in range(expected):
        commit(SEAT, draft(SEAT, str(number + 1)), number)
    path = Path(store.removeprefix("sqlite:///"))
    stores = kill_before_each_write(path, "promote", version, expected)
    assert len(stores) == writes + 1
    for unfinished in stores:
        shutil.copyfile(unfinished, path)
        promote_again(SEAT, version)
        assert now(SEAT) == (expected + 1, version, ()), unfinished.name
        assert standing(SEAT).repairs == ()  # nobody is said to have moved it by hand


def test_a_settle_killed_between_any_two_writes_is_finished_by_the_next(
    seat: Seat, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_unfinished(seat, monkeypatch)
    path = Path(store.removeprefix("sqlite:///"))
    stores = kill_before_each_write(path, "settle", "", 0)
    assert len(stores) == 5  # alias, applied, two anchors; and not killed
    for unfinished in stores:
        shutil.copyfile(unfinished, path)
        settle(seat)
        assert now(seat) == (4, "4", ()), unfinished.name


# Late


class Died(Exception):
    """Stands for the end of a process at this point."""


def paused_before(monkeypatch: pytest.MonkeyPatch, write: str, meanwhile: Callable[[], Any], dies: bool = False) -> None:
    """Let others go on before the next `write`, which then comes late, and is the last if the process dies of it."""
    original = getattr(MlflowClient, write)

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(MlflowClient, write, original)
        meanwhile()
        done = original(*args, **kwargs)
        if dies:
            raise Died
        return done

    monkeypatch.setattr(MlflowClient, write, late)


def leave_unfinished(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write entry 4, which promotes version 4, and nothing after it."""
    paused_before(monkeypatch, "log_param", lambda: None, dies=True)
    with pytest.raises(Died):
        commit(seat, draft(seat, "4"), 3)


def others_go_on(seat: Seat) -> None:
    assert settle(seat) == ("entry 4 was unfinished: moved handbook@champion to version 4; it was version 3.",)
    commit(seat, draft(seat, "2"), 4)


def test_what_a_dead_process_left_is_shown_and_said_when_finished(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_unfinished(seat, monkeypatch)
    assert now(seat) == (4, "3", ("entry 4 is unfinished: handbook@champion is version 3, to become version 4.",))
    assert settle(seat) == ("entry 4 was unfinished: moved handbook@champion to version 4; it was version 3.",)
    assert settle(seat) == () and now(seat) == (4, "4", ())


BACK = (
    "put handbook@champion back to version 2, as entry 5 says: it was version 4, "
    "moved by hand or by a process that came late."
)


def test_a_process_that_moves_the_alias_late_puts_it_back_and_it_is_shown(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused_before(monkeypatch, "set_registered_model_alias", lambda: others_go_on(seat))
    assert commit(seat, draft(seat, "4"), 3).number == 4
    assert now(seat) == (5, "2", ()) and standing(seat).repairs == (BACK,)


def test_a_process_that_dies_after_a_late_move_is_shown_and_settled(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    paused_before(monkeypatch, "set_registered_model_alias", lambda: others_go_on(seat), dies=True)
    with pytest.raises(Died):
        commit(seat, draft(seat, "4"), 3)
    assert "is unattested: it is version 4, by entry 5 it is version 2" in standing(seat).problems[0]
    assert settle(seat) == (BACK,) and now(seat) == (5, "2", ()) and standing(seat).repairs == (BACK,)


@pytest.mark.parametrize("write", ["set_model_version_tag", "set_registered_model_tag"])
def test_an_anchor_written_late_is_brought_up_to_the_last_entry(
    seat: Seat, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    paused_before(
        monkeypatch, "log_param", lambda: paused_before(monkeypatch, write, lambda: commit(seat, draft(seat, "2"), 4))
    )
    commit(seat, draft(seat, "4"), 3)
    assert now(seat) == (5, "2", ())


def test_an_entry_that_another_wrote_first_is_never_written_twice(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    paused_before(monkeypatch, "set_model_version_tag", lambda: commit(seat, draft(seat, "2"), 3))
    with pytest.raises(Conflict, match="entry 4 of the ledger of handbook@champion came meanwhile"):
        commit(seat, draft(seat, "4"), 3)
    assert now(seat) == (4, "2", ())


def test_a_promotion_while_the_ledger_is_read_is_no_problem(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    paused_before(monkeypatch, "search_model_versions", lambda: commit(seat, draft(seat, "4"), 3))
    assert now(seat) == (4, "4", ())


# Moved by hand


def test_an_alias_moved_by_hand_is_shown_with_both_versions_and_put_back(seat: Seat) -> None:
    MlflowClient().set_registered_model_alias("handbook", "champion", "1")
    stand = standing(seat)
    assert not stand.is_attested and (stand.alias, stand.attested) == ("1", "3")
    assert "handbook@champion is unattested: it is version 1, by entry 3 it is version 3." in stand.problems[0]
    assert "back to version 3, as entry 3 says: it was version 1" in settle(seat)[0] and now(seat) == (3, "3", ())


def test_an_alias_deleted_by_hand_is_shown_and_put_back(seat: Seat) -> None:
    MlflowClient().delete_registered_model_alias("handbook", "champion")
    assert "handbook@champion is unattested: it is not set, by entry 3 it is version 3." in standing(seat).problems[0]
    assert "it was not set" in settle(seat)[0] and now(seat) == (3, "3", ())


def test_a_deleted_version_that_holds_the_seat_is_shown_and_another_can_follow(seat: Seat) -> None:
    MlflowClient().delete_model_version("handbook", "3")
    gone = "version 3, which the ledger says is handbook@champion, no longer exists. Promote another, or roll back."
    assert now(seat) == (3, None, (gone,)) and settle(seat) == ()
    commit(seat, draft(seat, "2", "rollback"), 3)
    assert now(seat) == (4, "2", ())


def test_a_deleted_version_that_once_held_the_seat_is_no_problem(seat: Seat) -> None:
    MlflowClient().delete_model_version("handbook", "1")
    assert now(seat) == (3, "3", ())


def test_a_deleted_anchor_is_shown_and_written_again(seat: Seat) -> None:
    MlflowClient().delete_registered_model_tag("handbook", "llmops.ledger.champion.head")
    MlflowClient().delete_model_version_tag("handbook", "1", "llmops.ledger.champion.000001")
    assert standing(seat).problems == tuple(f"entry {n} is unfinished: an anchor of it is missing." for n in (1, 3))
    assert settle(seat) == ("entry 1 was unfinished: finished it.", "entry 3 was unfinished: finished it.")
    assert now(seat) == (3, "3", ())


# Tampered with

HEAD, TAG = "the tag llmops.ledger.champion.head of handbook", "the tag llmops.ledger.champion.00000{n} of version {n}"
ENTRY = "entry {n} of the ledger of handbook@champion "
TAMPERED = {
    "an edited entry": (
        "UPDATE params SET value = replace(value, 'better', 'worse') WHERE key = 'entry.000002'",
        (ENTRY + "was edited: another digest of it is in entry 3 and " + TAG + ".").format(n=2),
    ),
    "an edited last entry": (
        "UPDATE params SET value = replace(value, 'alice', 'bob') WHERE key = 'entry.000003'",
        (ENTRY + "was edited: another digest of it is in " + HEAD + " and " + TAG + ".").format(n=3),
    ),
    "a removed middle entry": (
        "DELETE FROM params WHERE key = 'entry.000002'",
        (ENTRY + "was removed: its digest is in entry 3 and " + TAG + ".").format(n=2),
    ),
    "a removed first entry": (
        "DELETE FROM params WHERE key = 'entry.000001'",
        (ENTRY + "was removed: its digest is in entry 2 and " + TAG + ".").format(n=1),
    ),
    "a removed last entry": (
        "DELETE FROM params WHERE key IN ('entry.000003', 'applied.000003')",
        (ENTRY + "was removed: its digest is in " + HEAD + " and " + TAG + ".").format(n=3),
    ),
    "a removed last entry and the head": (
        "DELETE FROM params WHERE key = 'entry.000003'; DELETE FROM registered_model_tags WHERE name = 'handbook'",
        (ENTRY + "was removed: its digest is in " + TAG + ".").format(n=3),
    ),
    "all entries removed": ("DELETE FROM params WHERE key LIKE 'entry.%'", ENTRY.format(n=1) + "was removed"),
    "an entry that is none": (
        "UPDATE params SET value = 'nothing' WHERE key = 'entry.000003'", ENTRY.format(n=3) + "was edited",
    ),
    "an entry slipped in": (
        "INSERT INTO params (key, value, run_uuid) SELECT 'entry.000004', 'nothing', run_uuid FROM params LIMIT 1",
        ENTRY.format(n=4) + "is none that this platform writes: 'nothing'",
    ),
    "an entry with fields of other types": (
        "INSERT INTO params (key, value, run_uuid) SELECT 'entry.000004', "
        "replace(replace(value, '{\"user\":\"alice\"}', '7'), '\"number\":3', '\"number\":4'), run_uuid "
        "FROM params WHERE key = 'entry.000003'",
        ENTRY.format(n=4) + "is none that this platform writes",
    ),
    "an edited anchor of the model": (
        "UPDATE registered_model_tags SET value = replace(value, '3 ', '3 0') WHERE name = 'handbook'",
        (ENTRY + "or a trace of it was edited: another digest of it is in " + HEAD + ", the same in " + TAG).format(n=3),
    ),
    "an anchor that is none": (
        "UPDATE registered_model_tags SET value = 'none' WHERE name = 'handbook'", "was removed: its digest is in the tag",
    ),
    "an edited anchor of a version": (
        "UPDATE model_version_tags SET value = value || '0' WHERE key = 'llmops.ledger.champion.000002'",
        (ENTRY + "or a trace of it was edited: another digest of it is in " + TAG + ", the same in entry 3.").format(n=2),
    ),
    "a removed chain run": (
        "DELETE FROM params; DELETE FROM latest_metrics; DELETE FROM tags; DELETE FROM runs",
        "which holds the ledger of handbook@champion, is gone.",
    ),
    "a removed registered model": (
        "DELETE FROM registered_model_tags WHERE name = 'handbook-ledger';"
        "DELETE FROM registered_models WHERE name = 'handbook-ledger'",
        "the registered model handbook-ledger, which names the ledger of handbook@champion, is gone, and with it entry 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("statements, line", TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_shown_in_one_line_and_nothing_is_decided_on_it(
    seat: Seat, store: str, statements: str, line: str
) -> None:
    connection = sqlite3.connect(store.removeprefix("sqlite:///"))
    connection.executescript(statements)
    connection.close()
    first, *rest = standing(seat).problems
    assert line in first and (not rest or "all entries" in statements or "entry.%" in statements)
    for write in (lambda: settle(seat), lambda: commit(seat, draft(seat, "4"), len(standing(seat).entries))):
        with pytest.raises(LedgerError, match="Nothing is decided on a broken ledger") as caught:
            write()
        assert "\n" not in str(caught.value) and first in str(caught.value)
    assert MlflowClient().get_registered_model("handbook").aliases["champion"] in ("3", 3)


def test_a_deleted_chain_run_is_shown_with_the_way_back_and_is_whole_when_restored(seat: Seat) -> None:
    run_id = MlflowClient().get_registered_model("handbook-ledger").tags["llmops.ledger.run"]
    MlflowClient().delete_run(run_id)
    assert f"was deleted. Restore it: mlflow runs restore --run-id {run_id}" in standing(seat).problems[0]
    with pytest.raises(LedgerError, match="Nothing is decided"):
        settle(seat)
    MlflowClient().restore_run(run_id)
    assert now(seat) == (3, "3", ())


def test_a_ledger_pointed_at_another_run_shows_what_it_misses(seat: Seat) -> None:
    other = MlflowClient().create_run("1").info.run_id
    MlflowClient().set_registered_model_tag("handbook-ledger", "llmops.ledger.run", other)
    assert "entry 1 of the ledger of handbook@champion was removed" in standing(seat).problems[0]


# A store that fails


@contextmanager
def answering(status: int, body: str, wait: threading.Event | None = None) -> Iterator[str]:
    """The address of a tracking server that always says this, once `wait` is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if wait is not None:
                wait.wait(20)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_PATCH = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        if wait is not None:
            wait.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def impatient(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "carol")


def refused(uri: str) -> str:
    mlflow.set_tracking_uri(uri)
    with pytest.raises(LedgerError) as caught:
        settle(SEAT)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


def test_who_has_no_permission_is_told_what_to_ask_for(impatient: None) -> None:
    with answering(403, "Permission denied") as uri:
        assert refused(uri) == (
            f"carol may not read the ledger of 'handbook@champion' on {uri} (permission denied). Ask for READ permission on "
            "the registered models handbook and handbook-ledger and the experiment handbook-ledger."
        )


def test_who_may_read_but_not_write_is_told_so_before_anything_is_decided(
    seat: Seat, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(403, "Permission denied") as uri:
        monkeypatch.setattr(MlflowClient, "set_model_version_tag", lambda *_: mlflow.MlflowClient(uri, uri).get_run("x"))
        with pytest.raises(LedgerError, match="^carol may not write to 'handbook' on .*Ask for EDIT permission on the reg"):
            commit(seat, draft(seat, "4"), 3)
    assert now(seat) == (3, "3", ())


def test_who_is_not_known_is_told_to_say_who_they_are(impatient: None) -> None:
    with answering(401, "You are not authenticated") as uri:
        assert "does not know carol or the password" in refused(uri)


STEPS = {
    "promote": lambda: promote.main(PromoteConfig()), "rollback": lambda: rollback.main(RollbackConfig()),
    "ledger": lambda: ledger.main(LedgerConfig()), "lineage": lambda: lineage.main(LineageConfig()),
    "approve": lambda: approve.main(ApproveConfig(release="models:/handbook/1", user="carol")),
    "retention": lambda: retention.main(RetentionConfig()),
    "parity": lambda: parity.main(ParityConfig(server="http://127.0.0.1:9/v1")),
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_who_may_not_even_start_a_run_gets_one_line_of_each_step(impatient: None, step: Callable[[], object]) -> None:
    with answering(403, "Permission denied") as uri:
        mlflow.set_tracking_uri(uri)
        with pytest.raises(LedgerError, match=r"^carol may not .* \(permission denied\)\. Ask for ") as caught:
            step()
    assert "\n" not in str(caught.value)


def test_a_store_that_fails_is_said_in_one_line(impatient: None) -> None:
    with answering(500, '{"error_code": "INTERNAL_ERROR", "message": "first\\nsecond"}') as uri:
        assert f"can't read the ledger of 'handbook@champion': {uri} fails or can't be reached" in refused(uri)


def test_a_store_that_does_not_answer_is_said_in_one_line(impatient: None) -> None:
    with answering(200, "{}", threading.Event()) as uri:
        assert "timed out" in refused(uri)


def test_a_store_that_is_not_there_is_said_in_one_line_without_its_password(impatient: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert f"http://***@127.0.0.1:{port} fails or can't be reached" in refused(f"http://carol:secret@127.0.0.1:{port}")
    assert "secret" not in refused(f"http://carol:secret@127.0.0.1:{port}")


def test_a_database_that_is_damaged_is_said_in_one_line(store: str) -> None:
    Path(store.removeprefix("sqlite:///")).write_bytes(b"no database" * 1000)
    assert "fails or can't be reached" in refused(store)


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(mlflow.MlflowException, match="model"), store_errors("write"):
        raise mlflow.MlflowException.invalid_parameter_value("no such model")


def test_requests_give_up_sooner_than_by_default_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    with store_errors("read"):
        pass
    assert (os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"], os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) == ("3", "7")
