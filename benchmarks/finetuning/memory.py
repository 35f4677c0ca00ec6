"""The most memory that a few steps take by each method, beside what preflight says they will."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.finetuning.recipe import BASE, MAX_TOKENS, METHOD
from benchmarks.finetuning.squad import read_split, to_rows
from benchmarks.measure import on_one_core, peak_mb, reset_peak, resident_mb
from llmops.finetuning.method import Method
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.tokens import IGNORED
from llmops.finetuning.trainable import load_trainable
from llmops.finetuning.training import train
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import resolve_weights
from llmops.planning.memory import Load, estimate_memory

METHODS = ("lora", "qlora", "full")
_BATCH, _STEPS = 4, 2
_RECIPE = Recipe(batch_size=_BATCH, micro_batch=_BATCH, learning_rate=1e-4, checkpoint_every=1000)


def measure(data: Path) -> dict[str, Any]:
    """Train on the longest examples, each method in a process of its own."""
    found = {name: on_one_core(_measure, data, name) for name in METHODS}
    return {
        **{f"memory_mb_{name}": found[name]["peak"] for name in METHODS},
        **{f"memory_vs_estimate_{name}": found[name]["peak"] / found[name]["estimate"] for name in METHODS},
        "memory_details": found,
    }  # fmt: skip


def _measure(data: Path, name: str) -> dict[str, float]:
    """Megabytes above what the libraries took, before the model was loaded."""
    weights = resolve_weights(BASE)
    tokenizer = load_tokenizer(weights)
    method = Method(name, METHOD.rank, METHOD.alpha, METHOD.targets)
    rows = to_rows(read_split(data).train, tokenizer, MAX_TOKENS, 0)
    rows = sorted(rows, key=lambda row: -len(row["input_ids"]))[: _BATCH * _STEPS]
    longest = len(rows[0]["input_ids"])
    labelled = _BATCH * max(sum(label != IGNORED for label in row["labels"]) for row in rows)
    estimate = estimate_memory(str(weights.folder), method, Load(_BATCH, longest, labelled, "bfloat16")).total / 1e6
    load_trainable(weights, Method("lora"), "bfloat16", 0)  # imports what is needed
    reset_peak()
    before = resident_mb()
    model = load_trainable(weights, method, "bfloat16", 0)
    with TemporaryDirectory() as folder:
        train(model, tokenizer, rows, [], _RECIPE, Path(folder), lambda *_: None)
    return {"peak": peak_mb() - before, "estimate": estimate, "longest": longest}
