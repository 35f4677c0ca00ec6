"""Which backend is the fastest on this machine: measured once for each model, processor and version of the libraries."""

import json
import os
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llmops import digests
from llmops.models.cache import cache_folder
from llmops.retrieval.backends import (
    BACKENDS,
    MIN_COSINE,
    Features,
    Forward,
    import_openvino,
    least_cosine,
    make_forward,
)

_TIE = 1.05  # a backend must be this much faster than a plainer one
_ROUNDS, _ENOUGH = 3, 4.0  # CPU-seconds, after which no other round begins
_PROSE = (
    "Everyone who has worked here for a year may take thirty days of leave.",
    "The canteen opens at noon; on Fridays it serves fish, and vegetables from the farm beside the river.",
    "Requests above 500 euros are approved by the head of the department, who answers within three working days.",
    "Call the service desk.",
    "The pump is switched off before its filter is taken out, rinsed with cold water and put back, arrow upwards.",
    "Revenue rose by 4.2 % to 18.7 million, mostly because two large customers renewed their contracts early.",
    "Passwords are at least twelve characters long and are never sent by mail, not even inside the company.",
    "In the third experiment, the mice that were given the compound gained less weight than those of the control group.",
)
SAMPLE_TEXTS = tuple(" ".join((_PROSE * 2)[first : first + count]) for first in range(8) for count in (2, 7))
"""Sixteen texts of 35 to 200 tokens, to measure with."""


def choose_backend(model: Any, weights: str, samples: Sequence[Features]) -> tuple[str, Forward, dict[str, float]]:
    """The fastest backend on this CPU that keeps the vectors, and the texts per CPU-second of each.

    What is found for the weights' digest is kept in the cache, so that a machine always chooses the same one.
    """
    setup = _setup(weights)
    file = cache_folder() / "backends" / f"{digests.of_data(setup)[:32]}.json"
    known = _read_choice(file)
    if known is not None:
        name, measured = known
        return name, make_forward(model, name, "cpu", samples), measured
    opened, measured = _measure(model, samples)
    name = next(name for name in measured if measured[name] * _TIE >= max(measured.values()))
    _write_choice(file, {**setup, "chosen": name, "texts_per_cpu_second": measured})
    return name, opened[name], measured


def _measure(model: Any, samples: Sequence[Features]) -> tuple[dict[str, Forward], dict[str, float]]:
    """Each backend that keeps the vectors, and its texts per CPU-second: other processes disturb the clock on the wall more.

    The first round warms up. Then each runs once a round, in rotating order, and each batch's best time counts.
    """
    opened: dict[str, Forward] = {}
    best: dict[str, npt.NDArray[np.float64]] = {}
    exact = None
    for name in _candidates():
        try:
            forward = make_forward(model, name, "cpu", samples)
            seconds, vectors = _time(forward, samples)
        except Exception:
            if exact is None:
                raise  # fp32 itself: the model is broken
            continue  # not every model can be run in every way
        exact = vectors if exact is None else exact
        if exact is vectors or least_cosine(vectors, exact) >= MIN_COSINE:
            opened[name], best[name] = forward, seconds
    names, begin = list(opened), time.process_time()
    for turn in range(_ROUNDS):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            best[name] = np.minimum(best[name], _time(opened[name], samples)[0])
        if time.process_time() - begin > _ENOUGH:
            break  # whole rounds only: every backend had as many chances
    return opened, {name: round(len(SAMPLE_TEXTS) / float(best[name].sum()), 2) for name in opened}


def _candidates() -> list[str]:
    """The plainer first. OpenVINO in bf16 is never slower than in fp32 where the processor has instructions for it."""
    if find_spec("openvino") is None:
        return ["torch-fp32", "torch-bf16"]
    fast = "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["torch-fp32", "torch-bf16", "openvino-bf16" if fast else "openvino-fp32"]


def _time(forward: Forward, samples: Sequence[Features]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """CPU-seconds of all threads for each batch, and the vectors."""
    seconds, vectors = [], []
    for features in samples:
        begin = time.process_time()
        vectors.append(forward(features))
        seconds.append(time.process_time() - begin)
    return np.array(seconds), np.concatenate(vectors)


def _setup(weights: str) -> dict[str, Any]:
    """What the speed of a backend depends on."""
    import torch

    return {
        "measured": "texts_per_cpu_second, rounds in turns",  # what an older version kept is not compared with it
        "weights": weights,
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "openvino": _version("openvino"),
    }


def _cpu() -> str:
    """The processor's name and instruction sets; a virtual machine's name alone tells little."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    told = {line for line in lines if line.startswith(("model name", "flags", "CPU part", "Features"))}
    return "; ".join(" ".join(line.split()) for line in sorted(told))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read_choice(file: Path) -> tuple[str, dict[str, float]] | None:
    """What was chosen before; None if nothing was, or the file is damaged."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        measured = {str(name): float(rate) for name, rate in data["texts_per_cpu_second"].items()}
        return (data["chosen"], measured) if data["chosen"] in BACKENDS else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _write_choice(file: Path, data: Mapping[str, Any]) -> None:
    """Write it whole or not at all; where the cache can't be written it is measured again next time."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".tmp", delete=False, encoding="utf-8") as scratch:
            scratch.write(json.dumps(data, indent=2))
        os.replace(scratch.name, file)
    except OSError:
        pass
