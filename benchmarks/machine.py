"""What a figure depends on besides the code: the processor, its cores, and the versions of libraries."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # that decide which embedding backend is fastest
_LIBRARIES = (
    "torch", "sentence-transformers", "transformers", "openvino", "faiss-cpu", "bm25s", "numpy", "langchain-community",
    "langchain-huggingface",
)  # fmt: skip


def machine_facts() -> dict[str, object]:
    """Facts of this machine, for the record of a run."""
    described = dict(line.split(":", 1) for line in _cpuinfo() if ":" in line)
    cpu = {name.strip(): value.strip() for name, value in described.items()}
    return {
        "cpu": cpu.get("model name", platform.processor()),
        "cpu_family_model": f"{cpu.get('cpu family', '?')}/{cpu.get('model', '?')}",
        **{flag: flag in cpu.get("flags", "").split() for flag in _FLAGS},
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _LIBRARIES},
    }


def _cpuinfo() -> list[str]:
    """The description of the first processor."""
    return Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
