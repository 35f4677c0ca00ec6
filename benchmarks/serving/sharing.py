"""One vLLM with several adapters, against a vLLM for each adapter: memory, and tokens a second with all of them asked.

Each of the separate servers has the base and one adapter loaded, with the flags that the shared one has.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.serving.application import RANK, Application, questions
from benchmarks.serving.growth import total_mb
from benchmarks.serving.load import Ask, ask_all, tokens_per_s
from benchmarks.serving.place import HOST, START_S, processes_of, workplace
from llmops.serving.engine import flags, vllm
from llmops.serving.engine.api import EngineApi
from llmops.serving.engine.environment import find_environment
from llmops.serving.engine.flags import EngineSpec, derive_spec
from llmops.serving.process import check_port

EXTRAPOLATED = 8
_KEY = "benchmark"
_GPU_SHARE = 0.2  # of each engine, so that several fit on one


@dataclass(frozen=True)
class Bare:
    """An engine without a gateway, and its adapters by name."""

    api: EngineApi
    pid_file: Path
    adapters: tuple[str, ...] = ()

    def with_adapters(self, folders: Sequence[Path]) -> "Bare":
        """The same engine with these adapters, loaded now unless they are."""
        for folder in folders:
            self.api.load(folder.name, str(folder))
        return replace(self, adapters=tuple(folder.name for folder in folders))

    @property
    def processes(self) -> list[psutil.Process]:
        return processes_of(self.pid_file)


def measure(base: str, tokens: int, requests: int, clients: int, most: int) -> dict[str, Any]:
    """With 1 to `most` adapters, `requests` in all, spread over the adapters; linear in their number for eight."""
    with workplace() as place:
        application = Application.on(base, tokens)
        adapters = [application.make_adapter(place / f"adapter-{number}", number) for number in range(most)]
        spec = derive_spec(
            application.weights, application.dtype, find_environment().device, [RANK], window=2048, gpu_share=_GPU_SHARE
        )  # fmt: skip
        load = partial(_measure, tokens=tokens, requests=requests, clients=clients)
        with bare_engine(spec, place) as engine:
            one = [load([engine.with_adapters(adapters[:count])]) for count in range(1, most + 1)]
        with ExitStack() as stack:
            separate: list[Bare] = []
            many = []
            for adapter in adapters:
                separate.append(stack.enter_context(bare_engine(spec, place)).with_adapters([adapter]))
                many.append(load(separate))
    return told({count: _named(one[count - 1], many[count - 1]) for count in range(1, most + 1)})


def _named(one: dict[str, float], many: dict[str, float]) -> dict[str, float]:
    shared = {f"one_{name}": value for name, value in one.items()}
    return shared | {f"separate_{name}": value for name, value in many.items()}


def told(found: dict[int, dict[str, float]]) -> dict[str, Any]:
    """The figures by number of adapters; for eight, not measured, memory and seconds a token by a straight line."""
    counts = sorted(found)
    shown: dict[str, Any] = {
        f"adapters_{name}": {str(count): found[count][name] for count in counts} for name in found[counts[0]]
    }
    for count in counts:
        one = found[count]
        shown.setdefault("adapters_memory_ratio", {})[str(count)] = one["separate_memory_mb"] / one["one_memory_mb"]
        shown.setdefault("adapters_throughput_ratio", {})[str(count)] = (
            one["one_tokens_per_s"] / one["separate_tokens_per_s"]
        )
    if len(counts) > 1:
        eight = {name: _line(counts, [found[n][f"{name}_memory_mb"] for n in counts]) for name in ("one", "separate")}
        shown |= {f"adapters_{name}_memory_mb_{EXTRAPOLATED}_extrapolated": value for name, value in eight.items()}
        took = {name: _line(counts, [1 / found[n][f"{name}_tokens_per_s"] for n in counts]) for name in eight}
        shown |= {f"adapters_{name}_tokens_per_s_{EXTRAPOLATED}_extrapolated": 1 / s for name, s in took.items() if s > 0}
    return shown


def _line(counts: Sequence[int], values: Sequence[float]) -> float:
    growth, start = np.polyfit(counts, values, 1)
    return float(start + growth * EXTRAPOLATED)


def _measure(bare: Sequence[Bare], tokens: int, requests: int, clients: int) -> dict[str, float]:
    asks = [
        _ask(*chosen, question, tokens) for chosen, question in zip(_turns(bare, requests), questions(requests), strict=True)
    ]
    ask_all(asks[: 2 * len({ask.body["model"] for ask in asks})], clients)  # each adapter once or twice, to be warm
    rate = tokens_per_s(ask_all(asks, clients))
    memory = total_mb([process for engine in bare for process in engine.processes])
    return {"tokens_per_s": rate, "memory_mb": memory, **_gpu()}


def _turns(bare: Sequence[Bare], count: int) -> list[tuple[Bare, str]]:
    """Engine and adapter of each request, in turns."""
    known = [(engine, adapter) for engine in bare for adapter in engine.adapters]
    return [known[number % len(known)] for number in range(count)]


def _ask(engine: Bare, adapter: str, question: str, tokens: int) -> Ask:
    body = {
        "model": adapter, "messages": [{"role": "user", "content": question}], "max_tokens": tokens, "temperature": 0.0,
        "ignore_eos": True,
    }  # fmt: skip
    return Ask(f"{engine.api.url}/v1/chat/completions", body, {"authorization": f"Bearer {_KEY}"})


def _gpu() -> dict[str, float]:
    """Memory that is taken on the GPU, where there is one: mostly what each engine sets aside, `_GPU_SHARE` of it."""
    if find_environment().device != "gpu":
        return {}
    words = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return {"gpu_mb": float(said.splitlines()[0]) * 2**20 / 1e6}


@contextmanager
def bare_engine(spec: EngineSpec, place: Path) -> Iterator[Bare]:
    """An engine for a block."""
    environment, port = find_environment(), check_port(HOST, 0)
    pid_file, log, scratch = (place / f"vllm-{port}.{kind}" for kind in ("pid", "log", "scratch"))
    scratch.mkdir()
    api = EngineApi(f"http://{HOST}:{port}", _KEY)
    try:
        known = flags.variables(spec, _KEY, place / "cache", scratch)
        vllm.start(flags.command(spec, environment.command, port), known, log, pid_file)
        vllm.wait_until_up(api, pid_file, log, START_S)
        yield Bare(api, pid_file)
    finally:
        vllm.stop(pid_file, 5.0)
