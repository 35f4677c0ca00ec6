"""`mlflow deployments predict`: what is asked in a file is answered, a request a row."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes import EchoEngine, bot, release
from gateways import gateway, served
from mlflow.deployments.cli import commands

from llmops.serving import state
from llmops.serving.options import Options
from llmops.serving.state import Deployment


def ask(tmp_path: Path, engine: EchoEngine, given: object) -> list[dict[str, Any]]:
    """The answers to what is given in a file, of a deployment on this engine, by the command line."""
    file = tmp_path / "requests.json"
    file.write_text(json.dumps(given))
    with served(gateway(tmp_path, bot(release("prompt"), engine))) as (url, _):
        state.write(Deployment("handbook", "models:/handbook/5", Options(), int(url.rpartition(":")[2])))
        command = ["predict", "-t", "llmops", "--name", "handbook", "-I", str(file)]
        done = CliRunner().invoke(commands, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    answers: list[dict[str, Any]] = json.loads(done.output)["predictions"]
    return answers


def says(text: str, role: str = "user") -> dict[str, str]:
    return {"role": role, "content": text}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))


def test_requests_with_other_fields_are_answered_each_with_its_own(tmp_path: Path) -> None:
    engine = EchoEngine()
    talk = [says("Who pays?"), says("We do.", "assistant"), says("How much?")]
    answers = ask(tmp_path, engine, [{"messages": [says("How long?")], "max_tokens": 5}, {"messages": talk}])
    assert [one["object"] for one in answers] == ["chat.completion"] * 2
    first, second = engine.requests
    assert first.max_new_tokens == 5 < second.max_new_tokens
    assert "Who pays?" in str(second.messages) and "How much?" in str(second.messages)


def test_one_request_that_is_no_list_is_asked_whole(tmp_path: Path) -> None:
    engine = EchoEngine()
    talk = [says("Who pays?"), says("We do.", "assistant"), says("How much?")]
    (answer,) = ask(tmp_path, engine, {"messages": talk, "max_tokens": 5})
    (asked,) = engine.requests
    assert answer["object"] == "chat.completion" and asked.max_new_tokens == 5
    assert "Who pays?" in str(asked.messages) and "How much?" in str(asked.messages)


def test_a_question_is_asked_with_its_other_fields(tmp_path: Path) -> None:
    engine = EchoEngine()
    ask(tmp_path, engine, [{"question": "How long?", "max_tokens": 5}, {"question": "How much?", "max_tokens": 6}])
    assert [one.max_new_tokens for one in engine.requests] == [5, 6]


def test_what_no_request_has_is_left_out_a_date_too(tmp_path: Path) -> None:
    engine = EchoEngine()
    ask(tmp_path, engine, [{"question": "How long?", "created_at": "2026-11-27T10:00:00"}])
    (asked,) = engine.requests
    assert "How long?" in str(asked.messages) and "2026" not in str(asked.messages)
