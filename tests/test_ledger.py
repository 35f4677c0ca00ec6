"""The ledger of a seat on a real store: entries, the alias that follows them, who comes second, and where to go back to."""

import getpass
from collections.abc import Sequence
from itertools import pairwise

import mlflow
import pytest
from ledger_race import draft, make_versions, race

from llmops.errors import ConfigError, Conflict, LedgerError
from llmops.registry.identity import who
from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.succession import attested, champions
from llmops.registry.ledger.writing import commit, settle
from llmops.registry.seat import Seat

SEAT = Seat("handbook")


@pytest.fixture
def seat(store: str) -> Seat:
    """The seat of an application with four versions, empty, without a ledger."""
    make_versions(SEAT.model, 4)
    return SEAT


def decide(seat: Seat, *moves: str) -> list[Entry]:
    """Commit what `moves` say: "promote 2", "rollback 1", "keep 3"."""
    made = []
    for move in moves:
        decision, version = move.split()
        made.append(commit(seat, draft(seat, version, decision), len(standing(seat).entries)))
    return made


def alias(seat: Seat) -> str | None:
    version = mlflow.MlflowClient().get_registered_model(seat.model).aliases.get(seat.alias)
    return None if version is None else str(version)


# Entries and the alias


def test_a_seat_without_a_ledger_stands_empty_and_has_no_problem(seat: Seat) -> None:
    stand = standing(seat)
    assert (stand.entries, stand.alias, stand.attested, stand.problems) == ((), None, None, ())
    assert settle(seat) == ()


def test_a_promotion_moves_the_alias_and_a_decision_to_keep_does_not(seat: Seat) -> None:
    decide(seat, "promote 2", "keep 3")
    stand = standing(seat)
    assert [(e.number, e.before, e.after) for e in stand.entries] == [(1, None, "2"), (2, "2", "2")]
    assert alias(seat) == stand.alias == stand.attested == "2" and stand.problems == () and stand.is_attested


def test_entries_are_chained_by_digest_and_read_as_written(seat: Seat) -> None:
    made = decide(seat, "promote 1", "keep 2", "promote 3", "rollback 1")
    assert standing(seat).entries == tuple(made)
    assert made[0].previous == "" and all(b.previous == a.digest_of_entry for a, b in pairwise(made))
    assert all(Entry.from_json(entry.to_json()) == entry for entry in made)


def test_the_anchors_name_the_last_entry_on_the_model_and_each_on_its_version(seat: Seat) -> None:
    first, second = decide(seat, "promote 1", "keep 3")
    client = mlflow.MlflowClient()
    assert client.get_registered_model("handbook").tags["llmops.ledger.champion.head"] == f"2 {second.digest_of_entry}"
    tags = {version: client.get_model_version("handbook", version).tags for version in "123"}
    assert tags["1"]["llmops.ledger.champion.000001"] == f"handbook@champion promote {first.digest_of_entry}"
    assert tags["3"]["llmops.ledger.champion.000002"] == f"handbook@champion keep {second.digest_of_entry}"
    assert tags["2"] == {}


def test_an_alias_older_than_the_ledger_is_adopted(seat: Seat) -> None:
    mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", "1")
    assert "no entry of its ledger says" in standing(seat).problems[0] and settle(seat) == ()
    (entry,) = decide(seat, "promote 2")
    assert entry.before == "1" and champions([entry]) == attested([entry]) == ["1", "2"]


def test_an_alias_is_adopted_by_a_decision_to_keep_it(seat: Seat) -> None:
    mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", "1")
    decide(seat, "keep 2")
    stand = standing(seat)
    assert stand.attested == stand.alias == "1" and stand.problems == () and champions(stand.entries) == ["1"]


def test_two_seats_of_a_model_and_a_copy_of_a_version_have_ledgers_of_their_own(seat: Seat) -> None:
    staging, prod = Seat("handbook", "staging"), Seat("handbook-prod")
    decide(seat, "promote 1", "promote 2")
    decide(staging, "promote 2")
    copied = mlflow.MlflowClient().copy_model_version("models:/handbook/2", prod.model)  # its tags come along
    decide(prod, f"promote {copied.version}")
    decide(staging, "promote 3")
    for one, version, entries in ((seat, "2", 2), (staging, "3", 2), (prod, "1", 1)):
        stand = standing(one)
        assert (stand.alias, len(stand.entries), stand.problems) == (version, entries, ())


def test_a_decision_about_a_version_of_another_model_stands_in_the_ledger(seat: Seat) -> None:
    prod = Seat("handbook-prod")
    make_versions(prod.model, 1)
    commit(prod, draft(seat, "4", "keep"), 0)
    stand = standing(prod)
    assert stand.entries[0].challenger == "models:/handbook/4" and stand.problems == () and stand.alias is None


def test_a_name_of_three_parts_is_a_model(store: str) -> None:
    seat = Seat("main.apps.handbook")
    make_versions(seat.model, 2)
    decide(seat, "promote 1", "promote 2")
    assert standing(seat).problems == () and alias(seat) == "2" and seat.ledger == "main.apps.handbook-ledger"


@pytest.mark.parametrize("model, alias", [("a/b", "x"), ("a:b", "x"), ("a@b", "x"), ("", "x"), ("a'b", "x"), ("a", "v1"),
                                          ("a", "Latest"), ("a", ""), ("a", "x.y")])  # fmt: skip
def test_a_seat_that_mlflow_can_not_name_is_refused(model: str, alias: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Seat(model, alias)


def test_a_ledger_does_not_take_the_place_of_another_registered_model(seat: Seat) -> None:
    mlflow.MlflowClient().create_registered_model("handbook-ledger")
    with pytest.raises(LedgerError, match="'handbook-ledger' has no tag llmops.ledger.run"):
        decide(seat, "promote 1")


def test_a_deleted_place_for_the_ledger_is_named_with_the_way_back(seat: Seat) -> None:
    client = mlflow.MlflowClient()
    client.delete_experiment(client.create_experiment("handbook-ledger"))
    with pytest.raises(LedgerError, match="mlflow experiments restore --experiment-id"):
        decide(seat, "promote 1")


# What commit refuses


def test_who_decides_on_what_no_longer_holds_is_told_by_whom_it_was_changed(seat: Seat) -> None:
    decide(seat, "promote 1")
    with pytest.raises(Conflict, match=r"entry 1 .* came meanwhile: promote, models:/handbook/1, by alice, 2026"):
        commit(seat, draft(seat, "2"), 0)
    assert alias(seat) == "1" and len(standing(seat).entries) == 1


def test_the_same_run_commits_once_however_often_it_tries(seat: Seat) -> None:
    attempt = draft(seat, "2", run="the run")
    assert commit(seat, attempt, 0) == commit(seat, attempt, 0)
    assert len(standing(seat).entries) == 1


def test_a_version_is_not_promoted_onto_its_own_seat(seat: Seat) -> None:
    decide(seat, "promote 2")
    with pytest.raises(LedgerError, match="version 2 is handbook@champion already"):
        decide(seat, "promote 2")


def test_a_version_that_does_not_exist_is_refused_before_anything_is_written(seat: Seat) -> None:
    with pytest.raises(LedgerError, match="has no version 9"):
        decide(seat, "promote 9")
    assert standing(seat).entries == () and mlflow.get_experiment_by_name("handbook-ledger") is None


def test_an_entry_that_mlflow_would_cut_off_is_refused(seat: Seat) -> None:
    with pytest.raises(LedgerError, match="a ledger takes 6000. Give a shorter reason"):
        commit(seat, draft(seat, "1", reason="long " * 1200), 0)
    assert standing(seat).entries == ()


def test_any_text_can_be_a_reason(seat: Seat) -> None:
    reason = "„besser“\n\0 \ud800 🙂"
    commit(seat, draft(seat, "1", reason=reason), 0)
    assert standing(seat).entries[0].reason == reason and standing(seat).problems == ()


def test_a_ledger_shorter_than_expected_is_said(seat: Seat) -> None:
    with pytest.raises(LedgerError, match="has 0 entries, expected 3"):
        commit(seat, draft(seat, "1"), 3)


# Where to go back to


def succession(seat: Seat, *moves: str) -> Sequence[str]:
    decide(seat, *moves)
    return champions(standing(seat).entries)


def test_a_rollback_takes_away_what_was_above_and_a_promotion_goes_on_top(seat: Seat) -> None:
    assert succession(seat, "promote 1", "promote 2", "promote 3") == ["1", "2", "3"]
    assert succession(seat, "rollback 2") == ["1", "2"]
    assert succession(seat, "promote 4", "keep 3") == ["1", "2", "4"]
    assert succession(seat, "rollback 2", "rollback 1") == ["1"]
    assert succession(seat, "rollback 4") == ["1", "4"]  # attested once, taken away since
    assert attested(standing(seat).entries) == ["1", "2", "3", "4"] and alias(seat) == "4"


def test_a_version_promoted_twice_is_gone_back_from_to_what_was_between(seat: Seat) -> None:
    assert succession(seat, "promote 1", "promote 2", "promote 1") == ["1", "2", "1"]
    assert succession(seat, "rollback 2") == ["1", "2"]


# Many at once


def test_of_ten_processes_that_decide_at_once_one_does_and_the_alias_follows(store: str) -> None:
    results = race(store, rounds=3)
    assert results.winners == (1, 1, 1) and results.conflicts == 27 and results.errors == ()
    assert results.entries == 3 and results.problems == () and results.alias == results.attested


def test_ten_processes_that_make_the_first_ledger_at_once_make_one(store: str) -> None:
    results = race(store, rounds=3, fresh=True)
    assert results.winners == (1, 1, 1) and results.conflicts == 27 and results.errors == ()
    assert results.entries == 1 and results.problems == () and results.chain_runs == 3  # one for each seat


# Who


def test_the_mlflow_user_decides_else_the_one_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_RUN_ID", "CI_JOB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "carol")
    assert who() == {"user": "carol"}
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    assert who() == {"user": getpass.getuser()}


def test_a_ci_job_is_named_with_who_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_RUN_ID", raising=False)
    monkeypatch.setenv("CI_JOB_URL", "https://gitlab.example/a/b/-/jobs/7")
    monkeypatch.setenv("GITLAB_USER_LOGIN", "dave")
    assert who()["ci"] == "dave in https://gitlab.example/a/b/-/jobs/7"
    for name, value in {"RUN_ID": "12", "ACTOR": "erin", "SERVER_URL": "https://git.example", "REPOSITORY": "a/b"}.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    assert who()["ci"] == "erin in https://git.example/a/b/actions/runs/12"
