"""The step `finetune` on a tiny real Llama: what is refused before, what a kill leaves, and what is registered."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from conftest import ROOT

from llmops import digests
from llmops.errors import ArtifactError, ConfigError, LLMOpsError
from llmops.models.adapter import read_identity
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.tracking.flavor import CERTIFICATE, fetch_folder
from llmops.tracking.loading import find_weights
from llmops.tracking.versions import download
from llmops.types import GenerationRequest, Message
from pipelines import finetune

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "rank": 4, "layers": 1.0, "epochs": 2.0, "learning_rate": 1e-2, "batch_size": 4, "micro_batch": 2, "checkpoint_every": 2,
    "dtype": "float32", "questions": "", "dev_questions": "", "general": "",
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    return write(tmp_path / "chats.jsonl", [chat(f"Which number is {n}?", f"It is {n}.") for n in range(12)])


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tune(base: Path, examples: Path, **settings: Any) -> str:
    return finetune.main(finetune.FinetuneConfig(base=str(base), examples=str(examples), **{**SMALL, **settings}))


def assert_certified(uri: str, *compared: str) -> dict[str, Any]:
    """What was compared is within its tolerance, and of everything else there is nothing; return the certificate."""
    certificate: dict[str, Any] = json.loads((download(uri) / CERTIFICATE).read_text())
    for name in ("reload", "merge", "merge_from_trained"):
        found = certificate[name]
        assert (found is not None) == (name in compared)
        if found is not None and found["tolerance"] is not None:
            assert found["logit_difference"] <= found["tolerance"] and found["logprob_difference"] <= found["tolerance"]
    assert certificate["reload"]["greedy_equal"]
    return certificate


def last_run() -> mlflow.entities.Run:
    return mlflow.search_runs(output_format="list", max_results=1)[0]


def preflight() -> dict[str, str]:
    told: dict[str, str] = mlflow.artifacts.load_dict(f"runs:/{last_run().info.run_id}/preflight.json")
    return told


def losses() -> list[float]:
    history = mlflow.MlflowClient().get_metric_history(last_run().info.run_id, "train/loss")
    return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]


def test_an_adapter_is_registered_alone_with_its_base_and_its_certificate(
    store: str, tiny_lm: Path, chats: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = tune(tiny_lm, chats, held_out=0.25)
    assert "9 to train on, 3 held out, 0 left out" in capsys.readouterr().out
    told = preflight()
    assert told["vLLM"] == "serves it, --max-lora-rank 8" and "GB at the peak" in told["memory"]
    assert told["trainable"].startswith("3,584 of ") and " s at " in told["time"]
    folder = fetch_folder("adapter", uri)
    assert {file.name for file in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "base.json"}
    identity = read_identity(folder)
    assert identity.weights_digest == resolve_weights(str(tiny_lm)).digest and len(identity.tokenizer_digest) == 64
    assert_certified(uri, "reload", "merge", "merge_from_trained")
    metrics = last_run().data.metrics
    assert {"train/loss", "train/tokens_per_s", "held_out/loss", "certificate/merge/logprob_difference"} <= metrics.keys()
    assert {"preflight.json", "lengths.png"} <= {
        item.path for item in mlflow.MlflowClient().list_artifacts(last_run().info.run_id)
    }


@pytest.mark.parametrize("variant", ["plain", "dora+rslora"])
def test_an_adapter_answers_from_the_registry_as_it_was_trained(
    store: str, tiny_lm: Path, chats: Path, variant: str
) -> None:
    uri = tune(tiny_lm, chats, variant=variant, targets="all-linear", epochs=20.0, learning_rate=1e-2)
    engine = TransformersEngine(resolve_weights(str(tiny_lm)), "float32")
    name = engine.load_adapter(fetch_folder("adapter", uri))
    asked = GenerationRequest((Message("user", "Which number is 3?"),), 12, name)
    assert engine.generate([asked])[0].text.startswith("It is")


def test_an_adapter_trained_on_a_base_in_four_bits_is_certified_on_it_and_on_the_whole_base(
    store: str, tiny_lm: Path, chats: Path
) -> None:
    uri = tune(tiny_lm, chats, method="qlora", targets="all-linear", held_out=0.25)
    certificate = assert_certified(uri, "reload", "merge", "merge_from_trained")
    assert certificate["merge_from_trained"]["tolerance"] is None and certificate["effect"] > 0
    losses = mlflow.MlflowClient().get_metric_history(last_run().info.run_id, "held_out/loss")
    assert losses[-1].value < losses[0].value


def test_a_base_in_four_bits_is_trained_in_bfloat16_too(store: str, tiny_lm: Path, chats: Path) -> None:
    assert_certified(
        tune(tiny_lm, chats, method="qlora", dtype="bfloat16", epochs=1.0), "reload", "merge", "merge_from_trained"
    )


def test_an_adapter_is_trained_further_from_where_it_was(store: str, tiny_lm: Path, chats: Path) -> None:
    first = tune(tiny_lm, chats, epochs=20.0)
    untrained, learned = (losses()[step] for step in (0, -1))
    assert tune(tiny_lm, chats, adapter=first, epochs=1.0, learning_rate=1e-5) == "models:/handbook-adapter/2"
    assert abs(losses()[0] - learned) < abs(losses()[0] - untrained) / 3


def test_an_adapter_trained_further_keeps_its_own_rank_and_targets(store: str, tiny_lm: Path, chats: Path) -> None:
    first, current = tune(tiny_lm, chats, rank=3, targets="q_proj,o_proj"), "models:/handbook-adapter@current"
    expected = preflight()["trainable"]
    uri = tune(tiny_lm, chats, adapter=current, rank=16, targets="all-linear")
    assert mlflow.models.get_model_info(uri).flavors["llmops_adapter"]["went_on_with"] == first
    further = fetch_folder("adapter", uri)
    entries = json.loads((further / "adapter_config.json").read_text())
    assert entries["r"] == 3 and set(entries["target_modules"]) == {"q_proj", "o_proj"}
    assert preflight()["trainable"] == expected


def test_preferences_are_trained_by_the_same_step(store: str, tiny_lm: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"Number {n}?", "chosen": f"It is {n}.", "rejected": "No."} for n in range(8)]
    uri = tune(tiny_lm, write(tmp_path / "pairs.jsonl", rows), objective="preference", epochs=10.0, held_out=0.25)
    assert last_run().data.metrics["held_out/preference_accuracy"] == 1.0
    assert not (fetch_folder("adapter", uri) / "ref").exists()


def test_all_weights_can_be_trained_on_examples_and_the_model_is_a_base(store: str, tiny_lm: Path, chats: Path) -> None:
    uri = tune(tiny_lm, chats, method="full", epochs=20.0, learning_rate=2e-3)
    assert uri == "models:/handbook-base/1" and losses()[-1] < losses()[0] / 2
    assert_certified(uri, "reload")
    (answer,) = TransformersEngine(find_weights(uri), "float32").generate(
        [GenerationRequest((Message("user", "Which number is 3?"),), 12)]
    )
    assert answer.text.startswith("It is")


def test_preferences_can_train_all_weights(store: str, tiny_lm: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"Number {n}?", "chosen": f"It is {n}.", "rejected": "No."} for n in range(8)]
    pairs = write(tmp_path / "pairs.jsonl", rows)
    settings = {"objective": "preference", "method": "full", "learning_rate": 1e-3, "epochs": 10.0, "held_out": 0.25}
    assert tune(tiny_lm, pairs, **settings) == "models:/handbook-base/1"
    assert last_run().data.metrics["held_out/preference_accuracy"] == 1.0


def test_packed_examples_train_the_same_adapter_as_padded_ones(store: str, tiny_lm: Path, chats: Path) -> None:
    tune(tiny_lm, chats, micro_batch=4)
    padded = losses()
    tune(tiny_lm, chats, micro_batch=4, packing="yes", app="packed")
    assert losses() == pytest.approx(padded, rel=1e-4)


def test_what_was_forgotten_is_measured_and_certified(store: str, tiny_lm: Path, chats: Path, tmp_path: Path) -> None:
    (tmp_path / "general.txt").write_text("Bees tell each other where flowers are by dancing.\n")
    forgotten = assert_certified(
        tune(tiny_lm, chats, general=str(tmp_path / "general.txt"), epochs=20.0), "reload", "merge", "merge_from_trained"
    )["forgetting"]
    assert forgotten["perplexity_before"] != forgotten["perplexity_after"]
    assert forgotten["change"] == pytest.approx(forgotten["perplexity_after"] / forgotten["perplexity_before"] - 1)
    assert last_run().data.metrics["certificate/forgetting/change"] == forgotten["change"]


def test_a_certificate_holds_what_another_engine_has_to_say(store: str, tiny_lm: Path, chats: Path) -> None:
    probes = assert_certified(tune(tiny_lm, chats), "reload", "merge", "merge_from_trained")["probes"]
    assert len(probes) == 3
    for probe in probes:
        assert len(probe["positions"]) == len(probe["logprobs"]) > 0 and max(probe["logprobs"]) <= 0
        assert max(probe["positions"]) < len(probe["input_ids"]) and 0 < len(probe["greedy_ids"]) <= 16


def test_a_certificate_that_says_more_of_the_same_adapter_is_a_version_of_its_own(
    store: str, tiny_lm: Path, chats: Path, tmp_path: Path
) -> None:
    (tmp_path / "general.txt").write_text("Bees tell each other where flowers are by dancing.\n")
    settings = ({}, {"general": str(tmp_path / "general.txt")}, {"general": ""})
    uris = [tune(tiny_lm, chats, **each) for each in settings]
    assert uris == [f"models:/handbook-adapter/{version}" for version in (1, 2, 2)]


# What is refused


def test_an_adapter_is_not_trained_further_on_another_base(store: str, tiny_lm: Path, chats: Path, tmp_path: Path) -> None:
    uri = tune(tiny_lm, chats)
    other = Path(shutil.copytree(tiny_lm, tmp_path / "other"))
    (other / "config.json").write_text((other / "config.json").read_text().replace("}", " }"))
    with pytest.raises(ArtifactError, match="the adapter belongs to base"):
        tune(other, chats, adapter=uri)


def test_examples_that_hold_a_question_of_the_app_are_refused_unless_allowed(
    store: str, tiny_lm: Path, chats: Path, tmp_path: Path
) -> None:
    question = {"id": "q7", "question": "how many moons has Pluto", "answers": ["five"], "documents": ["a.md"]}
    with chats.open("a") as file:
        file.write(json.dumps(chat("How many moons has Pluto?", "It has five.")) + "\n")
    questions = str(write(tmp_path / "questions.jsonl", [question]))
    with pytest.raises(LLMOpsError, match=r"are in the training data, 1 times: chats.jsonl:13 holds q7 \(exact\)"):
        tune(tiny_lm, chats, questions=questions)
    assert last_run().info.status == "FAILED"
    tune(tiny_lm, chats, questions=questions, allow_overlap="yes")
    (overlap,) = [
        each
        for each in mlflow.artifacts.load_dict(f"runs:/{last_run().info.run_id}/overlaps.json")
        if each["kind"] == "exact"
    ]
    assert overlap["question_id"] == "q7"


def test_bad_rows_are_listed_with_their_reasons_and_too_many_of_them_refused(
    store: str, tiny_lm: Path, chats: Path, tmp_path: Path
) -> None:
    bad = [chat("Long?", "word " * 3000), chat("Empty?", " "), chat("Special?", "<|end|>")]
    with chats.open("ab") as file:
        file.write(b"".join(json.dumps(row).encode() + b"\n" for row in bad) + b'{"messages": "\xff\xfe"}\n')
    with pytest.raises(LLMOpsError, match=r"4 of 16 examples can't be trained on.*\(max_rejected\). chats.jsonl:1[3-6]: "):
        tune(tiny_lm, chats)
    tune(tiny_lm, chats, max_rejected=0.5)
    rejected = mlflow.artifacts.load_dict(f"runs:/{last_run().info.run_id}/rejected.json")
    assert {row["where"] for row in rejected} == {f"chats.jsonl:{line}" for line in (13, 14, 15, 16)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "no"), ('{"a": 1}\n', "columns"), (json.dumps(chat("Only special?", "<|end|>")) + "\n", "special token")],
)
def test_a_file_without_an_example_is_refused(store: str, tiny_lm: Path, tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text(content)
    with pytest.raises(LLMOpsError, match=reason):
        tune(tiny_lm, path)


def test_an_example_of_a_hundred_thousand_words_is_left_out_and_counted(
    store: str, tiny_lm: Path, chats: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chats.open("a") as file:
        file.write(json.dumps(chat("Long?", "word " * 100_000)) + "\n")
    tune(tiny_lm, chats)
    assert "12 to train on, 0 held out, 1 left out of 13" in capsys.readouterr().out
    (rejected,) = mlflow.artifacts.load_dict(f"runs:/{last_run().info.run_id}/rejected.json")
    assert rejected["where"] == "chats.jsonl:13"


def test_examples_longer_than_the_base_was_made_for_are_refused(store: str, tiny_lm: Path, chats: Path) -> None:
    with pytest.raises(ConfigError, match="max_tokens is 4096, expected 2 to 2048, what the base was made for"):
        tune(tiny_lm, chats, max_tokens=4096)


def test_batches_that_processes_cannot_share_are_refused(
    store: str, tiny_lm: Path, chats: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match=r"expected a multiple of micro_batch times processes \(2 \* 3\)"):
        tune(tiny_lm, chats)


def test_one_example_is_enough(store: str, tiny_lm: Path, tmp_path: Path) -> None:
    assert tune(tiny_lm, write(tmp_path / "one.jsonl", [chat("One?", "It is one.")]), held_out=0.5, epochs=9.0)


# A full disk, a kill


def test_a_disk_that_fills_at_a_checkpoint_is_one_line_and_training_goes_on_from_the_one_before(
    store: str, tiny_lm: Path, chats: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def fill(value: Any, file: Any, *args: Any, **kwargs: Any) -> None:
        if "checkpoint-4" in str(file):
            raise OSError(errno.ENOSPC, "No space left on device")
        save(value, file, *args, **kwargs)

    with (
        monkeypatch.context() as patch,
        pytest.raises(LLMOpsError, match="no space left .* the last whole checkpoint is kept"),
    ):
        patch.setattr(torch, "save", fill)
        tune(tiny_lm, chats)
    stopped = last_run()
    assert stopped.info.status == "FAILED"
    tune(tiny_lm, chats)
    assert last_run().info.run_id == stopped.info.run_id and last_run().info.status == "FINISHED"
    assert last_run().data.metrics["train/resumed_from"] == 2 and "llmops.error" not in last_run().data.tags


def test_a_killed_run_that_somebody_deleted_is_not_gone_on_in(
    store: str, tiny_lm: Path, chats: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(finetune, "_preflight", lambda *_: (_ for _ in ()).throw(RuntimeError("killed")))
        tune(tiny_lm, chats)
    killed = last_run().info.run_id
    mlflow.delete_run(killed)
    tune(tiny_lm, chats)
    assert last_run().info.run_id != killed and last_run().info.status == "FINISHED"


def kill_after_a_checkpoint(command: list[str], cache: Path) -> None:
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ, start_new_session=True, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(cache.glob("training/*/checkpoints/checkpoint-*/whole.json")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def flags(base: Path, examples: Path, prefix: str, joined: str) -> list[str]:
    values = {**SMALL, "base": base, "examples": examples, "epochs": 20}
    return [part for name, value in values.items() if value != "" for part in (prefix, f"{name}{joined}{value}")]


def test_a_killed_training_goes_on_in_its_run_and_ends_with_the_same_adapter(
    store: str, tiny_lm: Path, chats: Path, cache: Path
) -> None:
    settings = [part for pair in flags(tiny_lm, chats, "", "=") if pair for part in ("--" + pair).split("=", 1)]
    command = [sys.executable, "-m", "pipelines.finetune", *settings]
    kill_after_a_checkpoint(command, cache)
    killed = last_run()
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = last_run()
    assert run.info.run_id == killed.info.run_id and run.info.status == "FINISHED"
    assert run.data.metrics["train/resumed_from"] >= 2 and run.data.metrics["train/steps"] == 60
    assert tune(tiny_lm, chats, epochs=20.0, app="undisturbed") == "models:/undisturbed-adapter/1"
    uris = ("models:/handbook-adapter/1", "models:/undisturbed-adapter/1")
    assert len({digests.of_folder(fetch_folder("adapter", uri)) for uri in uris}) == 1
    assert not list(cache.glob("training/*/checkpoints"))


def test_under_mlflow_run_the_new_run_names_the_killed_one_and_closes_it(
    store: str, tiny_lm: Path, chats: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    command = ["mlflow", "run", ".", "--env-manager", "local", "-e", "finetune", *flags(tiny_lm, chats, "-P", "=")]
    kill_after_a_checkpoint(command, cache)
    killed = last_run().info.run_id
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = last_run()
    assert run.data.tags["llmops.resumes"] == killed and run.data.metrics["train/resumed_from"] >= 2
    assert mlflow.get_run(killed).info.status == "KILLED"
