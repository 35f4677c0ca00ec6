"""Webhooks of a real tracking server, and what a gateway makes of a delivery."""

import base64
import hashlib
import hmac
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copy
from typing import Any

import mlflow
import pytest
from conftest import use_store
from cryptography.fernet import Fernet
from gateways import client
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from servers import Server, create_users, mlflow_server

from llmops.errors import ConfigError, DeploymentError, LLMOpsError
from llmops.registry.deliveries import TOLERANCE_S, Deliveries, verify
from llmops.registry.webhook import EVENTS, KEY, PRIVATE, SCHEMES, register
from llmops.serving.process import check_port
from pipelines.webhook import WebhookConfig, main

SECRET = "a secret of the gateway and the server"
OPEN = {SCHEMES: "http,https", PRIVATE: "true", "MLFLOW_WEBHOOK_CACHE_TTL": "1", "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "0"}


# What a gateway makes of a delivery


def signed(secret: str = SECRET, delivery: str = "d1", sent: int = 1_000_000, body: bytes = b"{}") -> dict[str, str]:
    mac = hmac.new(secret.encode(), f"{delivery}.{sent}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {"X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": str(sent), "X-MLflow-Signature": signature}


@pytest.fixture
def seen(tmp_path: Path) -> Deliveries:
    return Deliveries(tmp_path / "deliveries")


def test_a_signed_delivery_is_taken_once(seen: Deliveries) -> None:
    assert verify(SECRET, signed(), b"{}", seen, 1_000_001)
    assert not verify(SECRET, signed(), b"{}", seen, 1_000_002)
    assert verify(SECRET, signed(delivery="d2"), b"{}", seen, 1_000_002)


def test_what_one_worker_took_no_other_takes(tmp_path: Path) -> None:
    headers = signed(sent=int(time.time()))
    workers = [client(tmp_path, webhook_secret=SECRET) for _ in range(2)]
    taken = [worker.post("/hooks/mlflow", content=b"{}", headers=headers).status_code for worker in workers * 2]
    assert taken == [204, 401, 401, 401]
    assert client(tmp_path / "other", webhook_secret=SECRET).post("/hooks/mlflow", content=b"{}", headers=headers).is_success


def test_of_many_who_hear_a_delivery_at_once_one_takes_it(seen: Deliveries) -> None:
    with ThreadPoolExecutor(8) as threads:
        heard = [threads.submit(verify, SECRET, signed(), b"{}", Deliveries(seen.folder), 1_000_000) for _ in range(64)]
    assert [one.result() for one in heard].count(True) == 1


def test_a_delivery_that_cannot_be_noted_is_refused(seen: Deliveries) -> None:
    seen.folder.touch()  # as where the disk is full
    assert not verify(SECRET, signed(), b"{}", seen, 1_000_000)


def test_names_of_headers_may_be_in_small_letters(seen: Deliveries) -> None:
    assert verify(SECRET, {name.lower(): value for name, value in signed().items()}, b"{}", seen, 1_000_000)


FORGED = {
    "other secret": (signed("another secret of that length"), b"{}"),
    "other body": (signed(), b'{"alias": "champion"}'),
    "other delivery": (signed() | {"X-MLflow-Delivery-Id": "d2"}, b"{}"),
    "other time": (signed() | {"X-MLflow-Timestamp": "1000001"}, b"{}"),
    "no signature": (signed() | {"X-MLflow-Signature": ""}, b"{}"),
    "letters no signature has": (signed() | {"X-MLflow-Signature": "v1,\u00e9"}, b"{}"),
    "a time that is none": (signed() | {"X-MLflow-Timestamp": "now"}, b"{}"),
    "a time without end": (signed() | {"X-MLflow-Timestamp": "9" * 5000}, b"{}"),
    "no headers": ({}, b"{}"),
}


@pytest.mark.parametrize("headers, body", FORGED.values(), ids=FORGED)
def test_a_forged_delivery_is_refused_and_not_remembered(headers: dict[str, str], body: bytes, seen: Deliveries) -> None:
    assert not verify(SECRET, headers, body, seen, 1_000_000) and not seen.folder.exists()


def test_nothing_is_signed_with_an_empty_secret(seen: Deliveries) -> None:
    assert not verify("", signed(""), b"{}", seen, 1_000_000)


@pytest.mark.parametrize("late", [-TOLERANCE_S - 1, TOLERANCE_S + 1])
def test_a_stale_delivery_is_refused(late: int, seen: Deliveries) -> None:
    assert not verify(SECRET, signed(), b"{}", seen, 1_000_000 + late)
    assert verify(SECRET, signed(), b"{}", seen, 1_000_000 + late - late // abs(late))


def test_a_delivery_is_remembered_until_it_is_stale_and_no_longer(seen: Deliveries) -> None:
    assert verify(SECRET, signed(sent=1_000_000 + TOLERANCE_S), b"{}", seen, 1_000_000)  # the server's clock is ahead
    assert not verify(SECRET, signed(sent=1_000_000 + TOLERANCE_S), b"{}", seen, 1_000_000 + 2 * TOLERANCE_S)
    for count in range(20):
        sent = 1_000_000 + (count + 2) * 2 * TOLERANCE_S
        assert verify(SECRET, signed(delivery=f"n{count}", sent=sent), b"{}", seen, sent)
    assert len(list(seen.folder.iterdir())) == 1


# The tracking server


@dataclass
class Gateway:
    """A receiver that verifies what it gets: the body of what it took, or None."""

    seen: Deliveries
    url: str = ""
    secret: str = SECRET
    heard: "queue.Queue[tuple[dict[str, str], bytes, bool]]" = field(default_factory=queue.Queue)


@pytest.fixture
def gateway(seen: Deliveries) -> Iterator[Gateway]:
    found = Gateway(seen)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            good = verify(found.secret, dict(self.headers), body, found.seen, time.time())
            found.heard.put((dict(self.headers), body, good))
            self.send_response(204 if good else 401)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}/hooks/mlflow"
        yield found
        server.shutdown()


@contextmanager
def started(empty_store: Path, folder: Path, env: dict[str, str], users: str = "") -> Iterator[Server]:
    database = f"sqlite:///{copy(empty_store, folder / 'mlflow.db')}"
    with mlflow_server(database, str(folder / "artifacts"), folder / "server.log", users, env) as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(empty_store: Path, place: Path) -> Iterator[Server]:
    """A tracking server that may post to this machine."""
    with started(empty_store, place, OPEN | {KEY: Fernet.generate_key().decode()}) as running:
        yield running


@pytest.fixture
def at_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[mlflow.MlflowClient]:
    """Work at this server, with the secret in the environment; webhooks go when the test ends."""
    monkeypatch.setenv("LLMOPS_WEBHOOK_SECRET", SECRET)
    use_store(server.url, "webhooks", monkeypatch)
    client = mlflow.MlflowClient()
    yield client
    for one in client.list_webhooks():
        client.delete_webhook(one.webhook_id)


def move_champion(client: mlflow.MlflowClient, name: str) -> None:
    client.create_registered_model(name)
    model = mlflow.create_external_model(name="release")
    version = client.create_model_version(name, f"models:/{model.model_id}", model_id=model.model_id)
    client.set_registered_model_alias(name, "champion", version.version)


def test_a_gateway_is_told_of_a_moved_alias_and_knows_who_says_so(at_server: mlflow.MlflowClient, gateway: Gateway) -> None:
    main(WebhookConfig(url=gateway.url))
    move_champion(at_server, "handbook")
    headers, body, good = gateway.heard.get(timeout=60)
    told = json.loads(body)
    assert good and told["entity"] == "model_version_alias"
    assert told["data"] == {"name": "handbook", "alias": "champion", "version": "1"}
    assert not verify(SECRET, headers, body, gateway.seen, time.time())  # replayed
    gateway.seen = Deliveries(gateway.seen.folder / "anew")
    assert not verify(SECRET, headers, body, gateway.seen, time.time() + TOLERANCE_S + 60)
    assert not verify("a secret that was only guessed", headers, body, gateway.seen, time.time())
    at_server.delete_registered_model_alias("handbook", "champion")
    _, body, good = gateway.heard.get(timeout=60)
    assert good and json.loads(body)["action"] == "deleted"


def test_registering_again_brings_the_webhook_up_to_date(
    at_server: mlflow.MlflowClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = main(WebhookConfig(url=gateway.url))
    at_server.update_webhook(first.webhook_id, status="DISABLED")
    gateway.secret = "another secret, as one rotates them"
    monkeypatch.setenv("LLMOPS_WEBHOOK_SECRET", gateway.secret)
    second = main(WebhookConfig(url=gateway.url, test="yes"))
    assert (first.is_new, second.is_new) == (True, False) and first.webhook_id == second.webhook_id
    assert [str(one.status) for one in at_server.list_webhooks()] == ["ACTIVE"]
    main(WebhookConfig(url=gateway.url, name="other"))
    main(WebhookConfig(url=gateway.url + "/other"))
    assert len(at_server.list_webhooks()) == 3


def test_a_test_delivery_says_what_the_gateway_answers(
    at_server: mlflow.MlflowClient, gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    main(WebhookConfig(url=gateway.url, test="yes"))
    assert f"{gateway.url} answered 204" in capsys.readouterr().out and gateway.heard.get(timeout=60)[2]
    gateway.secret = "not the one of the server"
    with pytest.raises(DeploymentError, match="did not take the test delivery: status 401. Check .* has this secret"):
        main(WebhookConfig(url=gateway.url, test="yes"))


def test_a_gateway_that_is_down_is_said(at_server: mlflow.MlflowClient, gateway: Gateway) -> None:
    nobody = f"http://127.0.0.1:{check_port('127.0.0.1', 0)}/"
    with pytest.raises(DeploymentError, match="did not take the test delivery: .*refused") as caught:
        main(WebhookConfig(url=nobody, test="yes"))
    assert "\n" not in str(caught.value)


def test_the_secret_is_neither_logged_nor_shown(
    at_server: mlflow.MlflowClient, gateway: Gateway, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    main(WebhookConfig(url=gateway.url, test="yes"))
    shown = "".join(capfd.readouterr())
    runs = mlflow.search_runs(output_format="list")
    assert KEY in shown and runs[0].data.params["secret_env"] == "LLMOPS_WEBHOOK_SECRET"
    kept = [str([run.to_dictionary() for run in runs]), (place / "server.log").read_text(encoding="utf-8")]
    assert not [text for text in [shown, *kept] if SECRET in text]
    assert SECRET.encode() not in (place / "mlflow.db").read_bytes()


def test_a_server_that_cannot_read_its_webhooks_is_told_of_its_key(
    at_server: mlflow.MlflowClient, place: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SCHEMES, "http,https")
    monkeypatch.setenv(PRIVATE, "true")
    store: Any = SqlAlchemyStore(f"sqlite:///{place / 'mlflow.db'}")  # type: ignore[no-untyped-call]  # without a key, as a server that was restarted
    lost = store.create_webhook("lost", gateway.url, [*EVENTS], secret=SECRET)
    with pytest.raises(DeploymentError, match=f"can't read its webhooks.*another {KEY}") as caught:
        main(WebhookConfig(url=gateway.url))
    assert "\n" not in str(caught.value)
    store.delete_webhook(lost.webhook_id)


def test_a_strict_server_names_what_to_set_and_whom_to_ask(
    empty_store: Path, tmp_path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, sign_in: Callable[[str], None]
) -> None:
    monkeypatch.setenv("LLMOPS_WEBHOOK_SECRET", SECRET)
    sign_in("admin")
    with started(empty_store, tmp_path, {}, users=f"sqlite:///{tmp_path / 'users.db'}") as strict:
        use_store(strict.url, "webhooks", monkeypatch)
        with pytest.raises(ConfigError, match=f"refuses the address: .* set {SCHEMES}=http,https on the server"):
            main(WebhookConfig(url=gateway.url))
        with pytest.raises(ConfigError, match=f"refuses the address: .* set {PRIVATE}=true on the server"):
            main(WebhookConfig(url="https://127.0.0.1/hooks"))
        with pytest.raises(ConfigError, match="refuses the webhook: .*name '-' is invalid"):
            main(WebhookConfig(url="https://127.0.0.1/hooks", name="-"))
        create_users(strict.url, "editor")
        sign_in("editor")
        with pytest.raises(LLMOpsError, match="editor may not register a webhook on .* Ask for an administrator's account"):
            register("llmops", "https://127.0.0.1/hooks", SECRET)


def test_a_store_without_a_server_has_no_webhooks(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPS_WEBHOOK_SECRET", SECRET)
    with pytest.raises(ConfigError, match=f"{store} has no webhooks: only an MLflow server sends them. Start"):
        main(WebhookConfig(url="https://gateway/hooks"))


BAD_CONFIGS = {
    "no address": (WebhookConfig(), "url is '', expected a gateway's address"),
    "other scheme": (WebhookConfig(url="ftp://gateway"), "expected a gateway's address"),
    "a password": (WebhookConfig(url="https://me:hush@gateway"), "url holds a user or password"),
    "no secret": (WebhookConfig(url="https://gateway"), "secret_env names is not set"),
    "a short secret": (WebhookConfig(url="https://gateway", secret_env="SHORT"), "secret_env names holds 4 characters"),
    "the secret for its name": (WebhookConfig(url="https://gateway", secret_env="hush-hush"), "is not set"),
}


@pytest.mark.parametrize("config, hint", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_what_makes_no_sense_is_refused_without_repeating_a_secret(
    store: str, config: WebhookConfig, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORT", "hush")
    with pytest.raises(ConfigError, match=hint) as caught:
        main(config)
    assert "hush" not in str(caught.value) and "\n" not in str(caught.value)
    assert mlflow.search_runs(output_format="list") == []  # nor logged


def test_a_test_is_asked_for_by_yes() -> None:
    with pytest.raises(ConfigError, match="test is 'maybe', expected yes or no"):
        WebhookConfig(test="maybe")
