"""What vLLM is started with, derived from what it is to serve."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

from llmops.addresses import without_password
from llmops.errors import ConfigError
from llmops.models.tokenizer import base_identity, load_tokenizer, read_window
from llmops.models.weights import Weights
from llmops.planning.serving import MAX_LORA_RANKS, NO_ADAPTERS
from llmops.tracking.environment import SECRET

HOST = "127.0.0.1"  # some of vLLM's paths answer without its key: nobody but this machine may ask
DTYPES = {"bfloat16": 2, "float16": 2, "float32": 4}  # bytes of a number
USUAL_RANK, GPU_SHARE = 16, 0.9
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of processor time, for a container
_KERNELS = 64  # that oneDNN keeps: a count of tokens in a batch needs some six, and each of its own 1,024 takes up to 1 MB
_TOKENS_EACH = 1024  # that memory is set aside for, for each of the requests at once
_OURS = re.compile("^PYTHON|^VIRTUAL_ENV$|^MLFLOW_", re.IGNORECASE)


@dataclass(frozen=True)
class EngineSpec:
    """An engine on one base, in `folder`. `base` is the source's name, `window` the most tokens of prompt and answer.

    It takes up to `adapters` of ranks up to `max_rank` (0: none at all), and `mixed` of them in one batch; it computes up
    to `at_once` answers together and lets `queued` more wait. `cache_gib` is the memory for what it has read (on a CPU),
    `gpu_share` the share of a GPU's memory for all it has there (0: GPU_SHARE). It has `drain_s` seconds to finish when it
    is ended, and on a CPU so many `threads` to compute (0: what `usual_threads` says).

    Raises:
        ConfigError: a value makes no sense.
    """

    base: str
    base_digest: str
    folder: str
    dtype: str
    window: int
    template_digest: str = ""
    device: str = "cpu"
    max_rank: int = USUAL_RANK
    adapters: int = 16
    mixed: int = 4
    at_once: int = 32
    queued: int = 256
    cache_gib: int = 1
    gpu_share: float = 0.0
    drain_s: int = 60
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("window", "adapters", "mixed", "at_once", "queued", "cache_gib", "drain_s"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 1 or more.")
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype is {self.dtype!r}, expected one of {', '.join(DTYPES)}.")
        if self.max_rank not in (0, *MAX_LORA_RANKS):
            raise ConfigError(f"max_rank is {self.max_rank}, expected one of {', '.join(map(str, MAX_LORA_RANKS))}.")
        if not 0 <= self.gpu_share <= 1:
            raise ConfigError(f"gpu_share is {self.gpu_share}, expected a share up to 1, or 0 for {GPU_SHARE}.")
        if self.threads < 0:
            raise ConfigError(f"threads is {self.threads}, expected 1 or more, or 0 for what suits the machine.")
        if self.device not in ("cpu", "gpu"):
            raise ConfigError(f"device is {self.device!r}, expected cpu or gpu.")

    @property
    def model(self) -> str:
        """The name that the base has in the engine."""
        return f"base-{self.base_digest[:12]}"


def derive_spec(weights: Weights, dtype: str, device: str, ranks: Iterable[int] = (), **chosen: Any) -> EngineSpec:
    """The spec for a base and adapters of these ranks (as `planning.serving.max_lora_rank` gives them).

    `chosen` settings stand; memory follows from the window, the requests at once, and the base's layers and heads.

    Raises:
        ConfigError: a setting makes no sense, or the window is wider than the base's.
    """
    config, longest = _read_config(weights), read_window(weights)
    window, at_once = int(chosen.get("window", longest)), int(chosen.get("at_once", EngineSpec.at_once))
    if window > longest:
        raise ConfigError(f"window is {window}, expected at most the base's {longest} tokens.")
    rank = 0 if config.model_type in NO_ADAPTERS else max(USUAL_RANK, *ranks, 1)
    derived = {
        "window": window, "max_rank": rank, "cache_gib": cache_gib(config, dtype, window, at_once), "device": device,
        "template_digest": base_identity(weights, load_tokenizer(weights)).chat_template_digest,
    }  # fmt: skip
    return EngineSpec(weights.source, weights.digest, str(weights.folder), dtype, **{**derived, **chosen})


def fits(has: EngineSpec, wanted: EngineSpec) -> bool:
    """Whether an engine of the one spec serves the other too."""
    return all(getattr(has, name) >= getattr(wanted, name) for name in ("max_rank", "window", "adapters"))


def wider(has: EngineSpec, wanted: EngineSpec) -> EngineSpec:
    """A spec that serves both."""
    most = {name: max(getattr(has, name), getattr(wanted, name)) for name in ("max_rank", "window", "adapters", "cache_gib")}
    return replace(wanted, **most, **_asked_for(has, wanted))


def at_next_start(has: EngineSpec, wanted: EngineSpec) -> EngineSpec:
    """The spec of an engine, with what is said of it that it can't take while it runs."""
    return replace(has, folder=wanted.folder, **_asked_for(has, wanted))


def _asked_for(has: EngineSpec, wanted: EngineSpec) -> dict[str, Any]:
    return {name: getattr(wanted, name) or getattr(has, name) for name in ("threads", "gpu_share")}


def usual_threads() -> int:
    """One on small machines, where a second makes all that runs beside it several times slower; two cores left on others."""
    return max(1, _cores() - 2)


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        return min(cores, ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # there is none: it says "max"
        return cores


def cache_gib(config: Any, dtype: str, window: int, at_once: int) -> int:
    """Memory, in whole GiB, for keys and values: of one full window at least, and of 1,024 tokens of each request.

    A token has 2 * layers * kv_heads * head_size numbers (Pope et al. 2022).
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token: int = 2 * config.num_hidden_layers * heads * size * DTYPES.get(dtype, 4)
    return max(1, ceil(max(window, at_once * min(window, _TOKENS_EACH)) * token / 2**30))


def command(spec: EngineSpec, vllm: str, port: int) -> list[str]:
    """The command line. The key isn't in it: all users of a machine see command lines."""
    flags: dict[str, Any] = {
        "host": HOST, "port": port, "served-model-name": spec.model, "dtype": spec.dtype, "max-model-len": spec.window,
        "max-num-seqs": spec.at_once, "max-num-queued-reqs": spec.at_once + spec.queued, "shutdown-timeout": spec.drain_s,
        "generation-config": "vllm",  # decode as requests say; the base's file would add penalties of its own
        "disable-uvicorn-access-log": None,
    }  # fmt: skip
    if spec.max_rank:
        flags |= {
            "enable-lora": None, "max-lora-rank": spec.max_rank, "max-loras": min(spec.mixed, spec.adapters),
            "max-cpu-loras": spec.adapters,
        }  # fmt: skip
    flags |= {"enforce-eager": None} if spec.device == "cpu" else {"gpu-memory-utilization": spec.gpu_share or GPU_SHARE}
    words = [word for name, value in flags.items() for word in (f"--{name}", *([] if value is None else [str(value)]))]
    return [vllm, "serve", spec.folder, *words]


def variables(
    spec: EngineSpec, key: str, cache: Path, scratch: Path, ours: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment: ours without what is secret or of our Python, and vLLM's own settings."""
    shared = {name: value for name, value in ours.items() if not (_OURS.search(name) or _is_secret(name, value))}
    on_cpu = {
        "OMP_NUM_THREADS": str(spec.threads or usual_threads()), "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_CPU_KVCACHE_SPACE": str(spec.cache_gib),
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(_KERNELS),
        "TORCH_COMPILE_DISABLE": "1",  # else the first answer waits a minute for a C++ compiler, or fails without one
    }  # fmt: skip
    return shared | {
        "VLLM_API_KEY": key, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1", "VLLM_CACHE_ROOT": str(cache / "vllm"), "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "XDG_CACHE_HOME": str(cache), "XDG_CONFIG_HOME": str(cache), "TMPDIR": str(scratch),
        **(on_cpu if spec.device == "cpu" else {}),
    }  # fmt: skip


def _is_secret(name: str, value: str) -> bool:
    return bool(SECRET.search(name)) or without_password(value) != value


def _read_config(weights: Weights) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(weights.folder).get_text_config()
