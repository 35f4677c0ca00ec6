"""API keys: who may ask what, and see what."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes import EchoEngine, Parrot, Shelf, bot, release, retriever
from fastapi.testclient import TestClient
from gateways import CHAT, IDENTITY, body, client, told

from llmops.errors import ConfigError
from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.settings import Settings
from llmops.serving.keys import __main__ as keys
from llmops.serving.keys.check import check_bind
from llmops.serving.keys.file import create_key, read_keys, revoke_key
from llmops.serving.roster import AgentServing, Single


def ask(http: TestClient, secret: str, path: str = CHAT) -> Any:
    return http.post(path, json=body(), headers={"authorization": f"Bearer {secret}"})


def test_a_key_lets_in_and_no_other_does(tmp_path: Path) -> None:
    _, secret = create_key(tmp_path, "alice")
    http = client(tmp_path)
    assert ask(http, secret).status_code == 200
    for wrong in ("", "sk-llmops-guess", secret[:-1], f"{secret}x", "\u00e4"):
        reply = http.post(CHAT, json=body(), headers={b"authorization": f"Bearer {wrong}".encode()})
        assert told(reply) == (401, "invalid_api_key") and reply.headers["www-authenticate"] == "Bearer"
        assert not wrong or wrong not in reply.text
    assert told(http.post(CHAT, content=b"no json")) == (401, "invalid_api_key")  # before anything is read
    paths = ("/v1/models", "/metrics", "/openapi.json", "/health", "/ready")
    assert [http.get(path).status_code for path in paths] == [401, 401, 401, 200, 200]


def test_a_file_of_keys_holds_no_key_and_is_the_users_alone(tmp_path: Path) -> None:
    key, secret = create_key(tmp_path, "alice")
    path = tmp_path / "keys.json"
    assert secret not in path.read_text() and secret.removeprefix("sk-llmops-") not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and read_keys(path) == (key,)


def test_keys_come_and_go_without_a_restart_and_the_last_one_opens_nothing(tmp_path: Path) -> None:
    http = client(tmp_path)
    assert ask(http, "").status_code == 200  # there are none, on loopback
    key, secret = create_key(tmp_path, "alice")
    assert ask(http, "").status_code == 401 and ask(http, secret).status_code == 200
    revoke_key(tmp_path, key.key_id)
    assert ask(http, secret).status_code == ask(http, "").status_code == 401
    assert ask(client(tmp_path), "").status_code == 401  # a worker that starts then agrees
    (tmp_path / "keys.json").unlink()
    assert ask(http, "").status_code == 401


def test_a_file_that_became_unreadable_changes_nothing_and_keeps_a_gateway_from_starting(tmp_path: Path) -> None:
    _, secret = create_key(tmp_path, "alice")
    http = client(tmp_path)
    (tmp_path / "keys.json").write_text("{")
    assert ask(http, secret).status_code == 200 and ask(http, "").status_code == 401
    with pytest.raises(ConfigError, match="is no file of keys"):
        client(tmp_path)


def test_a_key_that_has_expired_is_none(tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    _, valid = create_key(tmp_path, "alice", expires=soon.isoformat())
    _, expired = create_key(tmp_path, "bob", expires="2020-01-31")
    http = client(tmp_path)
    assert [ask(http, secret).status_code for secret in (valid, expired)] == [200, 401]
    with pytest.raises(ConfigError, match="expected a date or time"):
        create_key(tmp_path, "carol", expires="tomorrow")


def test_a_key_of_another_application_may_not_ask_and_is_not_shown_it(tmp_path: Path) -> None:
    _, secret = create_key(tmp_path, "alice", applications=["payroll"])
    http, headers = client(tmp_path), {"authorization": f"Bearer {secret}"}
    assert told(ask(http, secret)) == (403, "application_not_allowed")
    assert http.get("/v1/models", headers=headers).json()["data"] == []
    said = {"id": f"chatcmpl-{'0' * 32}", "thumb": "up"}
    assert told(http.post("/v1/feedback", json=said, headers=headers)) == (403, "application_not_allowed")


def test_feedback_counts_as_a_request_of_its_key(tmp_path: Path) -> None:
    _, secret = create_key(tmp_path, "alice", requests_per_minute=1)
    http, headers = client(tmp_path), {"authorization": f"Bearer {secret}"}
    said = {"id": f"chatcmpl-{'0' * 32}"}
    assert told(http.post("/v1/feedback", json=said, headers=headers)) == (422, "no_feedback")
    assert told(http.post("/v1/feedback", json=said, headers=headers)) == (429, "rate_limit_exceeded")


class GroupShelf(Shelf):
    """Remembers which groups were searched for."""

    groups: Any = "never asked"

    def search(self, questions: Any, embedder: Any, search: Any, filter: Any = None, groups: Any = None, *_: Any) -> Any:
        self.groups = groups
        return super().search(questions, embedder, search)


@pytest.mark.parametrize(
    ("of_release", "of_key", "searched"),
    [
        (("hr", "board"), ["hr", "sales"], ("hr",)),
        (("hr",), [], ()),
        (None, ["hr"], ("hr",)),
        (("hr",), None, ("hr",)),
        (None, None, None),
    ],
)
def test_a_key_sees_what_both_its_groups_and_the_releases_allow(
    tmp_path: Path, of_release: Any, of_key: Any, searched: Any
) -> None:
    found = retriever().model_copy(update={"index": GroupShelf(("leave", 0.9)), "groups": of_release})
    _, secret = create_key(tmp_path, "alice", groups=of_key)
    http = client(tmp_path, bot(release("rag"), Parrot("Thirty days."), None, found))
    assert ask(http, secret).status_code == 200
    assert found.index.groups == searched


def test_a_release_that_can_not_keep_to_groups_is_not_asked_by_a_key_that_has_some(tmp_path: Path) -> None:
    _, secret = create_key(tmp_path, "alice", groups=["hr"])
    app = create_app(Single(AgentServing(IDENTITY, EchoEngine())), tmp_path, Settings(trace_rate=0.0))
    assert told(ask(TestClient(app), secret)) == (403, "groups_not_supported")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.example"])
def test_without_keys_only_this_machine_may_ask(host: str) -> None:
    for loopback in ("127.0.0.1", "::1", "localhost"):
        check_bind(loopback, has_keys=False)
    check_bind(host, has_keys=True)
    with pytest.raises(ConfigError, match="there are no API keys"):
        check_bind(host, has_keys=False)


def test_keys_are_made_listed_and_revoked_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["--state", str(tmp_path)]
    keys.main(["create", *state, "--name", "alice", "--applications", "handbook", "--groups", "hr, board"])
    first, secret, _ = capsys.readouterr().out.splitlines()
    assert ask(client(tmp_path), secret).status_code == 200
    keys.main(["list", *state])
    shown = capsys.readouterr().out
    assert "alice: applications handbook, groups hr/board" in shown and secret not in shown
    with pytest.raises(ConfigError, match="Known: .* \\(alice\\)"):
        keys.main(["revoke", *state, "--id", "0"])
    keys.main(["revoke", *state, "--id", first.split()[0]])
    assert json.loads((tmp_path / "keys.json").read_text()) == []
