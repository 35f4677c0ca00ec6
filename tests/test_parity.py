"""Parity: a release on the engine that will serve answers as it did on the one that was judged, or it is seen not to."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from conftest import HANDBOOK
from test_models import make_adapter
from test_release import make

from llmops import digests
from llmops.errors import ArtifactError, ConfigError, EngineError
from llmops.models.http.engine import HttpEngine
from llmops.models.http.relay import open_relay
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.registry.decision.dossier import read_dossier
from llmops.registry.decision.gates import KEEP, PROMOTE
from llmops.registry.decision.policy import Policy
from llmops.registry.decision.requirements import requirement_gates
from llmops.tracking import evaluations
from llmops.tracking.flavor import log_folder
from llmops.tracking.loading import load_answerer
from llmops.tracking.parity import PARITY_TAG, adapter_name, compare_engines, find_parity
from llmops.tracking.releases import log_release, read_release
from llmops.types import Completion, GenerationRequest, Message
from pipelines import evaluate, parity
from pipelines.evaluate import EvaluateConfig
from pipelines.parity import ParityConfig

pytestmark = pytest.mark.usefixtures("one_thread")

KEY_ENV = "PARITY_TEST_KEY"
NOBODY = HttpEngine("http://127.0.0.1:9/v1", "tiny")
Say = Callable[[str], str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmops.tracking.answers.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def questions(tmp_path: Path) -> str:
    lines = (HANDBOOK / "questions-test.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:24]
    (tmp_path / "questions.jsonl").write_text("".join(lines), encoding="utf-8")
    return str(tmp_path / "questions.jsonl")


@contextmanager
def serving(
    weights: Path, monkeypatch: pytest.MonkeyPatch, adapters: dict[str, Path] | None = None, say: Say = str
) -> Iterator[tuple[str, list[str]]]:
    """An OpenAI-compatible server of a base and its adapters, each under a name; and the names that it was asked for."""
    engine = TransformersEngine(resolve_weights(str(weights)), "float32")
    known: dict[str, str | None] = {"tiny": None, str(weights): None}
    known |= {name: engine.load_adapter(folder) for name, folder in (adapters or {}).items()}
    asked, one_at_a_time = [], threading.Lock()

    def answer(body: dict[str, Any]) -> Completion:
        messages = tuple(Message(message["role"], message["content"]) for message in body["messages"])
        with one_at_a_time:
            asked.append(str(body["model"]))
            (said,) = engine.generate([GenerationRequest(messages, body["max_tokens"], known[body["model"]])])
        return replace(said, text=say(said.text))

    with open_relay(answer) as (url, token):
        monkeypatch.setenv(KEY_ENV, token)
        yield url, asked


def register(tiny_lm: Path, **parts: Any) -> str:
    with mlflow.start_run():
        return log_release(make(tiny_lm, **parts)).uri


def config(uri: str, url: str, questions: str, **more: Any) -> ParityConfig:
    given = {"server_key_env": KEY_ENV, "engine": "vllm", "dtype": "float32", "questions": questions, **more}
    return ParityConfig(release=uri, server=url, **given)


def tags_of(version: str) -> dict[str, str]:
    return dict(mlflow.MlflowClient().get_model_version("handbook", version).tags)


def test_the_same_model_on_a_server_answers_alike_and_the_version_carries_the_certificate(
    store: str, tiny_lm: Path, questions: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = register(tiny_lm)
    with serving(tiny_lm, monkeypatch) as (url, asked):
        made = parity.main(config(uri, url, questions, server_model="tiny"))
    assert asked == ["tiny"] * 24
    assert (made.equal.mean, made.equal.n, made.f1.mean) == (1.0, 24, 1.0) and 0.7 < made.equal.low < 1
    assert made.release == read_release(uri).digest and made.engine == {"name": "vllm", "dtype": "float32"}
    assert made.reference["name"] == "transformers" and made.reference["dtype"] == "float32"
    assert find_parity(tags_of("1"), "vllm") == made and find_parity(tags_of("1"), "tgi") is None
    run = mlflow.get_run(tags_of("1")[f"{PARITY_TAG}vllm"])
    assert run.info.status == "FINISHED" and run.data.metrics["parity/equal"] == 1.0
    assert "100.0% of 24 answers equal" in capsys.readouterr().out


def test_another_model_under_the_same_name_is_seen(
    store: str, tiny_lm: Path, questions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = register(tiny_lm)
    with serving(tiny_lm, monkeypatch, say=lambda text: text + " and more words") as (url, _):
        made = parity.main(config(uri, url, questions))
    assert made.equal.mean == 0.0 and 0 < made.f1.mean < 1


def test_an_answer_that_the_server_does_not_give_counts_as_unlike(
    store: str, tiny_lm: Path, questions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def say(text: str) -> str:
        said.append(text)
        if len(said) % 4 == 3:
            raise ValueError("out of memory")
        return text

    uri = register(tiny_lm)
    monkeypatch.setenv("LLMOPS_SERVER_CONCURRENCY", "1")
    with serving(tiny_lm, monkeypatch, say=say) as (url, _):
        made = parity.main(config(uri, url, questions))
    assert made.equal.mean == made.f1.mean == pytest.approx(18 / 24)


def test_an_adapter_is_asked_for_under_its_own_name(
    store: str, tiny_lm: Path, tmp_path: Path, questions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = resolve_weights(str(tiny_lm))
    folder = make_adapter(tmp_path / "adapter", weights, 1)
    with mlflow.start_run():
        adapter = log_folder("adapter", folder, "handbook-adapter", digest := digests.of_folder(folder), {})
    plain = make(tiny_lm).generator
    uri = register(tiny_lm, kind="adapter", generator=replace(plain, adapter=adapter.uri, adapter_digest=digest))
    assert adapter_name(read_release(uri)) == "handbook-adapter-1"
    with serving(tiny_lm, monkeypatch, {"handbook-adapter-1": folder, "other": folder}) as (url, asked):
        assert parity.main(config(uri, url, questions)).equal.mean == 1.0
        assert set(asked) == {"handbook-adapter-1"}
        parity.main(config(uri, url, questions, server_adapter="other"))
        assert asked[-1] == "other"
    with serving(tiny_lm, monkeypatch, {"handbook-adapter-1": make_adapter(tmp_path / "b", weights, 2)}) as (url, _):
        assert parity.main(config(uri, url, questions)).equal.mean < 1.0  # the name of one adapter, and another's weights


def test_a_certificate_counts_for_the_release_it_is_of_and_an_evaluation_here(
    store: str, tiny_lm: Path, tmp_path: Path, questions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = (HANDBOOK / "questions-dev.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:2]
    (tmp_path / "dev.jsonl").write_text("".join(dev), encoding="utf-8")
    run = evaluate.main(
        EvaluateConfig(
            questions=questions, dev_questions=str(tmp_path / "dev.jsonl"), base=str(tiny_lm), dtype="float32",
            examples=str(HANDBOOK / "examples.jsonl"), prompt=str(HANDBOOK / "prompt.txt"), latency_questions=1,
            max_new_tokens=4, kinds="prompt", baselines="", safety="no", embedder="", traces=0,
        )
    )  # fmt: skip
    _, evaluated = evaluations.read_evaluation(mlflow.get_run(run))
    engine = {"name": "vllm", "dtype": "float32", "equal": 0.7, "f1": 0.7}
    policy = Policy.model_validate(
        {"win": {"kpi": "answer/f1", "by": 0.0}, "evidence": {"engine": engine}, "certificates": ["reload", "servability"]}
    )

    def verdicts() -> list[str]:
        return [gate.verdict for gate in requirement_gates(policy, evaluated.scorecard, read_dossier(policy, evaluated))]

    assert verdicts() == ["insufficient evidence", PROMOTE, PROMOTE]
    for say, verdict in ((str, PROMOTE), (lambda text: "no", KEEP)):
        with serving(tiny_lm, monkeypatch, say=say) as (url, _):
            parity.main(config(str(evaluated.release), url, questions))
        assert verdicts()[0] == verdict


def test_what_cannot_be_compared_is_refused_in_one_line(
    store: str, tiny_lm: Path, questions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = register(tiny_lm)
    with pytest.raises(ConfigError, match="server is empty"):
        ParityConfig(release=uri)
    monkeypatch.setenv("LLMOPS_SERVER_RETRIES", "0")
    with pytest.raises(EngineError, match="gave no answer"):
        parity.main(config(uri, "http://127.0.0.1:9/v1", questions))
    with pytest.raises(ConfigError, match="the engine's name is 'v llm'"):
        parity.main(config(uri, "http://127.0.0.1:9/v1", questions, engine="v llm"))
    served = replace(make(tiny_lm).generator, server="http://127.0.0.1:9/v1", window=4096, key_env=KEY_ENV)
    with pytest.raises(ConfigError, match="there is nothing to compare"):
        compare_engines("models:/handbook/2", make(tiny_lm, kind="external", generator=served), [], NOBODY, {"name": "vllm"})
    monkeypatch.setattr("llmops.tracking.parity.load_registered", lambda *_: "a release by other code, in its own process")
    with pytest.raises(ArtifactError, match="was made by another version of this package"):
        parity.main(config(uri, "http://127.0.0.1:9/v1", questions))
    assert not [name for name in tags_of("1") if name.startswith(PARITY_TAG)]


def test_a_certificate_that_is_gone_is_said_to_be(store: str) -> None:
    with pytest.raises(ArtifactError, match="run nothing holds no parity certificate for vllm"):
        find_parity({f"{PARITY_TAG}vllm": "nothing"}, "vllm")


def test_an_answerer_with_another_engine_keeps_all_its_other_parts(store: str, tiny_lm: Path) -> None:
    answerer = load_answerer(make(tiny_lm))
    engine = TransformersEngine(resolve_weights(str(tiny_lm)), "bfloat16")
    moved = answerer.with_engine(engine)
    assert moved.identity["dtype"] == "bfloat16" and moved.release == answerer.release
