"""The stores people have: SQLite with a folder, PostgreSQL behind a server with basic auth and proxied artifacts, and S3."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
import servers
from conftest import use_store
from ledger_race import draft, make_versions, race
from mlflow.exceptions import MlflowException
from test_finetune_step import chat, tune, write

from llmops.chains.parts import Generator
from llmops.chains.release import Release
from llmops.errors import LedgerError
from llmops.models.adapter import read_identity
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import resolve_weights
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.writing import commit
from llmops.registry.seat import Seat
from llmops.tracking import golden
from llmops.tracking.loading import fetch_adapter, find_weights, load_answerer, load_index
from llmops.tracking.registered import load_registered
from llmops.tracking.releases import log_release, read_release
from llmops.tracking.sources import source_digest
from llmops.tracking.versions import get_current, get_version
from pipelines import index

pytestmark = pytest.mark.usefixtures("one_thread")

APP = "prod.rag.handbook"  # as Unity Catalog names things
QUESTION = "How long is leave?"


@pytest.fixture(params=["local", "proxied", "s3"])
def artifacts(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, sign_in: Callable[[str], None]
) -> Iterator[str]:
    """A store to work in; yields what the URIs of its artifacts begin with."""
    if request.param == "local":
        request.getfixturevalue("store")
        yield "file:"
    elif request.param == "proxied":
        server = request.getfixturevalue("guarded_server")
        sign_in("editor")
        use_store(server, "stores", monkeypatch)
        yield "mlflow-artifacts:"
    else:
        for name, value in request.getfixturevalue("s3").items():
            monkeypatch.setenv(name, value)
        request.getfixturevalue("store")
        mlflow.create_experiment("s3", artifact_location=f"s3://{servers.BUCKET}/s3")
        mlflow.set_experiment("s3")
        yield "s3:"


def where() -> str:
    return str(mlflow.get_experiment(os.environ["MLFLOW_EXPERIMENT_ID"]).artifact_location)


def test_a_release_comes_back_as_it_was_registered(artifacts: str, tiny_lm: Path) -> None:
    generator = Generator(str(tiny_lm), resolve_weights(str(tiny_lm)).digest, "float32", 6)
    code = source_digest("llmops.tracking.agent")
    release = Release(APP, "prompt", f"prompts:/{APP}-prompt/1", "{context} {question}", generator, code_digest=code)
    answerer = load_answerer(release)
    with mlflow.start_run():
        version = log_release(release, golden.record(answerer, [QUESTION]))
        assert log_release(release) == version  # found by its digest
    found = read_release(version.uri)
    assert where().startswith(artifacts) and version.name == APP
    assert (found, found.digest) == (release, get_version(version.uri).digest)
    again = load_registered(version.uri, found).answer([QUESTION])[0]
    assert again.text == answerer.answer([QUESTION])[0].text


def test_an_index_comes_back_as_it_was_registered(artifacts: str, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "leave.md").write_text("# Leave\n\nEvery employee has thirty days of paid leave.\n")
    made = index.main(index.IndexConfig(app=APP, documents=str(tmp_path / "documents")))
    assert made == get_current(f"{APP}-index").uri == f"models:/{APP}-index/1"
    assert load_index(made).doc_ids == {"leave.md"} and where().startswith(artifacts)


def test_an_adapter_comes_back_as_it_was_registered(
    artifacts: str, tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))
    examples = write(tmp_path / "chats.jsonl", [chat(f"Which number is {n}?", f"It is {n}.") for n in range(4)])
    uri = tune(tiny_lm, examples, app=APP, epochs=1.0)
    assert uri == get_current(f"{APP}-adapter").uri == f"models:/{APP}-adapter/1"
    weights = find_weights(str(tiny_lm))
    assert read_identity(fetch_adapter(uri, weights, load_tokenizer(weights))).weights_digest == weights.digest
    assert where().startswith(artifacts)


# The ledger, on PostgreSQL


@pytest.fixture
def seat(guarded_server: str, sign_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Seat:
    """A seat of a model of three-part name and two versions that the editor made."""
    sign_in("editor")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", guarded_server)
    mlflow.set_tracking_uri(guarded_server)
    seat = Seat(f"prod.rag.{uuid.uuid4().hex[:8]}")
    make_versions(seat.model, 2)
    return seat


def refused(seat: Seat, expected: int) -> str:
    """What who may not promote is told."""
    with pytest.raises(LedgerError) as caught:
        commit(seat, draft(seat, "2"), expected)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def traces(seat: Seat) -> object:
    """All that a ledger leaves in the store, as far as anyone sees it."""
    stand = standing(seat)
    return stand.entries, stand.alias, stand.versions, stand.head, stand.chain


def test_of_ten_processes_one_writes_the_next_entry_through_the_server(seat: Seat, guarded_server: str) -> None:
    results = race(guarded_server, rounds=3)
    assert (results.winners, results.conflicts, results.errors) == ((1, 1, 1), 27, ())
    assert (results.entries, results.problems, results.chain_runs) == (3, (), 1) and results.alias == results.attested


def test_a_user_who_may_only_read_cannot_promote_and_leaves_no_trace(seat: Seat, sign_in: Callable[[str], None]) -> None:
    before = traces(seat)
    sign_in("reader")
    said = refused(seat, 0)
    assert said.startswith(f"reader may not write to '{seat.model}' on http://") and "Ask for EDIT permission" in said
    assert traces(seat) == before
    with pytest.raises(MlflowException, match="not found"):
        mlflow.MlflowClient().get_registered_model(seat.ledger)


def test_a_user_who_may_write_the_ledger_but_not_the_model_cannot_promote_and_leaves_no_trace(
    seat: Seat, guarded_server: str, sign_in: Callable[[str], None]
) -> None:
    commit(seat, draft(seat, "1"), 0)
    _grant_ledger(guarded_server, seat, "reader")
    before = traces(seat)
    sign_in("reader")
    assert "permission denied" in refused(seat, 1)
    assert traces(seat) == before


def test_a_user_who_may_write_the_model_but_not_the_ledger_cannot_promote(
    seat: Seat, guarded_server: str, sign_in: Callable[[str], None]
) -> None:
    commit(seat, draft(seat, "1"), 0)
    servers.grant(guarded_server, "reader", "EDIT", "registered_model", seat.model)
    sign_in("reader")
    assert "permission denied" in refused(seat, 1) and seat.experiment in refused(seat, 1)
    stand = standing(seat)
    assert (len(stand.entries), stand.alias, stand.problems) == (1, "1", ())


def test_a_user_with_the_permissions_that_the_line_names_can_promote(
    seat: Seat, guarded_server: str, sign_in: Callable[[str], None]
) -> None:
    commit(seat, draft(seat, "1"), 0)
    _grant_ledger(guarded_server, seat, "reader")
    servers.grant(guarded_server, "reader", "EDIT", "registered_model", seat.model)
    sign_in("reader")
    commit(seat, draft(seat, "2"), 1)
    stand = standing(seat)
    assert (len(stand.entries), stand.alias, stand.problems) == (2, "2", ())


def test_a_wrong_password_is_one_line(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    assert "does not know editor or the password" in refused(seat, 0)


def _grant_ledger(server: str, seat: Seat, user: str) -> None:
    experiment = mlflow.get_experiment_by_name(seat.experiment)
    assert experiment
    servers.grant(server, user, "EDIT", "experiment", experiment.experiment_id)
    servers.grant(server, user, "EDIT", "registered_model", seat.ledger)
