"""Training in two processes, as `torchrun` and `accelerate launch` start them, on a tiny real Llama."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file

from llmops.tracking.flavor import fetch_folder
from pipelines import finetune

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "rank": 4, "layers": 1.0, "epochs": 4.0, "learning_rate": 1e-2, "batch_size": 4, "micro_batch": 2, "checkpoint_every": 2,
    "dtype": "float32", "general": "", "held_out": 0.25,
}  # fmt: skip
# accelerate shards a model on accelerators alone. Torch does so on processors too: tell it that this group is one.
SHARDED = """
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

begin = AcceleratorState.__init__

def begin_as_accelerators(self, *args, **kwargs):
    if not AcceleratorState._shared_state:
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_NPU
    begin(self, *args, **kwargs)

AcceleratorState.__init__ = begin_as_accelerators

import runpy
runpy.run_module("pipelines.finetune", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def chats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "chats.jsonl"
    rows = [{"prompt": f"Which number is {n}?", "completion": f"It is {'very ' * (n % 3)}{n}."} for n in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(base: Path, examples: Path, app: str, *launcher: str) -> list[str]:
    settings = {**SMALL, "base": base, "examples": examples, "app": app}
    return [sys.executable, *launcher, *(part for name, value in settings.items() for part in (f"--{name}", str(value)))]


def weights_of(app: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(
        fetch_folder("adapter", f"models:/{app}-adapter/1") / "adapter_model.safetensors"
    )
    return found


@pytest.fixture
def alone(store: str, tiny_lm: Path, chats: Path) -> dict[str, torch.Tensor]:
    """The adapter that one process trains."""
    finetune.main(finetune.FinetuneConfig(base=str(tiny_lm), examples=str(chats), app="alone", **SMALL))
    return weights_of("alone")


def assert_close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.allclose(found[name], value, atol=1e-4), name


def test_two_processes_train_what_one_trains_and_go_on_after_a_kill(
    alone: dict[str, torch.Tensor], tiny_lm: Path, chats: Path, tmp_path: Path
) -> None:
    both = command(
        tiny_lm, chats, "both", "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "pipelines.finetune"
    )
    child = subprocess.Popen(both, cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("cache/training/*/checkpoints/checkpoint-*/whole.json")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    for process in (child_process := psutil.Process(child.pid)).children(recursive=True) + [child_process]:
        process.kill()
    child.wait()
    done = subprocess.run(both, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("-> models:/both-adapter/1") == 1
    (run,) = mlflow.search_runs(filter_string="params.app = 'both'", output_format="list")
    assert run.info.status == "FINISHED" and run.data.metrics["train/resumed_from"] >= 2
    assert_close(weights_of("both"), alone)


def test_a_model_in_two_parts_is_trained_and_certified_whole(
    alone: dict[str, torch.Tensor], tiny_lm: Path, chats: Path, tmp_path: Path
) -> None:
    script = tmp_path / "sharded.py"
    script.write_text(SHARDED)
    launcher = ("-m", "accelerate.commands.launch", "--config_file", str(ROOT / "examples" / "fsdp.yaml"), str(script))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command(tiny_lm, chats, "parts", *launcher), cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("-> models:/parts-adapter/1") == 1
    assert_close(weights_of("parts"), alone)
