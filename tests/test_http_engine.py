"""An engine on a server elsewhere: what it asks, what it takes for an answer, and what it does when things go wrong."""

import asyncio
import contextlib
import json
import logging
import multiprocessing
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import drain
from hypothesis import given
from hypothesis import strategies as st

from llmops.errors import ConfigError, EngineError, WindowError
from llmops.models.http import connections, failure
from llmops.models.http.engine import HttpEngine
from llmops.models.http.failure import Failure, Patience
from llmops.models.http.pace import Pace
from llmops.models.http.wire import StreamedAnswer, request_body
from llmops.types import Completion, GenerationRequest, Message

KEY = "sk-very-secret-0123456789"


def ask(text: str, adapter: str | None = None) -> GenerationRequest:
    return GenerationRequest((Message("system", "Be brief."), Message("user", text)), 12, adapter)


def asks(count: int) -> list[GenerationRequest]:
    return [ask(f"question {i}") for i in range(count)]


def said(text: str) -> str:
    """What the server answers to a question: other words for others."""
    return f"{text[::-1]}!"


# A server


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    path: str
    headers: Any  # by name in any case
    body: dict[str, Any]


class Asked(BaseHTTPRequestHandler):
    """One connection; `behave` of the server decides how each request on it is answered."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.number = len(self.server.asked)
            self.server.asked.append(Seen(self.path, self.headers, self.body))
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            with contextlib.suppress(ConnectionError):
                self.server.behave(self)
        except Exception as error:
            self.server.errors.append(error)
            raise
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    @property
    def question(self) -> str:
        return str(self.body["messages"][-1]["content"])

    def answer(self, **changed: Any) -> None:
        message = {"role": "assistant", "content": said(self.question)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(self.question), "completion_tokens": 3, "total_tokens": 0}
        self.reply(200, {"object": "chat.completion", "choices": [choice], "usage": usage} | changed)

    def fail(self, status: int, message: str = "no", **headers: str) -> None:
        self.reply(status, {"error": {"message": message, "param": None, "code": None}}, 0, **headers)

    def reply(self, status: int, content: dict[str, Any] | str, cut: int = 0, **headers: str) -> None:
        """Reply, without the last `cut` bytes."""
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        kind = "text/html" if isinstance(content, str) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with self.server.lock:
            if not cut:
                self.server.at_once -= 1  # before the last byte is out, after which the next may come
        self.wfile.write(text[: len(text) - cut].encode())
        self.close_connection = bool(cut)
        with self.server.lock:
            if not cut:
                self.server.at_once += 1

    def open_stream(self) -> None:
        """The length of a stream isn't known before; what `end_stream` doesn't end is broken."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send_event(self, event: dict[str, Any] | str) -> None:
        data = f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def send_piece(self, text: str | None, finish_reason: str | None = None, **more: Any) -> None:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason, **more}
        self.send_event({"object": "chat.completion.chunk", "choices": [choice]})

    def end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def wait_until_left(self) -> None:
        """Wait until the client closes the connection."""
        self.connection.settimeout(20)
        with contextlib.suppress(ConnectionError):
            assert self.rfile.read(1) == b""

    def drop(self) -> None:
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Keeps what it was asked, and how many requests it had at once."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Asked)
        self.behave: Callable[[Asked], None] = Asked.answer
        self.asked: list[Seen] = []
        self.errors: list[Exception] = []
        self.connections: set[Any] = set()
        self.lock = threading.Lock()
        self.at_once = self.most_at_once = 0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: Any) -> None:
        pass

    def die(self) -> None:
        """Stop listening, and drop all connections."""
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(2)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that answers, and an environment with a key and without waits between tries."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(failure, "_FIRST_BACKOFF_S", 0.001)
    served = Server()
    thread = threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    served.die()
    thread.join()
    assert not served.errors


def failing_once(fail: Callable[[Asked], None]) -> Callable[[Asked], None]:
    """Fail the first request, and answer those after it."""
    return lambda asked: fail(asked) if asked.number == 0 else asked.answer()


def refusal(caught: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


# What is asked, and answered


def test_a_request_goes_out_greedy_with_its_limit_and_the_key_of_the_environment(server: Server) -> None:
    HttpEngine(server.url, "small").generate([ask("Leave?")])
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "small", "max_tokens": 12, "temperature": 0.0, "seed": 0, "logprobs": True,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Leave?"}],
    }  # fmt: skip


def test_a_request_that_draws_goes_out_as_it_is_and_without_a_seed_the_server_draws_one(server: Server) -> None:
    decodings: list[dict[str, Any]] = [{"temperature": 0.7, "top_p": 0.9, "seed": 5}, {"temperature": 0.7}]
    HttpEngine(server.url, "small", concurrency=1).generate([replace(ask("Leave?"), **one) for one in decodings])
    sent = [{name: asked.body.get(name) for name in ("temperature", "top_p", "seed")} for asked in server.asked]
    assert sent == [decodings[0], {"temperature": 0.7, "top_p": None, "seed": None}]
    streamed = request_body(replace(ask("Leave?"), **decodings[0]), "small", (), stream=True)
    assert streamed.items() >= {**decodings[0], "stream": True}.items()


def test_a_server_that_takes_no_share_of_probability_is_asked_without_it(server: Server) -> None:
    server.behave = lambda asked: asked.fail(400, "Unknown field: top_p") if "top_p" in asked.body else asked.answer()
    engine = HttpEngine(server.url, "small", retries=0)
    assert engine.generate([replace(ask("Leave?"), temperature=0.7, top_p=0.9)])[0].text == said("Leave?")
    assert server.asked[-1].body["temperature"] == 0.7 and "top_p" not in server.asked[-1].body


def test_an_adapter_is_asked_for_by_its_name(server: Server) -> None:
    HttpEngine(server.url, "small").generate([ask("Leave?"), ask("Leave?", adapter="handbook")])
    assert {asked.body["model"] for asked in server.asked} == {"small", "handbook"}


def test_an_answer_comes_with_its_counts_and_log_probabilities(server: Server) -> None:
    tokens = [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}, {"token": "b", "logprob": -2}]
    choice = {"message": {"content": " yes\n"}, "finish_reason": "stop", "logprobs": {"content": tokens}}
    server.behave = lambda asked: asked.answer(choices=[choice])
    completions = HttpEngine(server.url, "small").generate([ask("Leave?")])
    assert completions == [Completion("yes", len("Leave?"), 3, "stop", (-0.5, -2.0))]


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_the_finish_reason_is_the_servers(server: Server, reason: str) -> None:
    server.behave = lambda asked: asked.answer(choices=[{"message": {"content": "yes"}, "finish_reason": reason}])
    assert HttpEngine(server.url, "small").generate([ask("Leave?")])[0].finish_reason == reason


def test_no_content_is_the_empty_text_and_no_usage_no_tokens(server: Server) -> None:
    choice = {"message": {"content": None}, "finish_reason": "content_filter"}
    server.behave = lambda asked: asked.answer(choices=[choice], usage=None)
    assert HttpEngine(server.url, "small").generate([ask("Leave?")]) == [Completion("", 0, 0, "content_filter")]


NO_ANSWERS: dict[str, Callable[[Asked], None]] = {
    "no choices": lambda asked: asked.answer(choices=[]),
    "null choices": lambda asked: asked.answer(choices=None),
    "no message": lambda asked: asked.answer(choices=[{}]),
    "another object": lambda asked: asked.reply(200, {"ok": True}),
    "a picture": lambda asked: asked.answer(choices=[{"message": {"content": [{"type": "image_url"}]}}]),
    "a web page": lambda asked: asked.reply(200, "<html>Log in</html>"),
    "broken JSON": lambda asked: asked.reply(200, '{"choices": [', Content_Type="application/json"),
}


@pytest.mark.parametrize("behave", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_is_no_chat_completion_is_refused_at_once(server: Server, behave: Callable[[Asked], None]) -> None:
    server.behave = behave
    with pytest.raises(EngineError, match="That is no chat completion") as caught:
        HttpEngine(server.url, "small").generate([ask("Leave?")])
    assert server.url in refusal(caught) and len(server.asked) == 1


def test_no_requests_ask_nobody(server: Server) -> None:
    assert HttpEngine(server.url, "small").generate([]) == []
    assert not server.asked


def test_answers_come_in_the_order_of_the_requests_whichever_comes_first(server: Server) -> None:
    done = [threading.Event() for _ in range(5)]
    order = []

    def backwards(asked: Asked) -> None:
        i = int(asked.question.split()[1])
        assert i == 4 or done[i + 1].wait(10)
        order.append(i)
        asked.answer()
        done[i].set()

    server.behave = backwards
    completions = HttpEngine(server.url, "small").generate(asks(5))
    assert order == [4, 3, 2, 1, 0]
    assert [completion.text for completion in completions] == [said(f"question {i}") for i in range(5)]


def test_as_many_requests_run_at_once_as_allowed_and_never_more(server: Server) -> None:
    together = threading.Barrier(4)

    def behave(asked: Asked) -> None:
        together.wait(10)
        asked.answer()

    server.behave = behave
    assert len(HttpEngine(server.url, "small", concurrency=4).generate(asks(12))) == 12
    assert server.most_at_once == 4


def test_progress_counts_the_answers(server: Server) -> None:
    seen: list[tuple[str, int, int]] = []
    HttpEngine(server.url, "small").generate(asks(3), lambda *report: seen.append(report))
    assert seen == [("answering", 1, 3), ("answering", 2, 3), ("answering", 3, 3)]


def test_an_error_of_who_watches_the_progress_is_that_error(server: Server) -> None:
    with pytest.raises(ZeroDivisionError):
        HttpEngine(server.url, "small").generate(asks(3), lambda *_: 1 / 0)  # type: ignore[arg-type]


def test_it_answers_where_an_event_loop_runs_already(server: Server) -> None:
    async def notebook() -> list[Completion]:
        return HttpEngine(server.url, "small").generate(asks(2))

    assert [completion.text for completion in asyncio.run(notebook())] == [said(f"question {i}") for i in range(2)]


# Trying again


UNOPENED: dict[str, Callable[[Asked], None]] = {
    **{str(status): partial(Asked.fail, status=status) for status in (408, 409, 429, 500, 503)},
    "a wait of a moment": lambda asked: asked.fail(429, Retry_After="0.05"),
    "a date gone by": lambda asked: asked.fail(503, Retry_After=formatdate(time.time() - 5, usegmt=True)),
    "a connection closed before the answer": Asked.drop,
}
PASSING = UNOPENED | {
    "a connection closed in the middle of the answer": lambda asked: asked.reply(200, "{}" * 50, cut=7),
}


@pytest.mark.parametrize("fail", PASSING.values(), ids=PASSING)
def test_a_failure_that_may_pass_is_tried_again(server: Server, fail: Callable[[Asked], None]) -> None:
    server.behave = failing_once(fail)
    assert HttpEngine(server.url, "small", retries=1).generate([ask("Leave?")])[0].text == said("Leave?")
    assert len(server.asked) == 2


def test_an_answer_that_takes_too_long_is_asked_for_again(server: Server) -> None:
    server.behave = failing_once(Asked.wait_until_left)
    assert HttpEngine(server.url, "small", timeout_s=0.3, retries=1).generate([ask("Leave?")])[0].text == said("Leave?")


def test_an_answer_that_comes_too_slowly_is_given_up(server: Server) -> None:
    def drip(asked: Asked) -> None:
        asked.reply(200, " " * 100, cut=100)
        for _ in range(100):
            asked.wfile.write(b" ")
            time.sleep(0.02)

    server.behave = drip
    with pytest.raises(EngineError, match="none came in time"):
        HttpEngine(server.url, "small", timeout_s=0.2, retries=0).generate([ask("Leave?")])


def test_an_answer_that_never_comes_is_an_error_that_says_so(server: Server) -> None:
    server.behave = Asked.wait_until_left
    with pytest.raises(EngineError, match=r"gave no answer \(none came in time\) at each of 2 tries.*timeout_s"):
        HttpEngine(server.url, "small", timeout_s=0.1, retries=1).generate([ask("Leave?")])


def test_when_the_tries_are_used_up_the_error_names_address_status_and_remedy(server: Server) -> None:
    server.behave = lambda asked: asked.fail(503, "busy\nvery busy")
    with pytest.raises(EngineError, match="Check that the server runs") as caught:
        HttpEngine(server.url, "small", retries=2).generate([ask("Leave?")])
    assert f"{server.url} answered 503 (busy very busy) at each of 3 tries" in refusal(caught)
    assert len(server.asked) == 3


FINAL = [
    (400, "Change the request: its prompt may be too long for 'small'"),
    (401, "Set the environment variable MY_KEY to a key"),
    (403, "Set the environment variable MY_KEY to a key"),
    (404, "It knows no model 'small'"),
    (422, "Change the request"),
]


@pytest.mark.parametrize(("status", "remedy"), FINAL)
def test_a_failure_that_stays_is_told_at_once_with_its_remedy(server: Server, status: int, remedy: str) -> None:
    server.behave = lambda asked: asked.fail(status)
    with pytest.raises(EngineError, match=remedy) as caught:
        HttpEngine(server.url, "small", api_key_env="MY_KEY").generate([ask("Leave?")])
    assert f"{server.url} answered {status} (no)." in refusal(caught) and len(server.asked) == 1


def test_a_model_that_is_missing_is_named_also_where_it_is_an_adapter(server: Server) -> None:
    server.behave = lambda asked: asked.fail(404)
    with pytest.raises(EngineError, match="knows no model 'handbook'"):
        HttpEngine(server.url, "small").generate([ask("Leave?", adapter="handbook")])


def test_a_wait_of_hours_is_not_waited_for(server: Server) -> None:
    server.behave = lambda asked: asked.fail(429, "quota", Retry_After="7200")
    with pytest.raises(EngineError, match="asks to wait for 7200 s") as caught:
        HttpEngine(server.url, "small").generate([ask("Leave?")])
    assert refusal(caught) and len(server.asked) == 1


def test_a_server_that_asks_one_request_to_wait_hears_from_no_other_meanwhile(server: Server) -> None:
    together, told, answered = threading.Barrier(3), threading.Event(), threading.Event()

    def behave(asked: Asked) -> None:
        if asked.number < 3:
            together.wait(10)
        if asked.number == 0:
            asked.fail(429, Retry_After="60", Connection="close")
            asked.wait_until_left()  # it has read that
            told.set()
        elif asked.number == 1:
            assert told.wait(10)
            asked.answer()
            answered.set()
        else:
            assert answered.wait(10)
            time.sleep(0.2)  # for the next request, if there is one
            asked.fail(400)

    server.behave = behave
    with pytest.raises(EngineError, match="1 of 9 requests were answered"):
        HttpEngine(server.url, "small", concurrency=3).generate(asks(9))
    assert len(server.asked) == 3


def test_a_limit_of_requests_per_minute_holds_also_for_requests_at_once(server: Server) -> None:
    def behave(asked: Asked) -> None:
        time.sleep(0.2)  # for the next request, if there is one
        asked.fail(400)

    server.behave = behave
    with pytest.raises(EngineError, match="0 of 5"):
        HttpEngine(server.url, "small", requests_per_minute=1).generate(asks(5))
    assert len(server.asked) == 1


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.floats(0.5, 6000), st.lists(st.floats(0, 3), min_size=1, max_size=40))
def test_no_minute_holds_more_requests_than_allowed(limit: float, delays: list[float]) -> None:
    clock, taken = Clock(), []
    pace = Pace(limit, clock)
    for delay in delays:
        clock.now += delay  # somebody comes
        while wait_s := pace.claim():
            clock.now += wait_s
        taken.append(clock.now)
    for i, start in enumerate(taken):
        assert sum(start <= at < start + 59.9 for at in taken[i:]) <= limit + 1


def test_a_pause_is_for_all_and_the_longer_one_counts() -> None:
    clock = Clock()
    pace = Pace(None, clock)
    assert [pace.claim(), pace.claim()] == [0.0, 0.0]
    assert Patience(1, pace).next_wait_s(Failure(429, "", retry_after_s=7)) == 0.0
    pace.pause(2)
    assert pace.claim() == 7
    clock.now += 7
    assert pace.claim() == 0.0


def test_each_wait_between_tries_is_longer_and_none_is_like_another() -> None:
    firsts = {Patience(5, Pace()).next_wait_s(Failure(500, "")) for _ in range(20)}
    assert len(firsts) > 10
    patience = Patience(5, Pace())
    waits = [patience.next_wait_s(Failure(500, "")) for _ in range(6)]
    assert waits[5] is None
    assert all(0.25 * 2**i <= wait <= 0.5 * 2**i for i, wait in enumerate(waits[:5]) if wait is not None)


NOW = time.time()
WAITS = [
    ({}, None), ({"retry-after": "1.5"}, 1.5), ({"retry-after": "-3"}, 0.0), ({"retry-after": "nan"}, None),
    ({"retry-after": "soon"}, None), ({"retry-after": formatdate(NOW + 30), "date": formatdate(NOW)}, 30.0),
    ({"retry-after": formatdate(NOW - 30), "date": formatdate(NOW)}, 0.0),
    ({"retry-after": formatdate(NOW - 86370), "date": formatdate(NOW - 86400)}, 30.0),  # its clock is a day behind
]  # fmt: skip


@pytest.mark.parametrize(("headers", "wait_s"), WAITS, ids=range(len(WAITS)))
def test_a_wait_is_read_from_seconds_and_from_dates(headers: dict[str, str], wait_s: float | None) -> None:
    assert failure._retry_after_s(headers) == wait_s


# Parameters that a server doesn't take

REFUSED = [
    ("logprobs", 400, "logprobs is not supported", None),
    ("logprobs", 403, "You are not allowed to request logprobs from this model.", None),
    ("logprobs", 422, "Extra inputs are not permitted", "logprobs"),
    ("seed", 400, 'Unknown name "seed": Cannot find field.', None),
    ("temperature", 400, "Only the default (1) value is supported.", "temperature"),
    ("max_tokens", 400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens"),
]


@pytest.mark.parametrize(("name", "status", "message", "param"), REFUSED)
def test_a_parameter_that_is_refused_is_left_out_from_then_on(
    server: Server, name: str, status: int, message: str, param: str | None
) -> None:
    def behave(asked: Asked) -> None:
        if name in asked.body:
            asked.reply(status, {"error": {"message": message, "param": param}})
        else:
            asked.answer()

    server.behave = behave
    engine = HttpEngine(server.url, "small", retries=0)
    assert len(engine.generate(asks(5))) == 5
    first = len(server.asked)
    assert len(engine.generate(asks(5))) == 5
    later = [asked.body for asked in server.asked[first:]]
    assert len(later) == 5 and not any(name in body for body in later)
    assert name != "max_tokens" or all(body["max_completion_tokens"] == 12 for body in later)


def test_a_prompt_that_is_too_long_costs_no_parameter(server: Server) -> None:
    server.behave = failing_once(lambda asked: asked.fail(400, "8000 tokens are too many: reduce the prompt or max_tokens."))
    engine = HttpEngine(server.url, "small")
    with pytest.raises(EngineError, match="Change the request"):
        engine.generate([ask("Leave?")])
    engine.generate([ask("Leave?")])
    assert len(server.asked) == 2 and server.asked[1].body["max_tokens"] == 12


@pytest.mark.parametrize(
    ("said", "code"),
    [("This model's maximum context length is 64 tokens. However, you requested 24 output tokens", 400),
     ("'max_tokens' or 'max_completion_tokens' is too large: 24. This model's maximum context length is 8 tokens", None),
     ("Too many tokens.", "context_length_exceeded"),
     ("the request exceeds the available context size. try increasing the context size", 400)],
)  # fmt: skip
def test_a_prompt_over_the_servers_window_is_told_from_other_mistakes(server: Server, said: str, code: Any) -> None:
    server.behave = lambda asked: asked.reply(400, {"error": {"message": said, "param": None, "code": code}})
    engine = HttpEngine(server.url, "small")
    with pytest.raises(WindowError, match="Change the request"):
        engine.generate([ask("Leave?")])
    with pytest.raises(WindowError, match="0 of 2 requests were answered"):
        engine.generate(asks(2))
    with pytest.raises(WindowError):
        next(engine.stream(ask("Leave?")))
    assert all("max_tokens" in asked.body for asked in server.asked)


# Dying in the middle


def test_a_server_that_dies_in_the_middle_says_how_many_were_answered(server: Server) -> None:
    def behave(asked: Asked) -> None:
        if asked.number < 5:
            asked.answer()
        else:
            server.die()

    server.behave = behave
    threads = set(threading.enumerate())
    with pytest.raises(EngineError, match=r"gave no answer.*5 of 12 requests were answered; none is returned\.$") as caught:
        HttpEngine(server.url, "small", concurrency=1, retries=1).generate(asks(12))
    assert server.url in refusal(caught)
    ours = {thread for thread in set(threading.enumerate()) - threads if "process_request" not in thread.name}
    wait_until(lambda: not any(thread.is_alive() for thread in ours))


def test_an_error_ends_the_requests_under_way_and_their_connections(server: Server) -> None:
    together = threading.Barrier(4)

    def behave(asked: Asked) -> None:
        together.wait(10)
        if asked.question == "question 2":
            asked.fail(400)
        else:
            asked.wait_until_left()

    server.behave = behave
    with pytest.raises(EngineError, match="0 of 8"):
        HttpEngine(server.url, "small", concurrency=4).generate(asks(8))
    wait_until(lambda: not server.connections)
    assert len(server.asked) == 4


def test_calls_of_many_threads_together_keep_to_the_concurrency(server: Server) -> None:
    together = threading.Barrier(3)

    def behave(asked: Asked) -> None:
        together.wait(20)
        asked.answer()

    server.behave = behave
    engine = HttpEngine(server.url, "small", concurrency=3)
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(engine.generate, asks(3)) for _ in range(4)]
        assert [len(call.result(30)) for call in calls] == [3] * 4
    assert server.most_at_once == 3


def test_a_request_that_is_refused_costs_no_other_its_answer(server: Server) -> None:
    server.behave = lambda asked: asked.fail(400) if asked.question in ("question 0", "question 4") else asked.answer()
    outcomes = HttpEngine(server.url, "small", concurrency=2).generate_each(asks(6))
    assert [isinstance(one, EngineError) for one in outcomes] == [True, False, False, False, True, False]
    assert [one.text for one in outcomes if isinstance(one, Completion)] == [said(f"question {i}") for i in (1, 2, 3, 5)]
    assert len(server.asked) == 6  # nothing is asked twice


def test_where_all_fail_not_all_are_tried(server: Server) -> None:
    server.behave = lambda asked: asked.fail(401)
    with pytest.raises(EngineError, match="0 of 50 requests were answered"):
        HttpEngine(server.url, "small", concurrency=4).generate_each(asks(50))
    assert len(server.asked) <= 8


def test_an_engine_answers_again_after_a_failure(server: Server) -> None:
    server.behave = failing_once(lambda asked: asked.fail(400))
    engine = HttpEngine(server.url, "small")
    with pytest.raises(EngineError):
        engine.generate([ask("Leave?")])
    assert engine.generate([ask("Leave?")])[0].text == said("Leave?")


def test_a_server_that_is_not_there_is_said_to_be_so(server: Server) -> None:
    server.die()
    for call in (lambda engine: engine.generate([ask("Leave?")]), lambda engine: list(engine.stream(ask("Leave?")))):
        with pytest.raises(EngineError, match="gave no answer .* at each of 2 tries. Check that the server runs"):
            call(HttpEngine(server.url, "small", retries=1))


# The key

ECHOES: dict[str, Callable[[Asked], None]] = {
    "as an error": lambda asked: asked.fail(401, f"unknown key {asked.headers['Authorization']}"),
    "as an error of another shape": lambda asked: asked.reply(401, {"detail": {"key": asked.headers["Authorization"]}}),
    "as text": lambda asked: asked.reply(401, f"unknown: {asked.headers['Authorization']}"),
    "after much else": lambda asked: asked.fail(401, "x" * 290 + asked.headers["Authorization"]),
    "in an answer that is none": lambda asked: asked.reply(
        200, asked.headers["Authorization"], Content_Type="application/json"
    ),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("stream", [False, True], ids=["generate", "stream"])
def test_a_key_that_the_server_echoes_is_shown_to_nobody(
    server: Server, echo: Callable[[Asked], None], stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.behave = echo
    engine = HttpEngine(server.url, "small")
    with pytest.raises(EngineError) as caught:
        list(engine.stream(ask("Leave?"))) if stream else engine.generate([ask("Leave?")])
    error: BaseException | None = caught.value
    shown = [repr(engine), repr(vars(engine)), str(engine.identity), caplog.text, *traceback.format_exception(caught.value)]
    while error is not None:
        shown.append(repr(error))
        error = error.__cause__ or error.__context__
    assert refusal(caught) and not any(part in text for text in shown for part in (KEY, KEY[:10]))


def test_the_key_is_that_of_the_variable_named_and_of_no_other(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer of-another")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin")
    monkeypatch.setenv("MY_KEY", " mine\n")
    HttpEngine(server.url, "small", api_key_env="MY_KEY").generate([ask("Leave?")])
    HttpEngine(server.url, "small", api_key_env="NO_SUCH_KEY").generate([ask("Leave?")])
    assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer mine", "Bearer none"]


@pytest.mark.parametrize("key", ["two\nlines", "two words", "schlüssel"])
def test_what_can_be_no_key_is_refused_by_the_variables_name(
    server: Server, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds no key") as caught:
        HttpEngine(server.url, "small").generate([ask("Leave?")])
    assert key not in refusal(caught) and not server.asked


def test_a_login_in_the_address_is_sent_and_never_shown(server: Server) -> None:
    server.behave = lambda asked: asked.fail(401, f"who is {asked.headers['Authorization']} or p@ss?")
    engine = HttpEngine(server.url.replace("http://", "http://me:p%40ss@"), "small")
    with pytest.raises(EngineError, match=r"who is Basic \*\*\* or \*\*\*\?") as caught:
        engine.generate([ask("Leave?")])
    assert engine.identity["url"] == server.url
    assert server.asked[0].headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert not any(secret in refusal(caught) + repr(engine) for secret in ("p%40ss", "p@ss", "bWU6cEBzcw"))


# Addresses and arguments

ADDRESSES = {
    "http://127.0.0.1:8000": "http://127.0.0.1:8000/v1",
    "http://127.0.0.1:8000/v1/": "http://127.0.0.1:8000/v1",
    "https://models.example/openai/v1/chat/completions": "https://models.example/openai/v1",
    "http://[::1]:8000/v1": "http://[::1]:8000/v1",
}


@pytest.mark.parametrize(("given", "asked"), ADDRESSES.items(), ids=ADDRESSES)
def test_an_address_is_the_base_of_the_api_however_it_is_given(given: str, asked: str) -> None:
    engine = HttpEngine(given, "small")
    assert engine.identity == {"name": "openai", "url": asked, "model": "small", "version": "unknown", "dtype": "unknown"}


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://me:pass@host/v1", "http://", "http://a:b", "http://a/v1?key=pass"]
)
def test_an_address_that_makes_no_sense_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected http\(s\)://host") as caught:
        HttpEngine(url, "small")
    assert "pass" not in refusal(caught)


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ({"model": " "}, "no model"), ({"concurrency": 0}, "concurrency is 0"), ({"retries": -1}, "retries -1"),
        ({"timeout_s": 0.0}, "timeout_s is 0.0"), ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"requests_per_minute": 0.0}, "requests_per_minute is 0.0"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused_by_name(setting: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        HttpEngine(**{"url": "http://127.0.0.1", "model": "small", **setting})


def test_the_client_is_imported_when_it_is_needed_and_not_before() -> None:
    code = "import sys, llmops.models.http.engine as e; e.HttpEngine('http://a', 'b'); sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Streams


def stream_of(pieces: list[str]) -> Callable[[Asked], None]:
    def behave(asked: Asked) -> None:
        asked.open_stream()
        asked.send_piece(None)
        for piece in pieces:
            asked.send_piece(piece, logprobs={"content": [{"token": piece, "logprob": -1.0}]})
        asked.send_piece(None, finish_reason="stop")
        asked.send_event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(pieces)}})
        asked.send_event("[DONE]")
        asked.end_stream()

    return behave


def test_a_stream_yields_pieces_and_returns_the_whole(server: Server) -> None:
    server.behave = stream_of(["Ten", " days", "."])
    pieces, completion = drain(HttpEngine(server.url, "small").stream(ask("Leave?", adapter="handbook")))
    assert pieces == ["Ten", " days", "."]
    assert completion == Completion("Ten days.", 7, 3, "stop", (-1.0,) * 3)
    body = server.asked[0].body
    assert (body["stream"], body["stream_options"], body["model"]) == (True, {"include_usage": True}, "handbook")


def test_a_piece_is_there_before_the_next_is_made(server: Server) -> None:
    read_first = threading.Event()

    def behave(asked: Asked) -> None:
        asked.open_stream()
        asked.send_piece("Ten")
        assert read_first.wait(10)
        asked.send_piece(" days", finish_reason="length")
        asked.end_stream()

    server.behave = behave
    stream = HttpEngine(server.url, "small").stream(ask("Leave?"))
    assert next(stream) == "Ten"
    read_first.set()
    assert drain(stream) == ([" days"], Completion("Ten days", 0, 0, "length"))


def test_a_stream_is_read_however_its_lines_end_and_whatever_else_is_in_it(server: Server) -> None:
    piece, end = (json.dumps({"choices": [one]}) for one in ({"delta": {"content": "Ten"}}, {"finish_reason": "stop"}))
    text = f": a comment\r\n\r\nevent: message\r\nid: 1\r\ndata:{piece}\r\n\r\ndata: " + end.replace(" ", "\ndata: ")

    def behave(asked: Asked) -> None:
        asked.reply(200, text, Content_Type="text/event-stream")

    server.behave = behave
    assert drain(HttpEngine(server.url, "small").stream(ask("Leave?"))) == (["Ten"], Completion("Ten", 0, 0, "stop"))


def test_a_server_that_does_not_end_a_stream_it_said_was_done_holds_up_nobody(server: Server) -> None:
    def behave(asked: Asked) -> None:
        asked.open_stream()
        asked.send_piece("Ten", finish_reason="stop")
        asked.send_event("[DONE]")
        asked.wait_until_left()

    server.behave = behave
    assert drain(HttpEngine(server.url, "small", timeout_s=60).stream(ask("Leave?")))[0] == ["Ten"]
    wait_until(lambda: not server.connections)


@given(st.lists(st.text(" \nab", max_size=4)))
def test_the_pieces_of_a_stream_make_up_its_stripped_text(pieces: list[str]) -> None:
    answer = StreamedAnswer()
    choices = [{"delta": {"content": piece}, "finish_reason": "stop"} for piece in pieces]
    handed_on = [answer.add({"choices": [choice]}) for choice in choices]
    assert "".join(handed_on) == "".join(pieces).strip() == answer.completion().text


def opened(then: Callable[[Asked], None]) -> Callable[[Asked], None]:
    def behave(asked: Asked) -> None:
        asked.open_stream()
        asked.send_piece("Ten")
        asked.send_piece(" days")
        then(asked)

    return behave


BREAKS: dict[str, Callable[[Asked], None]] = {
    "the connection drops": Asked.drop,
    "it ends without a finish reason": Asked.end_stream,
    "an error comes": lambda asked: asked.send_event({"error": {"message": "out of memory"}}),
    "what comes is no JSON": lambda asked: asked.send_event("{"),
    "nothing comes any more": Asked.wait_until_left,
}


@pytest.mark.parametrize("then", BREAKS.values(), ids=BREAKS)
def test_a_stream_that_breaks_raises_after_its_pieces(server: Server, then: Callable[[Asked], None]) -> None:
    server.behave = opened(then)
    stream = HttpEngine(server.url, "small", timeout_s=0.5).stream(ask("Leave?"))
    assert [next(stream), next(stream)] == ["Ten", " days"]
    with pytest.raises(EngineError, match=f"the stream of {server.url} broke off") as caught:
        next(stream)
    assert refusal(caught) and len(server.asked) == 1


def test_closing_a_stream_early_closes_its_connection(server: Server) -> None:
    server.behave = opened(Asked.wait_until_left)
    stream = HttpEngine(server.url, "small").stream(ask("Leave?"))
    assert next(stream) == "Ten" and server.connections
    stream.close()
    wait_until(lambda: not server.connections)


def test_an_error_of_who_reads_a_stream_is_that_error(server: Server) -> None:
    server.behave = opened(Asked.wait_until_left)
    stream = HttpEngine(server.url, "small").stream(ask("Leave?"))
    next(stream)
    with pytest.raises(ValueError, match="mine"):
        stream.throw(ValueError("mine"))
    wait_until(lambda: not server.connections)


@pytest.mark.parametrize("fail", UNOPENED.values(), ids=UNOPENED)
def test_a_stream_that_does_not_open_is_tried_again(server: Server, fail: Callable[[Asked], None]) -> None:
    answer = stream_of(["Ten"])
    server.behave = lambda asked: fail(asked) if asked.number == 0 else answer(asked)
    assert drain(HttpEngine(server.url, "small", retries=1).stream(ask("Leave?")))[0] == ["Ten"]


def test_a_stream_leaves_out_what_the_server_refuses(server: Server) -> None:
    answer = stream_of(["Ten"])
    server.behave = lambda asked: asked.fail(400, "no stream_options") if "stream_options" in asked.body else answer(asked)
    assert drain(HttpEngine(server.url, "small").stream(ask("Leave?")))[0] == ["Ten"]


BUSY = {"error": {"message": "The engine is currently busy", "type": "Service Unavailable", "param": None, "code": 503}}


def test_a_server_that_says_in_a_stream_that_it_is_busy_is_asked_again(server: Server) -> None:
    answer = stream_of(["Ten"])

    def behave(asked: Asked) -> None:
        if asked.number:
            return answer(asked)
        asked.open_stream()
        asked.send_event(BUSY)
        asked.end_stream()

    server.behave = behave
    assert drain(HttpEngine(server.url, "small", retries=1).stream(ask("Leave?")))[0] == ["Ten"]
    assert len(server.asked) == 2


def test_a_server_that_stays_busy_is_given_up_with_what_it_says(server: Server) -> None:
    server.behave = opened(lambda asked: asked.send_event(BUSY))
    with pytest.raises(EngineError, match=r"broke off \(The engine is currently busy\)"):
        drain(HttpEngine(server.url, "small").stream(ask("Leave?")))  # not again: something was said before

    def behave(asked: Asked) -> None:
        asked.open_stream()
        asked.send_event(BUSY)
        asked.end_stream()

    server.behave = behave
    with pytest.raises(EngineError, match="answered 503 .* at each of 2 tries"):
        drain(HttpEngine(server.url, "small", retries=1).stream(ask("Leave?")))


# Connections


def test_single_requests_and_streams_of_all_threads_share_connections_that_stay_open(server: Server) -> None:
    engine, answer = HttpEngine(server.url, "small"), stream_of(["Ten"])
    server.behave = lambda asked: answer(asked) if asked.body.get("stream") else asked.answer()
    for _ in range(3):
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda text: engine.generate([ask(text)]), ["a", "b"]))
        assert drain(engine.stream(ask("Leave?")))[0] == ["Ten"]
    assert len(server.asked) == 9 and len(server.connections) <= 3


def test_a_connection_that_the_server_closed_meanwhile_costs_no_answer(server: Server) -> None:
    engine = HttpEngine(server.url, "small")
    for i in range(3):
        assert engine.generate([ask(f"question {i}")])[0].text == said(f"question {i}")
        for connection in list(server.connections):
            connection.shutdown(2)


def test_a_forked_process_asks_over_connections_of_its_own(server: Server) -> None:
    engine, answer, context = HttpEngine(server.url, "small"), stream_of(["Ten"]), multiprocessing.get_context("fork")
    server.behave = lambda asked: answer(asked) if asked.body.get("stream") else asked.answer()
    engine.generate([ask("before")])
    answers = context.SimpleQueue()

    def ask_again() -> None:
        answers.put((engine.generate([ask("again")])[0].text, drain(engine.stream(ask("Leave?")))[1].text))

    child = context.Process(target=ask_again)
    child.start()
    child.join(30)
    assert child.exitcode == 0 and answers.get() == (said("again"), "Ten")
    assert engine.generate([ask("after")])[0].text == said("after")


FORKS = """
import os, sys
from llmops.models.http.engine import HttpEngine
from llmops.types import GenerationRequest, Message
engine, request = HttpEngine(sys.argv[1], "small"), GenerationRequest((Message("user", "Leave?"),), 12)
engine.generate([request])
child = os.fork()
engine.generate([request])
if child:
    assert os.waitpid(child, 0)[1] == 0
    engine.generate([request])
"""


def test_a_forked_process_that_ends_leaves_its_parents_connections_alone(server: Server) -> None:
    run = subprocess.run([sys.executable, "-c", FORKS, server.url], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "") and len(server.asked) == 4


def test_a_key_in_a_file_is_read_at_each_use_and_never_shown(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "key"
    engine = HttpEngine(server.url, "small", key_file=file)
    for key in ("first-key-1234", "second-key-5678"):
        file.write_text(key)
        engine.generate([ask("Leave?")])
        assert server.asked[-1].headers["Authorization"] == f"Bearer {key}"
    server.behave = lambda asked: asked.fail(401, "second-key-5678 is no key")
    with pytest.raises(EngineError) as caught:
        engine.generate([ask("Leave?")])
    assert "second-key" not in refusal(caught)
    file.unlink()
    with pytest.raises(EngineError, match="key can't be read"):
        engine.generate([ask("Leave?")])


def test_requests_go_through_the_proxy_of_the_environment_but_where_it_says_none(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    answer = stream_of(["Ten"])
    server.behave = lambda asked: answer(asked) if asked.body.get("stream") else asked.answer()
    for url in ("http://models.example/v1", server.url):
        engine = HttpEngine(url, "small")
        engine.generate([ask("Leave?")])
        engine.generate(asks(2))
        drain(engine.stream(ask("Leave?")))
    path = "/v1/chat/completions"
    assert [asked.path for asked in server.asked] == [f"http://models.example{path}"] * 4 + [path] * 4


def test_a_server_of_ours_is_asked_without_the_environments_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    answer = stream_of(["Ten"])
    server.behave = lambda asked: answer(asked) if asked.body.get("stream") else asked.answer()
    engine = HttpEngine(server.url, "small", retries=0, ours=True)
    engine.generate([ask("Leave?")])
    engine.generate(asks(2))
    drain(engine.stream(ask("Leave?")))
    assert len(server.asked) == 4
    with pytest.raises(EngineError, match="gave no answer"):
        HttpEngine(server.url, "small", retries=0).generate([ask("Leave?")])


PASSES = [
    ("http://models.example/v1", "proxy:3128", "", "http://proxy:3128"),
    ("http://models.example/v1", "https://me:pass@proxy", "elsewhere.example", "https://me:pass@proxy"),
    ("http://models.example/v1", "socks5://proxy", "example", None),
    ("http://10.1.2.3:8000/v1", "http://proxy", "10.0.0.0/8, ::1", None),
    ("http://[::1]:8000/v1", "http://proxy", "10.0.0.0/8, ::1", None),
    ("http://[::2]:8000/v1", "http://proxy", "10.0.0.0/8, ::1", "http://proxy"),
]


@pytest.mark.parametrize(("url", "proxy", "none", "passes"), PASSES)
def test_a_proxy_is_read_as_the_openai_client_reads_it(
    url: str, proxy: str, none: str, passes: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", none)
    assert connections.proxy_of(url) == passes


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:pass@proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(ConfigError, match="proxy is one of socks5, expected http") as caught:
        HttpEngine("http://models.example", "small")
    assert "pass" not in str(caught.value)


def test_a_proxys_password_is_shown_to_nobody(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", server.url.removesuffix("/v1").replace("http://", "me:p%40ss@"))
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(EngineError, match="gave no answer") as caught:  # it answers no CONNECT
        HttpEngine("https://models.example", "small", retries=0).generate([ask("Leave?")])
    assert not any(secret in refusal(caught) for secret in ("p%40ss", "p@ss"))


def test_a_certificate_that_nobody_signed_is_told_as_that(server: Server, tmp_path: Path) -> None:
    where = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *kind, *where], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    engine = HttpEngine(server.url.replace("http:", "https:"), "small", retries=0)
    for call in (lambda: engine.generate([ask("Leave?")]), lambda: drain(engine.stream(ask("Leave?")))):
        with pytest.raises(EngineError, match=r"gave no answer \(.*certificate verify failed: self-signed"):
            call()


def test_the_environments_headers_for_openai_go_along(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "ours")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: search")
    HttpEngine(server.url, "small").generate([ask("Leave?")])
    assert [server.asked[0].headers[name] for name in ("OpenAI-Organization", "X-Team")] == ["ours", "search"]


def test_a_refusal_is_told_in_the_servers_words_alone(server: Server) -> None:
    server.behave = lambda asked: asked.reply(400, {"object": "error", "message": "No such option.", "code": 400})
    engine = HttpEngine(server.url, "small")
    for call in (lambda: engine.generate([ask("Leave?")]), lambda: drain(engine.stream(ask("Leave?")))):
        with pytest.raises(EngineError, match=r"answered 400 \(No such option\.\)\. Change the request"):
            call()


def test_an_engine_says_what_computes_behind_it_where_it_is_told(server: Server) -> None:
    known = HttpEngine(server.url, "small", known={"name": "vllm", "version": "0.32", "dtype": "bfloat16"})
    wanted = {"name": "vllm", "version": "0.32", "dtype": "bfloat16", "url": server.url, "model": "small"}
    assert known.identity == wanted
    assert HttpEngine(server.url, "small").identity["name"] == "openai"


def test_values_that_are_no_numbers_are_told_as_what_they_are(server: Server) -> None:
    server.behave = lambda asked: asked.fail(400, "Out of range float values are not JSON compliant")
    with pytest.raises(EngineError, match="computes values that are no numbers"):
        HttpEngine(server.url, "small").generate([ask("Leave?")])
