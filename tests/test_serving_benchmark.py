"""The benchmark of serving counts what it says: failures, also within streams, rates, growth; it leaves nothing behind."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import httpx
import psutil
import pytest
from fakes import EchoEngine, bot, release
from fastapi.testclient import TestClient
from gateways import CHAT, IDENTITY, body, gateway, served

from benchmarks import report
from benchmarks.serving import place, rollouts, sharing
from benchmarks.serving.__main__ import SECTIONS, ServingBenchmark, main
from benchmarks.serving.answers import RELEASE_HEADER, Outcome, read_stream, read_whole
from benchmarks.serving.application import chat
from benchmarks.serving.growth import Series, Watch, slope
from benchmarks.serving.load import Ask, Heard, ask_all, failures, percentiles, run_clients, tokens_per_s
from benchmarks.serving.overhead import pass_through, stub_server, take_turns
from benchmarks.serving.rollouts import Traffic
from llmops.errors import ConfigError, EngineError
from llmops.types import Completion, GenerationRequest

NOWHERE = Ask("http://127.0.0.1:9/v1", {})


def heard(began: float, ended: float, tokens: int = 1, failure: str = "", release: str = "") -> Heard:
    return Heard(NOWHERE, Outcome(failure, tokens, release), began, ended)


# Answers


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_gateways_answers_are_whole_with_their_tokens_and_release(tmp_path: Path, path: str, stream: bool) -> None:
    asked = body(stream=stream) if path == CHAT else {"model": "handbook", "input": "How long is leave?", "stream": stream}
    reply = TestClient(gateway(tmp_path)).post(path, json=asked)
    header = reply.headers[RELEASE_HEADER]
    outcome = read_stream(200, header, reply.text.splitlines()) if stream else read_whole(200, header, reply.text)
    assert (outcome.failure, outcome.tokens, outcome.release) == ("", 2, IDENTITY.uri) and outcome.answer_id


class Breaking(EchoEngine):
    """Says a sentence and breaks."""

    def stream(self, request: GenerationRequest) -> Generator[str, None, Completion]:
        yield "Thirty days. And "
        raise EngineError("it is gone")


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
def test_an_error_within_a_stream_is_a_failure_though_its_status_is_200(tmp_path: Path, path: str) -> None:
    asked = body(stream=True) if path == CHAT else {"model": "handbook", "input": "How long is leave?", "stream": True}
    reply = TestClient(gateway(tmp_path, bot(release("prompt"), Breaking()))).post(path, json=asked)
    assert reply.status_code == 200
    assert read_stream(200, reply.headers[RELEASE_HEADER], reply.text.splitlines()).failure == "error in a stream"


def test_a_stream_that_ends_without_its_end_was_cut_off() -> None:
    lines = ['data: {"choices": [{"delta": {"content": "Thirty"}}]}', ""]
    assert read_stream(200, "", lines).failure == "cut off"
    assert read_stream(200, "", [*lines, "data: [DONE]"]).failure == ""
    assert read_stream(200, "", ["data: {"]).failure == "no JSON"


def test_refusals_and_answers_of_two_releases_are_failures() -> None:
    assert read_whole(429, "", "{}").failure == read_stream(429, "", []).failure == "status 429"
    assert read_whole(200, "", "oops").failure == "no JSON"
    two = json.dumps({"release": {"uri": "models:/a/1"}})
    assert read_whole(200, "models:/a/2", two).failure == "mixed releases"
    assert read_whole(200, "models:/a/1", two).failure == ""


def test_tokens_are_read_from_what_mlflows_server_says() -> None:
    of_model = [{"usage": {"prompt_tokens": 9, "completion_tokens": 7}}]
    of_release = {"custom_outputs": {"prompt_tokens": 9, "completion_tokens": 8}}
    assert [read_whole(200, "", json.dumps(said)).tokens for said in (of_model, of_release)] == [7, 8]


# Loads


def test_a_rate_is_of_completed_answers_alone_from_the_first_request_to_the_last_answer() -> None:
    several = [heard(0, 2, 10), heard(1, 4, 30), heard(2, 9, 0, "timeout"), heard(2, 3, 0, "status 429")]
    assert tokens_per_s(several) == 10
    assert failures(several) == {"timeout": 1, "status 429": 1}
    with pytest.raises(ValueError, match="none of 1 requests was answered: {'timeout': 1}"):
        tokens_per_s(several[2:3])


def test_percentiles_are_those_of_the_values() -> None:
    assert percentiles(list(range(101))) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}


def test_clients_ask_each_request_once_and_a_refused_connection_is_a_failure(tmp_path: Path) -> None:
    with served(gateway(tmp_path)) as (url, _):
        asks = [chat(url, f"How long is leave {number}?", model="handbook") for number in range(6)]
        answered = ask_all(asks, clients=3)
    assert not failures(answered) and {id(one.ask) for one in answered} == set(map(id, asks))
    (refused,) = ask_all([NOWHERE], 1)
    assert refused.outcome.failure == "ConnectError"


def test_a_slow_answer_is_a_timeout(tmp_path: Path) -> None:
    several: list[Heard] = []
    with stub_server(tmp_path, 2000) as url:
        ask = Ask(f"{url}/v1/chat/completions", {"model": "stub"})
        asyncio.run(run_clients(lambda number: ask if number < 1 else None, 1, several, timeout_s=0.2))
    assert failures(several) == {"timeout": 1}


def test_a_gateway_that_does_nothing_says_what_the_engine_says(tmp_path: Path) -> None:
    with stub_server(tmp_path, 1) as stub, pass_through(tmp_path, stub) as passing:
        said = [httpx.post(f"{url}/v1/chat/completions", json={"model": "stub"}).json() for url in (stub, passing)]
    assert {**said[0], "created": 0} == {**said[1], "created": 0}


def test_who_takes_turns_is_timed_apart(tmp_path: Path) -> None:
    with stub_server(tmp_path, 300) as slow, stub_server(tmp_path, 1) as fast:
        asks = {name: [Ask(f"{url}/v1/chat/completions", {"model": "stub"})] * 4 for name, url in (("a", slow), ("b", fast))}
        took = take_turns(asks, warm=1)
    assert took["a"]["p50"] >= 300 and took["a"]["p50"] > took["b"]["p50"]


# Growth


def test_a_slope_is_an_hours_and_leaves_out_the_time_of_warming_up() -> None:
    seconds = [float(second) for second in range(0, 600, 10)]
    leaking = [500.0 + max(0.0, 200 - second) + second / 36 for second in seconds]
    assert slope(Series(seconds, leaking)) == pytest.approx(100)
    assert slope(Series(seconds, [7.0] * len(seconds))) == 0
    assert slope(Series(seconds, [7.0 + 90 * (second == 400) for second in seconds])) == 0
    assert slope(Series(seconds[:2], [1.0, 2.0])) is None and slope(Series()) is None


GROWING = """
import os
print("small", flush=True)
input()
kept, file = os.urandom(40 << 20), open(os.devnull)
print("large", flush=True)
input()
"""


def test_memory_and_files_of_processes_are_seen() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", GROWING], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        watch, grows = Watch(), psutil.Process(process.pid)
        process.stdout.readline()
        watch.look({"grows": grows})
        print("grow", file=process.stdin, flush=True)
        process.stdout.readline()
        watch.look({"grows": grows, "gone": _ended()})
        process.kill()
    (told,) = watch.told().values()
    assert told["memory_mb"]["last"] > told["memory_mb"]["first"] + 30
    assert told["handles"]["last"] == told["handles"]["first"] + 1
    assert [len(series.values) for series in watch.total] == [2, 2]


def _ended() -> psutil.Process:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(ended.pid)
    ended.wait()
    return process


# Adapters, rollouts


def test_eight_adapters_are_extrapolated_and_labelled_so() -> None:
    measured = {
        count: {"one_tokens_per_s": 40.0, "one_memory_mb": 3000.0 + 10 * count, "separate_tokens_per_s": 40.0 / count,
                "separate_memory_mb": 3000.0 * count}
        for count in (1, 2, 3)
    }  # fmt: skip
    told = sharing.told(measured)
    assert told["adapters_one_memory_mb_8_extrapolated"] == pytest.approx(3080)
    assert told["adapters_separate_memory_mb_8_extrapolated"] == pytest.approx(24000)
    assert told["adapters_throughput_ratio"] == pytest.approx({"1": 1.0, "2": 2.0, "3": 3.0})
    assert told["adapters_one_tokens_per_s_8_extrapolated"] == pytest.approx(40)
    assert told["adapters_separate_tokens_per_s_8_extrapolated"] == pytest.approx(5)
    assert told["adapters_memory_ratio"]["3"] == pytest.approx(9000 / 3030)


def test_traffic_mixes_whole_and_streamed_answers_until_it_is_over() -> None:
    traffic = Traffic("http://127.0.0.1:9", ["How long is leave?"])
    kinds = [(ask.url.rpartition("/")[2], bool(ask.body.get("stream"))) for ask in map(traffic, range(3)) if ask]
    assert kinds == [("completions", False), ("completions", True), ("responses", True)]
    traffic.is_over = lambda: True
    assert traffic(3) is None


def test_an_answer_to_what_was_asked_before_a_move_does_not_show_that_it_is_done() -> None:
    traffic = Traffic("", [], [heard(0, 5, release="models:/a/2"), heard(3, 9, release="models:/a/2"), heard(4, 6)])
    assert traffic.first_answer("models:/a/2", 0) == 5
    assert traffic.first_answer("models:/a/2", 2) == 9
    assert traffic.first_answer("models:/a/1", 0) is None


def test_a_rollbacks_time_is_that_of_warm_releases_and_every_failure_counts() -> None:
    forth = [{"first_answer": 4.0, "warm": False, "answering": 3.0}]
    back = [
        {"first_answer": 2.0, "warm": warm, "answering": took} for warm, took in ((True, 0.2), (True, 0.4), (False, 9.0))
    ]
    told = rollouts.told(forth, back, [heard(0, 1), heard(0, 1, 0, "error in a stream"), heard(0, 1, 0, "status 429")])
    assert (told["rollout_s"], told["rollback_s"], told["rollback_s_max"]) == (4.0, pytest.approx(0.3), 0.4)
    assert (told["rollout_failed_requests"], told["rollout_requests"]) == (2, 3)


# Leaving nothing behind


def test_a_server_ends_with_its_block_also_when_the_run_is_interrupted(tmp_path: Path) -> None:
    left: Sequence[psutil.Process] = []
    with pytest.raises(KeyboardInterrupt), stub_server(tmp_path, 1):
        (pid_file,) = tmp_path.glob("*.pid")
        left = place.processes_of(pid_file)
        assert left
        raise KeyboardInterrupt
    assert not any(process.is_running() for process in left)


def test_environment_variables_are_as_before_afterwards() -> None:
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), place.variables({"LLMOPS_STATE": "elsewhere", "NEW": "1"}):
        assert os.environ["NEW"] == "1"
        raise ZeroDivisionError
    assert dict(os.environ) == before


def test_the_soak_is_run_only_when_it_is_named_and_targets_are_told() -> None:
    assert set(ServingBenchmark(json="x").only.split(",")) == set(SECTIONS) - {"soak"}
    with pytest.raises(ConfigError, match="unknown section speed. Known: throughput, overhead"):
        main(ServingBenchmark(json="x", only="speed"))
    with pytest.raises(ConfigError, match="unknown peer ollama. Known: models_serve, release_in_models_serve"):
        ServingBenchmark(json="x", peers="models_serve,ollama")
    assert report.table({"throughput_vs_bare_engine": 0.9}).endswith("misses at least 0.95")
