"""Bounds of the gateway: places, rates, time, callers that leave, and its end."""

import ipaddress
import multiprocessing
import os
import re
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fakes import bot, release
from gateways import CHAT, IDENTITY, Load, SlowEngine, body, client, gateway, served, told, wait_for

from llmops.errors import ConfigError
from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.rates import Rates
from llmops.serving.gateway.refusal import Refusal
from llmops.serving.gateway.server import Server
from llmops.serving.gateway.settings import Settings
from llmops.serving.gateway.worker import Worker
from llmops.serving.keys.file import create_key
from llmops.serving.keys.key import Key
from llmops.serving.options import Options
from llmops.serving.roster import AnswererServing, Serving, Single

KEY = Key("a1", "alice", "", "", requests_per_minute=60, tokens_per_minute=600)


def refused(rates: Rates, key: Key = KEY) -> float:
    """How long to wait, in seconds; 0 if the request is allowed."""
    try:
        rates.ask(key)
    except Refusal as refusal:
        assert refusal.status == 429
        return refusal.retry_after_s
    return 0.0


# Places


def test_of_more_requests_than_there_is_room_for_the_last_is_told_to_come_again(tmp_path: Path) -> None:
    engine = SlowEngine()
    app = gateway(tmp_path, bot(release("prompt"), engine), max_in_flight=1, max_waiting=1)
    with served(app) as (url, _), ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(httpx.post, url + CHAT, json=body(), timeout=30)]
        assert engine.begun.wait(20)
        waiting.append(threads.submit(httpx.post, url + CHAT, json=body(), timeout=30))
        wait_for(lambda: app.state.gateway.in_flight == 2)
        reply = httpx.post(url + CHAT, json=body())
        assert told(reply) == (429, "queue_full") and int(reply.headers["retry-after"]) >= 1
        engine.let.release(2)
        assert [one.result(20).status_code for one in waiting] == [200, 200]
        assert app.state.gateway.in_flight == 0


def test_an_answer_that_takes_too_long_is_given_up_and_keeps_its_place_until_the_engine_is_free(tmp_path: Path) -> None:
    engine = SlowEngine()
    app = gateway(tmp_path, bot(release("prompt"), engine), timeout_s=0.3, max_in_flight=1, max_waiting=0)
    with served(app) as (url, _):
        assert told(httpx.post(url + CHAT, json=body())) == (504, "timeout")
        assert told(httpx.post(url + CHAT, json=body())) == (429, "queue_full")  # the engine still works on the first
        engine.let.release()
        wait_for(lambda: app.state.gateway.in_flight == 0)


def test_a_stream_that_takes_too_long_ends_with_an_error_and_the_engines_is_closed(tmp_path: Path) -> None:
    engine = SlowEngine()
    engine.let.release(2)
    with served(gateway(tmp_path, bot(release("prompt"), engine), timeout_s=0.5)) as (url, _):
        reply = httpx.post(url + CHAT, json=body(stream=True), timeout=20)
        assert '"code": "timeout"' in reply.text and "[DONE]" not in reply.text
        engine.let.release(2)
        assert engine.closed.wait(20)


def test_a_body_that_does_not_arrive_is_not_waited_for(tmp_path: Path) -> None:
    with served(gateway(tmp_path, body_timeout_s=0.3)) as (url, _):
        parts = httpx.URL(url)
        with closing(socket.create_connection((parts.host, parts.port), 20)) as connection:
            connection.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{{".encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 408")


# Callers that leave


def one_word_later(engine: SlowEngine, is_so: Callable[[], bool]) -> Callable[[], bool]:
    def after_a_word() -> bool:
        engine.let.release()
        return is_so()

    return after_a_word


def test_the_engines_stream_is_closed_when_its_reader_leaves(tmp_path: Path) -> None:
    engine = SlowEngine(words=10_000)
    engine.let.release(3)
    app = gateway(tmp_path, bot(release("prompt"), engine))
    with served(app) as (url, _):
        with httpx.stream("POST", url + CHAT, json=body(stream=True), timeout=20) as reply:
            assert next(reply.iter_text())
        wait_for(one_word_later(engine, engine.closed.is_set))
        wait_for(lambda: app.state.gateway.in_flight == 0)
        assert 'status="499"} 1.0' in app.state.gateway.metrics.text().decode()


def test_who_leaves_while_waiting_leaves_the_place_to_others(tmp_path: Path) -> None:
    engine = SlowEngine()
    app = gateway(tmp_path, bot(release("prompt"), engine), max_in_flight=1, max_waiting=1)
    with served(app) as (url, _), ThreadPoolExecutor(1) as threads:
        first = threads.submit(httpx.post, url + CHAT, json=body(), timeout=30)
        assert engine.begun.wait(20)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url + CHAT, json=body(), timeout=0.3)
        wait_for(lambda: app.state.gateway.in_flight == 1)
        engine.let.release()
        assert first.result(20).status_code == 200 and len(engine.requests) == 1  # the second never began


# The end


def test_a_gateway_told_to_end_finishes_what_is_under_way_and_takes_nothing_new(tmp_path: Path) -> None:
    engine = SlowEngine(words=3)
    app = gateway(tmp_path, bot(release("prompt"), engine))
    with served(app) as (url, server), ThreadPoolExecutor(1) as threads, httpx.Client(base_url=url) as http:
        assert http.get("/ready").status_code == 200
        first = threads.submit(httpx.post, url + CHAT, json=body(stream=True), timeout=30)
        assert engine.begun.wait(20)
        app.state.gateway.drain()
        ready, late = http.get("/ready"), http.post(CHAT, json=body())
        assert told(ready) == told(late) == (503, "not_ready") and late.headers["connection"] == "close"
        server.handle_exit(signal.SIGTERM, None)
        engine.let.release(5)
        assert "[DONE]" in first.result(20).text


def test_callers_on_open_connections_go_to_the_next_worker_when_one_is_replaced(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    begin = fork.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first = fork.Process(target=work, args=(listener, tmp_path))
        second = fork.Process(target=work, args=(listener, tmp_path, begin.wait))
        first.start(), second.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/ready"
        try:
            with ExitStack() as loads:
                asking = [loads.enter_context(Load(url, pause_s=0, keep=True)) for _ in range(4)]
                wait_for(lambda: all(one.answered > 10 for one in asking))
                begin.set()
                first.terminate()
                first.join(20)
                so_far = [one.answered for one in asking]
                wait_for(lambda: all(one.answered > before for one, before in zip(asking, so_far, strict=True)))
            assert first.exitcode == 0 and [one.failed for one in asking] == [[]] * 4
            assert all(one.closed for one in asking)
        finally:
            first.kill(), second.kill()


def work(listener: socket.socket, folder: Path, begin: Callable[[], object] = lambda: None) -> None:
    begin()
    Worker(gateway(folder), Options(), threading.Event()).serve_on(listener)


def serve_slowly(listener: socket.socket, folder: Path) -> None:
    Server(gateway(folder, bot(release("prompt"), SlowEngine()))).serve_on(listener)


def takes_nobody(url: str) -> bool:
    try:
        return httpx.get(url + "/ready", timeout=20).status_code == 503
    except httpx.ConnectError:
        return True


def test_a_connection_is_kept_for_longer_than_those_who_ask_keep_it(tmp_path: Path) -> None:
    with served(gateway(tmp_path)) as (url, _), closing(HTTPConnection(*url.removeprefix("http://").split(":"))) as asking:
        for wait_s in (0, 6):  # clients give one up after 5 s, load balancers after 60
            time.sleep(wait_s)
            asking.request("GET", "/health")
            assert asking.getresponse().read()


def test_a_gateway_told_twice_to_end_waits_for_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = multiprocessing.get_context("fork").Process(target=serve_slowly, args=(listener, tmp_path))
        process.start()
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(httpx.post, url + CHAT, json=body(), timeout=60)
        try:
            wait_for(
                lambda: re.search(r"llmops_in_flight{.*} 1.0", httpx.get(url + "/metrics", timeout=20).text) is not None
            )
            process.terminate()
            wait_for(lambda: takes_nobody(url))
            assert process.is_alive() and not asking.done()
            process.terminate()
            process.join(20)
            assert process.exitcode == -signal.SIGTERM
        finally:
            process.kill()
    assert isinstance(asking.exception(20), httpx.HTTPError)


def test_a_release_is_held_until_its_answer_has_ended_whoever_is_picked_meanwhile(tmp_path: Path) -> None:
    engine, held = SlowEngine(words=2), []

    class Watched(Single):
        @contextmanager
        def pick(self, model: str, user: str) -> Iterator[Serving]:
            with super().pick(model, user) as serving:
                held.append(user)
                yield serving
            held.remove(user)

    roster = Watched(AnswererServing(IDENTITY, bot(release("prompt"), engine)))
    app = create_app(roster, tmp_path, Settings(trace_rate=0.0, timeout_s=0.3))
    with served(app) as (url, _):
        assert told(httpx.post(url + CHAT, json=body(user="jo"))) == (504, "timeout")
        assert held == ["jo"]  # the engine still works for it
        engine.let.release()
        wait_for(lambda: not held)


def test_a_gateway_speaks_tls_by_files(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = built.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    certificate, private = tmp_path / "tls.crt", tmp_path / "tls.key"
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with served(gateway(tmp_path), certificate=certificate, private_key=private) as (url, _):
        trusted = ssl.create_default_context(cafile=certificate)
        address = url.replace("http:", "https:")
        assert httpx.post(address + CHAT, json=body(), verify=trusted).status_code == 200


# Rates


def test_a_key_may_use_a_minutes_worth_at_once_and_then_waits(tmp_path: Path) -> None:
    now = 1000.0
    rates = Rates(tmp_path, lambda: now)
    assert [refused(rates) for _ in range(60)] == [0.0] * 60
    assert refused(rates) == pytest.approx(1.0)
    now += 1.0
    assert refused(rates) == 0.0 and refused(rates) > 0
    now -= 500.0  # a clock that was set back fills no bucket, and empties none
    assert refused(rates) > 0


def test_tokens_are_counted_afterwards_and_the_next_request_waits_for_them(tmp_path: Path) -> None:
    now = 1000.0
    rates = Rates(tmp_path, lambda: now)
    assert refused(rates) == 0.0
    rates.spend(KEY, 700)
    assert refused(rates) == pytest.approx(10.1)
    now += 11
    assert refused(rates) == 0.0


def test_a_rate_that_cannot_be_kept_refuses_nobody(tmp_path: Path) -> None:
    (tmp_path / "rates").write_text("no folder, as on a disk that is full")
    http, secret = client(tmp_path), create_key(tmp_path, "alice", requests_per_minute=1, tokens_per_minute=1)[1]
    for _ in range(2):
        assert http.post(CHAT, json=body(), headers={"authorization": f"Bearer {secret}"}).status_code == 200


def test_rates_of_many_keys_take_no_files(tmp_path: Path) -> None:
    rates, before = Rates(tmp_path), len(os.listdir("/proc/self/fd"))
    for number in range(50):
        rates.ask(replace(KEY, key_id=str(number)))
    assert len(os.listdir("/proc/self/fd")) == before


def count_allowed(folder: Path, tries: int) -> int:
    rates = Rates(folder, lambda: 1000.0)
    return sum(refused(rates) == 0.0 for _ in range(tries))


def test_workers_agree_about_a_keys_rate(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as workers:
        allowed = workers.starmap(count_allowed, [(tmp_path, 50)] * 3)
    assert sum(allowed) == 60


def test_a_key_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    _, secret = create_key(tmp_path, "alice", requests_per_minute=2)
    _, other = create_key(tmp_path, "bob")
    http = client(tmp_path)
    replies = [http.post(CHAT, json=body(), headers={"authorization": f"Bearer {secret}"}) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert told(replies[-1]) == (429, "rate_limit_exceeded") and 25 <= int(replies[-1].headers["retry-after"]) <= 31
    assert http.post(CHAT, json=body(), headers={"authorization": f"Bearer {other}"}).status_code == 200


@pytest.mark.parametrize("wrong", [{"max_in_flight": 0}, {"timeout_s": 0}, {"trace_rate": 1.5}, {"max_waiting": -1}])
def test_bounds_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Settings(**wrong)


def test_settings_do_not_show_their_secret() -> None:
    assert "hush" not in repr(Settings(webhook_secret="hush"))
