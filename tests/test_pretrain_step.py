"""The steps `pretrain` and `merge`, and training in two stages, on tiny real models."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from conftest import HANDBOOK

from llmops.errors import ArtifactError, ConfigError, DataError, LLMOpsError
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.retrieval.texts import document_texts
from llmops.tracking.flavor import CERTIFICATE, fetch_folder
from llmops.tracking.loading import find_weights, load_index
from llmops.tracking.versions import download
from llmops.types import GenerationRequest, Message
from pipelines import finetune, index, merge, pretrain

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "batch_size": 4, "micro_batch": 4, "max_tokens": 64, "checkpoint_every": 20, "dtype": "float32", "held_out": 0.25,
    "learning_rate": 1e-2, "epochs": 2.0,
}  # fmt: skip
TEXTS = [
    f"Rule {n}. The office number {n} opens at eight and closes at six on every day of the week.\n" * 3 for n in range(8)
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for n, text in enumerate(TEXTS):
        (folder / f"{n}.txt").write_text(text)
    return folder


@pytest.fixture
def general(tmp_path: Path) -> str:
    path = tmp_path / "general.txt"
    path.write_text("Bees tell each other where flowers are by dancing.\n")
    return str(path)


def train(corpus: Path | str, **settings: Any) -> str:
    return pretrain.main(pretrain.PretrainConfig(**{**SMALL, "corpus": str(corpus), **settings}))


def metrics() -> dict[str, float]:
    return mlflow.search_runs(output_format="list", max_results=1)[0].data.metrics


def test_an_adapter_learns_a_corpus_and_what_it_forgets_is_measured(
    store: str, tiny_lm: Path, corpus: Path, general: str
) -> None:
    assert train(corpus, base=str(tiny_lm), general=general) == "models:/handbook-adapter/1"
    found = metrics()
    assert found["held_out/bits_per_byte_after"] < found["held_out/bits_per_byte_before"]
    before, after = (found[f"certificate/forgetting/perplexity_{when}"] for when in ("before", "after"))
    assert before > 1 and after > 1 and found["certificate/forgetting/change"] == pytest.approx(after / before - 1)
    assert "held_out/loss" in found and found["train/steps"] > 0


def test_all_weights_can_be_trained_and_the_model_is_a_base(store: str, tiny_lm: Path, corpus: Path, general: str) -> None:
    uri = train(corpus, base=str(tiny_lm), general=general, method="full", learning_rate=1e-3)
    assert uri == "models:/handbook-base/1"
    certificate = json.loads((download(uri) / CERTIFICATE).read_text())
    assert certificate["reload"]["logit_difference"] == 0 and certificate["reload"]["greedy_equal"]
    assert not [file for file in download(uri).rglob("*") if file.suffix in (".bin", ".pt", ".pkl")]


def test_a_model_from_scratch_beats_a_trigram_model_and_is_asked_like_any_base(store: str, tmp_path: Path) -> None:
    shape = tmp_path / "mini.yaml"
    sizes = {"vocab_size": 1000, "hidden_size": 128, "layers": 2, "heads": 4, "kv_heads": 2, "intermediate_size": 256}
    shape.write_text(json.dumps(sizes | {"max_tokens": 256}))
    uri = train(
        HANDBOOK / "documents", base="scratch", architecture=str(shape), max_tokens=128, epochs=4.0, learning_rate=3e-3,
        batch_size=8, held_out=0.1,
    )  # fmt: skip
    assert metrics()["held_out/bits_per_byte_after"] < metrics()["held_out/trigram_bits_per_byte"]
    engine = TransformersEngine(find_weights(uri), "float32")
    (answer,) = engine.generate([GenerationRequest((Message("user", "Who may cycle?"),), 8)])
    assert answer.completion_tokens > 0


def test_the_documents_of_an_index_are_a_corpus(store: str, tiny_lm: Path, corpus: Path, general: str) -> None:
    uri = index.main(index.IndexConfig(documents=str(corpus), chunk_tokens=16, chunk_overlap=4, near_duplicates=0))
    assert {text.strip() for text in document_texts(load_index(uri)).values()} == {text.strip() for text in TEXTS}
    assert train(uri, base=str(tiny_lm), general=general) == "models:/handbook-adapter/1"


def test_two_stages_are_one_command_and_the_second_goes_on_with_the_firsts_adapter(
    store: str, tiny_lm: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = tmp_path / "pairs.jsonl"
    examples.write_text(
        "".join(json.dumps({"prompt": f"Office {n}?", "completion": "Eight to six."}) + "\n" for n in range(8))
    )

    def tune() -> str:
        return finetune.main(
            finetune.FinetuneConfig(
                base=str(tiny_lm), corpus=str(corpus), examples=str(examples), micro_batch=4, dtype="float32"
            )
        )

    assert tune() == "models:/handbook-adapter/2"
    runs = {run.info.run_name: run for run in mlflow.search_runs(output_format="list")}
    parents = [run for run in mlflow.search_runs(output_format="list") if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in mlflow.search_runs(output_format="list") if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1 and len(children) == 2 and "pretrain" in runs
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    (second,) = [run for run in children if run.info.run_name == "finetune"]
    assert second.data.params["adapter"] == "models:/handbook-adapter/1"
    before = len(mlflow.search_runs(output_format="list"))
    assert tune() == "models:/handbook-adapter/2"  # the same content is the same version
    assert len(mlflow.search_runs(output_format="list")) == before + 2  # the corpus was not trained on again


def test_two_stages_that_were_stopped_in_the_second_do_not_repeat_the_first(
    store: str, tiny_lm: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))
    examples = tmp_path / "pairs.jsonl"
    examples.write_text(
        "".join(json.dumps({"prompt": f"Office {n}?", "completion": "Eight to six."}) + "\n" for n in range(8))
    )
    config = finetune.FinetuneConfig(
        base=str(tiny_lm), corpus=str(corpus), examples=str(examples), micro_batch=4, dtype="float32"
    )
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(finetune, "_preflight", lambda *_: (_ for _ in ()).throw(RuntimeError("stopped")))
        finetune.main(config)
    stopped = {run.info.run_id for run in mlflow.search_runs(output_format="list")}
    assert finetune.main(config) == "models:/handbook-adapter/2"
    runs = mlflow.search_runs(output_format="list")
    assert {run.info.run_id for run in runs} == stopped and {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(run.info.run_name for run in runs) == ["finetune", "finetune", "pretrain"]


def test_a_corpus_that_holds_a_question_of_the_app_is_refused_unless_allowed(
    store: str, tiny_lm: Path, corpus: Path, tmp_path: Path
) -> None:
    question = "When does the seventh office open on a Sunday?"
    (corpus / "7.txt").write_text(f"Asked often. {question} It does not open at all on that day.\n")
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"id": "q7", "question": question, "answers": ["never"], "documents": ["7.txt"]}) + "\n")
    with pytest.raises(LLMOpsError, match=r"are in the training data, 1 times: 7.txt.* holds q7"):
        train(corpus, base=str(tiny_lm), questions=str(questions))
    assert train(corpus, base=str(tiny_lm), questions=str(questions), allow_overlap="yes") == "models:/handbook-adapter/1"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_is_merged_into_its_own_base_only(
    store: str, tiny_lm: Path, corpus: Path, general: str, dtype: str
) -> None:
    adapter = train(corpus, base=str(tiny_lm), general=general)
    uri = merge.main(merge.MergeConfig(dtype=dtype))
    assert uri == "models:/handbook-base/1" and "certificate/merge/logprob_difference" in metrics()
    certificate = json.loads((download(uri) / CERTIFICATE).read_text())
    assert certificate["reload"]["greedy_equal"] and len(certificate["probes"]) == 3
    assert certificate["merge"]["logit_difference"] <= certificate["merge"]["tolerance"]
    assert mlflow.models.get_model_info(uri).flavors["llmops_base"]["adapter"] == adapter
    question = (Message("user", "When does office 3 open?"),)
    apart = TransformersEngine(resolve_weights(str(tiny_lm)), "float32")
    name = apart.load_adapter(fetch_folder("adapter", adapter))
    (wanted,) = apart.generate([GenerationRequest(question, 12, name)])
    (found,) = TransformersEngine(find_weights(uri), "float32").generate([GenerationRequest(question, 12)])
    assert found.text == wanted.text
    with pytest.raises(ArtifactError, match="the adapter belongs to base"):
        merge.main(merge.MergeConfig(adapter=adapter, base=uri))


def test_a_corpus_without_a_text_is_refused(store: str, tiny_lm: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        train(tmp_path / "empty", base=str(tiny_lm), general="")


@pytest.mark.parametrize("settings", [{"base": "scratch", "method": "qlora"}, {"held_out": 1.0}])
def test_settings_that_make_no_sense_are_refused(store: str, corpus: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        train(corpus, **settings)
