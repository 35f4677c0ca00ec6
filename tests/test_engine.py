"""vLLM's flags, environment and adapters, without a vLLM."""

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import vllm_models
from conftest import ROOT
from fakes import bot, release

from llmops import digests
from llmops.errors import ArtifactError, ConfigError, EngineError, LLMOpsError
from llmops.models.adapter import IDENTITY_FILE
from llmops.models.weights import resolve_weights
from llmops.serving import process
from llmops.serving.engine import adapters, flags, record, running, vllm
from llmops.serving.engine.api import EngineApi, tells_poison
from llmops.serving.engine.engines import Engine, acquire, needs_restart
from llmops.serving.engine.environment import EngineEnvironment, find_environment
from llmops.serving.engine.flags import EngineSpec, derive_spec
from llmops.serving.engine.record import Record
from llmops.serving.options import Options
from llmops.serving.rollout.backend import EngineServing, OnVllm, backend_of
from llmops.serving.rollout.plan import How
from llmops.serving.roster import Asked, Identity
from llmops.types import Query

SPEC = EngineSpec("wheel:small", "d" * 64, "/models/small", "bfloat16", 1024)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(scope="module")
def base(tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vllm_models.make_base(tiny_lm, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def spec(base: Path) -> EngineSpec:
    return derive_spec(resolve_weights(str(base)), "float32", "cpu")


@pytest.fixture(scope="module")
def sound(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vllm_models.make_adapter(base, tmp_path_factory.mktemp("sound"), seed=1)


@pytest.fixture
def adapter(sound: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(sound, tmp_path / "handbook-adapter-1"))


def one_line(caught: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What vLLM is started with


def flag(command: list[str], name: str) -> str:
    return command[command.index(f"--{name}") + 1]


def test_the_flags_follow_from_what_is_served() -> None:
    command = flags.command(replace(SPEC, max_rank=32, adapters=8), "/engine/bin/vllm", 8101)
    assert command[:3] == ["/engine/bin/vllm", "serve", "/models/small"]
    expected = {
        "host": "127.0.0.1", "port": "8101", "dtype": "bfloat16", "max-model-len": "1024", "max-lora-rank": "32",
        "max-loras": "4", "max-cpu-loras": "8", "max-num-seqs": "32", "max-num-queued-reqs": "288",
        "shutdown-timeout": "60", "served-model-name": f"base-{'d' * 12}", "generation-config": "vllm",
    }  # fmt: skip
    assert {name: flag(command, name) for name in expected} == expected
    assert {"--enable-lora", "--enforce-eager"} <= set(command) and "--gpu-memory-utilization" not in command


def test_a_gpu_has_a_share_of_its_memory_and_compiles() -> None:
    command = flags.command(replace(SPEC, device="gpu", gpu_share=0.5), "vllm", 1)
    assert flag(command, "gpu-memory-utilization") == "0.5" and "--enforce-eager" not in command
    assert "VLLM_CPU_KVCACHE_SPACE" not in flags.variables(replace(SPEC, device="gpu"), "k", Path("/c"), Path("/s"), {})


def test_a_base_that_takes_no_adapters_is_served_without() -> None:
    assert not [word for word in flags.command(replace(SPEC, max_rank=0), "vllm", 1) if "lora" in word]


def test_the_key_is_in_the_environment_and_in_no_command_line() -> None:
    ours = {
        "PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1", "OPENAI_API_KEY": "sk-1", "MLFLOW_TRACKING_PASSWORD": "p",
        "HF_TOKEN": "t", "PYTHONPATH": "/ours", "AWS_SECRET_ACCESS_KEY": "s", "SSL_PASSPHRASE": "p",
        "HTTPS_PROXY": "http://me:p@proxy:3128", "http_proxy": "http://proxy:3128", "DATABASE_URL": "postgresql://me:p@db/x",
    }  # fmt: skip
    found = flags.variables(SPEC, "the-key", Path("/cache"), Path("/scratch"), ours)
    assert found["VLLM_API_KEY"] == "the-key" and "the-key" not in flags.command(SPEC, "vllm", 1)
    assert {name for name in ours if name in found} == {"PATH", "CUDA_VISIBLE_DEVICES", "http_proxy"}
    wanted = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}
    assert found.items() >= {**wanted, "TMPDIR": "/scratch", "VLLM_NO_USAGE_STATS": "1"}.items()


def test_a_spec_is_derived_from_the_base(base: Path) -> None:
    weights = resolve_weights(str(base))
    found = derive_spec(weights, "float32", "cpu", ranks=[8, 64])
    assert (found.window, found.max_rank, found.folder) == (2048, 64, str(base))
    assert (found.base_digest, found.cache_gib, found.template_digest != "") == (weights.digest, 1, True)
    assert derive_spec(weights, "float32", "cpu", window=512, adapters=3).window == 512
    with pytest.raises(ConfigError, match="at most the base's 2048"):
        derive_spec(weights, "float32", "cpu", window=4096)


@pytest.mark.parametrize(
    ("cores", "quota", "threads"),
    [(1, "", "1"), (2, "", "1"), (3, "max 100000", "1"), (4, "", "2"), (64, "max 100000", "62"), (64, "350000 100000", "2")],
)
def test_small_machines_compute_in_one_thread_and_others_leave_two_cores(
    cores: int, quota: str, threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(flags, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    folders = Path("/cache"), Path("/scratch")
    assert flags.variables(SPEC, "key", *folders)["OMP_NUM_THREADS"] == threads
    assert flags.variables(replace(SPEC, threads=3), "key", *folders)["OMP_NUM_THREADS"] == "3"


def test_memory_holds_a_full_window_or_a_thousand_tokens_of_each_request() -> None:
    from types import SimpleNamespace

    shape = {"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "num_hidden_layers": 32}
    config = SimpleNamespace(**shape)  # 128 KiB a token in 16 bits
    assert flags.cache_gib(config, "bfloat16", 131_072, 32) == 16
    assert flags.cache_gib(config, "bfloat16", 8192, 32) == 4
    assert flags.cache_gib(config, "bfloat16", 512, 4) == 1


@pytest.mark.parametrize("changes", [
    {"dtype": "int3"}, {"max_rank": 17}, {"window": 0}, {"gpu_share": 1.5}, {"device": "tpu"}, {"adapters": 0},
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))) as caught:
        replace(SPEC, **changes)
    assert one_line(caught)


# Its environment


def make_vllm(folder: Path, script: str) -> Path:
    command = folder / "bin" / "vllm"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    return command


def test_a_version_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = make_vllm(tmp_path / "engine", f"echo asked >> {tmp_path}/asked; echo 0.32.0+cpu")
    monkeypatch.setenv("LLMOPS_ENGINE", str(tmp_path / "engine"))
    assert find_environment() == find_environment() == EngineEnvironment(str(command), "0.32.0+cpu", "cpu")
    assert (tmp_path / "asked").read_text() == "asked\n"
    make_vllm(tmp_path / "engine", "echo noise; echo 0.33.0")
    os.utime(command, (1, 1))
    assert (find_environment().version, find_environment().device) == ("0.33.0", "gpu")


def test_where_there_is_no_vllm_the_command_that_makes_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPS_ENGINE", str(tmp_path / "none"))
    with pytest.raises(EngineError, match="make engine") as caught:
        find_environment()
    assert "LLMOPS_ENGINE" in one_line(caught)


def test_a_vllm_that_does_not_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_vllm(tmp_path / "engine", "echo no metadata for vllm >&2; exit 1")
    monkeypatch.setenv("LLMOPS_ENGINE", str(tmp_path / "engine"))
    with pytest.raises(EngineError, match="no metadata for vllm.*make engine") as caught:
        find_environment()
    assert one_line(caught)


# Its adapters


def test_a_sound_adapter_passes(adapter: Path, spec: EngineSpec) -> None:
    adapters.check_adapter(adapter, spec)
    adapters.check_adapter(adapter, replace(spec, dtype="bfloat16", base="another name of the same base"))


def rewrite(adapter: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    from safetensors.torch import load_file, save_file

    save_file(change(load_file(adapter / adapters.WEIGHTS)), adapter / adapters.WEIGHTS)


def put(position: int, value: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(tensors: dict[str, Any]) -> dict[str, Any]:
        name = sorted(tensors)[position]
        tensors[name].view(-1)[-1] = value
        return tensors

    return change


def renamed(old: str, new: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: {name.replace(old, new): tensor for name, tensor in tensors.items()}


def narrowed(tensors: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor[:, :-1].contiguous() for name, tensor in tensors.items()}


SPOILT: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "F3: a NaN in the last tensor": (put(-1, float("nan")), "no numbers"),
    "F3: an infinity": (put(0, float("inf")), "no numbers"),
    "F4: another prefix": (renamed("base_model.model.", "base_model."), "no place in the base"),
    "F4: none": (renamed("base_model.model.", ""), "no place in the base"),
    "F5: a layer that isn't there": (renamed("layers.1.", "layers.7."), "no place in the base"),
    "a module that isn't there": (renamed("q_proj", "w_proj"), "no place in the base"),
    "F6: shapes of another base": (narrowed, "has shape"),
    "a tensor missing": (lambda tensors: dict(list(tensors.items())[1:]), "its weights don't"),
}  # fmt: skip


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
def test_weights_that_vllm_would_take_and_not_serve_are_refused(adapter: Path, spec: EngineSpec, spoilt: Any) -> None:
    change, reason = spoilt
    rewrite(adapter, change)
    with pytest.raises(ArtifactError, match=reason) as caught:
        adapters.check_adapter(adapter, spec)
    assert "handbook-adapter-1" in one_line(caught)


def reconfigured(adapter: Path, **changes: Any) -> None:
    file = adapter / adapters.CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(("changes", "reason"), [
    ({"use_dora": True}, "DoRA"), ({"r": 64}, "rank 64, and the engine takes at most 16"), ({"r": 8}, "has shape"),
    ({"peft_type": "IA3"}, "IA3"), ({"target_modules": ["x_proj"]}, "x_proj"), ({"bias": "all"}, "bias"),
])  # fmt: skip
def test_a_configuration_that_is_not_served_is_refused(
    adapter: Path, spec: EngineSpec, changes: dict[str, Any], reason: str
) -> None:
    reconfigured(adapter, **changes)
    with pytest.raises(ArtifactError, match=reason) as caught:
        adapters.check_adapter(adapter, spec)
    assert one_line(caught)


def test_a_truncated_file_is_refused(adapter: Path, spec: EngineSpec) -> None:
    file = adapter / adapters.WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="can't be read") as caught:
        adapters.check_adapter(adapter, spec)
    assert one_line(caught)


@pytest.mark.parametrize("other", ["base_digest", "template_digest"])
def test_an_adapter_of_another_base_or_chat_template_is_refused(adapter: Path, spec: EngineSpec, other: str) -> None:
    with pytest.raises(ArtifactError, match="belongs to base"):
        adapters.check_adapter(adapter, replace(spec, **{other: "e" * 64}))


def test_an_adapter_without_its_bases_identity_is_refused(adapter: Path, spec: EngineSpec) -> None:
    (adapter / IDENTITY_FILE).unlink()
    with pytest.raises(ArtifactError, match="base.json missing"):
        adapters.check_adapter(adapter, spec)


def test_each_version_and_content_has_a_name_of_its_own() -> None:
    names = {adapters.engine_name(f"models:/handbook-adapter/{n}", digest * 64) for n in (3, 4) for digest in "ab"}
    assert len(names) == 4 and f"handbook-adapter-3-{'a' * 12}" in names


def test_files_are_placed_whole_or_not_at_all(adapter: Path, state: Path) -> None:
    digest = digests.of_folder(adapter)
    placed = adapters.place_adapter(adapter, "one", digest)
    assert placed == state / "adapters" / "one" and digests.of_folder(placed) == digest
    with pytest.raises(ArtifactError, match="expected 000"):
        adapters.place_adapter(adapter, "two", "0" * 64)
    (placed / adapters.WEIGHTS).write_bytes(b"damaged")
    assert digests.of_folder(adapters.place_adapter(adapter, "one", digest)) == digest
    assert [folder.name for folder in (state / "adapters").iterdir()] == ["one"]


def test_a_full_disk_leaves_nothing_and_says_so(adapter: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(LLMOpsError, match="no space left"):
        adapters.place_adapter(adapter, "one", "0" * 64)
    assert not list((state / "adapters").iterdir())


# The operations that engine/shim puts in the place of vLLM's

NONE = -1  # the adapter of a request without one


def test_each_token_gets_its_own_adapter_and_one_without_gets_none() -> None:
    import torch

    shim = runpy.run_path(str(ROOT / "engine" / "shim" / "llmops_vllm_fixes.py"))
    torch.manual_seed(0)
    down, up = torch.randn(3, 1, 4, 8), torch.randn(3, 1, 6, 4)  # three adapters of rank 4, from 8 to 6
    down[2], up[2] = float("nan"), float("nan")  # the last one, by which nobody is answered
    inputs, indices = torch.randn(5, 8), torch.tensor([1, NONE, 0, 1, NONE])
    inner, wide, sliced = torch.zeros(5, 4), torch.ones(5, 7), torch.ones(5, 9)
    shim["bgmv_shrink"](inputs, down, inner, indices, 0.5)
    shim["bgmv_expand"](inner, up, wide, indices)
    shim["bgmv_expand_slice"](inner, up, sliced, indices, 2, 6, add_inputs=False)
    for row, index in enumerate(indices.tolist()):
        made = torch.zeros(6) if index == NONE else up[index, 0] @ (0.5 * down[index, 0] @ inputs[row])
        assert torch.allclose(wide[row, :6], 1 + made, atol=1e-5) and wide[row, 6] == 1
        assert torch.allclose(sliced[row, 2:8], torch.ones(6) if index == NONE else made, atol=1e-5)
        assert sliced[row, [0, 1, 8]].tolist() == [1, 1, 1]


# What is known of engines


def test_a_record_comes_back_as_it_was() -> None:
    made = Record(SPEC, "0.32.0+cpu", 8101, ("a", "b"), {"x-1": ("a",)}, -1.5, 12.0, 2, "/tmp/s")
    with record.lock(made.key):
        record.write(made)
    assert record.read(made.key) == made and record.read_all() == [made]


def test_the_key_of_an_engine_is_its_owners_alone_and_stays() -> None:
    record.folder().mkdir(parents=True)
    file = record.secret("one")
    assert file.stat().st_mode & 0o777 == 0o600 and len(file.read_text()) > 30
    assert record.secret("one").read_text() == file.read_text()


def test_engines_are_shared_by_base_dtype_and_device_and_by_nothing_else() -> None:
    same = [replace(SPEC, window=2048, max_rank=64), replace(SPEC, base="other name", folder="/elsewhere")]
    other = [replace(SPEC, base_digest="e" * 64), replace(SPEC, dtype="float32"), replace(SPEC, device="gpu")]
    assert {record.engine_key(one) for one in same} == {record.engine_key(SPEC)}
    assert len({record.engine_key(one) for one in [SPEC, *other]}) == 4


@pytest.mark.parametrize(("wanted", "reason"), [
    (replace(SPEC, max_rank=32), "runs with rank 16.*this needs rank 32"),
    (replace(SPEC, window=2048), "window 2048"),
    (replace(SPEC, base_digest="e" * 64, base="wheel:other"), "handbook runs on base wheel:small .*wheel:other"),
])  # fmt: skip
def test_what_needs_a_restart_is_refused_in_one_line_unless_asked_for(wanted: EngineSpec, reason: str) -> None:
    record.folder().mkdir(parents=True)
    record.write(Record(SPEC, holders=("handbook",)))
    with pytest.raises(EngineError, match=reason) as caught:
        acquire(wanted, "handbook")
    assert one_line(caught)
    assert not needs_restart(replace(SPEC, window=512, max_rank=8), "handbook")


def test_who_asks_for_no_threads_leaves_the_engine_those_that_others_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ensure", lambda found, start_s: found)
    for threads, rank, has in ((3, 16, 3), (0, 16, 3), (0, 32, 3), (2, 32, 2)):
        engine = acquire(replace(SPEC, threads=threads, max_rank=rank), "handbook", print)
        assert engine.record.spec == replace(SPEC, threads=has, max_rank=rank)
    assert backend_of("handbook", Options(engine="vllm", threads=2, window=512)).chosen == {"threads": 2, "window": 512}


def test_an_engine_that_does_not_start_wider_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ensure", lambda found, start_s: found)
    before = acquire(SPEC, "handbook").record

    def fail(found: Record, start_s: float) -> None:
        raise EngineError("no room.")

    monkeypatch.setattr(running, "ensure", fail)
    with pytest.raises(EngineError, match="no room"):
        acquire(replace(SPEC, max_rank=64), "handbook", print)
    assert Engine(before.key).record == before


# Its processes

STUBBORN = "import signal,subprocess,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']); print('up', flush=True); time.sleep(300)"  # noqa: E501


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Path]:
    pid_file, log = tmp_path / "one.pid", tmp_path / "one.log"
    vllm.start([sys.executable, "-c", STUBBORN], dict(os.environ), log, pid_file)
    while "up" not in log.read_text():
        time.sleep(0.02)
    yield pid_file
    vllm.kill(pid_file)


def test_an_engine_lives_in_a_session_of_its_own_and_ends_with_all_it_started(engine: Path) -> None:
    leader, members = vllm.leader(engine), vllm.members(engine)
    assert leader is not None and os.getsid(leader.pid) == leader.pid != os.getsid(0) and len(members) == 2
    leader.kill()
    leader.wait(10)
    assert vllm.leader(engine) is None and len([one for one in vllm.members(engine) if one.is_running()]) >= 1
    vllm.kill(engine)
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in members)


def test_an_engine_is_known_after_the_clock_was_set(engine: Path) -> None:
    os.utime(engine, (time.time() - 3600,) * 2)  # to a machine whose clock jumped an hour, it was written then
    assert vllm.leader(engine) is not None and len(vllm.members(engine)) == 2


def test_an_engine_that_does_not_end_when_asked_is_killed(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = vllm.members(engine)
    vllm.stop(engine, 0.2, spare_s=0.2)
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in members)


def test_a_process_that_got_the_id_later_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        pid_file, stat = tmp_path / "one.pid", Path(f"/proc/{other.pid}/stat").read_text()
        known, _, rest = stat.rpartition(")")
        fields = rest.split()
        fields[19] = str(int(fields[19]) - 100)  # the engine that had this id began a second earlier
        for noted in (f"{known}) {' '.join(fields)}\n{process.boot_id()}", f"{stat.strip()}\nanother-boot"):
            pid_file.write_text(f"{other.pid}\n{noted}\n")
            assert vllm.leader(pid_file) is None and vllm.members(pid_file) == []
            vllm.stop(pid_file, 0)
            assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_engine_that_ends_while_starting_says_why(tmp_path: Path) -> None:
    said = "(EngineCore pid=1) ERROR 11-26 [core.py:1] RuntimeError: Unsupported CPU attention configuration: head_dim=16"
    pid_file, log = tmp_path / "one.pid", tmp_path / "one.log"
    vllm.start(["/bin/sh", "-c", f"echo '{said}'; echo 'Traceback (most recent call last):'"], {}, log, pid_file)
    with pytest.raises(EngineError, match="ended while starting: RuntimeError: Unsupported CPU attention") as caught:
        vllm.wait_until_up(EngineApi("http://127.0.0.1:9", "k"), pid_file, log, 30)
    assert str(log) in one_line(caught)


def test_poison_is_told_from_other_errors() -> None:
    assert tells_poison("answered 400 (Out of range float values are not JSON compliant).")
    assert not tells_poison("answered 400 (the prompt is too long).")


# An engine that computes values that are no numbers


class Poisoned:
    """An engine that answers as vLLM does after a bad adapter."""

    identity = {"name": "vllm", "version": "0", "dtype": "float32"}

    def generate(self, requests: Any, progress: Any = None) -> Any:
        raise EngineError("http://127.0.0.1:1/v1 answered 400 (Out of range float values are not JSON compliant: nan).")

    def stream(self, request: Any) -> Any:
        yield from self.generate([request])


@pytest.mark.parametrize("streamed", [False, True])
def test_an_engine_whose_answer_shows_poison_is_started_anew_though_its_probes_are_well(
    monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    record.folder().mkdir(parents=True)
    record.write(Record(SPEC, holders=("handbook",)))
    engine = Engine(record.engine_key(SPEC))
    serving = EngineServing(Identity("handbook", "models:/handbook/1", "d", "1"), bot(release("prompt"), Poisoned()), engine)
    asked = Asked(Query("How long is leave?"))
    with pytest.raises(EngineError):
        list(serving.stream(asked)) if streamed else serving.answer(asked)
    healed: list[bool] = []
    monkeypatch.setattr(Engine, "trouble", lambda self: "")
    monkeypatch.setattr(Engine, "heal", lambda self, anew=False: healed.append(anew))
    OnVllm("handbook").tend([How(engine.key)])
    assert engine.is_suspect and healed == [True]


def test_an_engine_that_somebody_starts_just_now_is_left_to_them_and_told_once_it_is_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record.folder().mkdir(parents=True)
    found, hows, tending = Record(SPEC, holders=("handbook",)), [How(record.engine_key(SPEC))], OnVllm("handbook")
    record.write(found)
    with monkeypatch.context() as well:
        well.setattr(Engine, "trouble", lambda self: "")
        assert tending.tend(hows) == ""
    with record.lock(found.key):
        record.write(replace(found, restarts=1))
        assert Engine(found.key).trouble() == "its process has ended." and tending.tend(hows) == ""
    monkeypatch.setattr(Engine, "trouble", lambda self: "")
    assert tending.tend(hows).endswith("was started anew.")
