"""A real vLLM on this machine's processor: what it answers, and what it does when things go wrong. One engine for all.

F1 to F12 are faults that vLLM 0.32 has or lets happen; each test says what this package makes of one.
"""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import vllm_models
from conftest import drain

from llmops import digests
from llmops.chains.parts import Abstention, Generator
from llmops.chains.release import Release
from llmops.errors import ArtifactError, EngineError
from llmops.finetuning.certificate import Probe
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.serving.engine import adapters, engines, proof, record, vllm
from llmops.serving.engine.api import EngineApi
from llmops.serving.engine.engines import Engine
from llmops.serving.engine.flags import EngineSpec, derive_spec
from llmops.tracking.loading import load_answerer
from llmops.types import GenerationRequest, Message

HOLDER = "handbook"
QUESTIONS = ["How long is leave?", "Who approves travel?", "What does the canteen cost?", "Is Friday a holiday?"]


@pytest.fixture(scope="module", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of deployments of its own, in which nothing is left running."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("LLMOPS_STATE", str(folder))
        patch.setenv("NO_PROXY", "*")
        yield folder
        for found in record.read_all():
            vllm.kill(record.path(found.key, "pid"))
            shutil.rmtree(found.scratch, ignore_errors=True)


@pytest.fixture(scope="module")
def base(tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vllm_models.make_base(tiny_lm, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def spec(base: Path) -> EngineSpec:
    return derive_spec(resolve_weights(str(base)), "float32", "cpu", window=512, adapters=4, at_once=8, queued=4, drain_s=60)


@pytest.fixture(scope="module")
def folders(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Adapters by the digits of their seeds."""
    return {str(n): vllm_models.make_adapter(base, tmp_path_factory.mktemp(f"adapter-{n}"), n) for n in range(1, 4)}


@pytest.fixture(scope="module")
def engine(spec: EngineSpec) -> Engine:
    return engines.acquire(spec, HOLDER)


@pytest.fixture(scope="module")
def here(base: Path, folders: dict[str, Path]) -> tuple[TransformersEngine, dict[str, str]]:
    """The same base and adapters in this process, and the adapters' names in it."""
    made = TransformersEngine(resolve_weights(str(base)), "float32")
    return made, {name: made.load_adapter(folder) for name, folder in folders.items()}


def load(engine: Engine, folder: Path, version: str, holder: str = HOLDER, probes: Sequence[Probe] = ()) -> str:
    return engine.load(holder, f"models:/handbook-adapter/{version}", digests.of_folder(folder), folder, probes)


@pytest.fixture(scope="module")
def loaded(engine: Engine, folders: dict[str, Path]) -> dict[str, str]:
    """Two adapters side by side: their names in the engine."""
    return {name: load(engine, folders[name], name) for name in ("1", "2")}


def api(engine: Engine) -> EngineApi:
    return EngineApi(engine.record.url, engine.key_file.read_text())


def ask(text: str, adapter: str | None = None, tokens: int = 12) -> GenerationRequest:
    return GenerationRequest((Message("user", text),), tokens, adapter)


def texts(engine: Any, adapter: str | None = None) -> list[str]:
    return [cut(completion.text) for completion in engine.generate([ask(text, adapter) for text in QUESTIONS])]


def cut(text: str) -> str:
    """Without a character at the end of which some bytes are missing: vLLM leaves it out, transformers shows a mark."""
    return text.rstrip("\ufffd ")


def pid_of(engine: Engine) -> int:
    leader = vllm.leader(record.path(engine.key, "pid"))
    assert leader is not None
    return leader.pid


def child(engine: Engine, title: str) -> psutil.Process:
    found = [one for one in vllm.members(record.path(engine.key, "pid")) if title in "".join(one.cmdline())]
    assert len(found) == 1
    return found[0]


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


# What it answers


def a_release(base: Path, **more: Any) -> Release:
    weights = resolve_weights(str(base))
    generator = Generator(str(base), weights.digest, "float32", 12, **more.pop("generator", {}))
    kind = "adapter" if generator.adapter else "prompt"
    template = "Answer briefly.\n\n{context}\n\n{question}"
    return Release("handbook", kind, "prompts:/handbook-prompt/1", template, generator, **more)


def test_an_engine_is_asked_without_the_environments_proxy(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert texts(engine.answering(retries=0)) and not engine.trouble()


def test_a_release_answers_as_it_does_in_this_process(engine: Engine, base: Path, loaded: dict[str, str]) -> None:
    release = a_release(base)
    there, in_process = load_answerer(release, engine.answering()), load_answerer(release)
    for question in QUESTIONS:
        (served,), (own,) = there.answer([question]), in_process.answer([question])
        counts = (served.prompt_tokens, served.completion_tokens)
        assert (cut(served.text), *counts) == (cut(own.text), own.prompt_tokens, own.completion_tokens)
        assert served.confidence == pytest.approx(own.confidence, abs=1e-3)  # so log-probabilities come, for abstention
        assert drain(there.stream(question))[1].text == served.text
    found = there.identity
    assert (found["name"], found["version"], found["dtype"]) == ("vllm", engine.record.version, "float32")


def test_a_release_with_an_adapter_is_answered_by_it_and_by_no_other(
    engine: Engine, base: Path, loaded: dict[str, str]
) -> None:
    pinned = {"adapter": "models:/handbook-adapter/1", "adapter_digest": "a" * 64}
    release = a_release(base, generator=pinned)
    said = {name: load_answerer(release, engine.answering(), name).answer(QUESTIONS[:1])[0].text for name in loaded.values()}
    assert len(set(said.values())) == 2
    with pytest.raises(ArtifactError, match="has adapter models:/handbook-adapter/1, and the engine None"):
        load_answerer(release, engine.answering())


def test_an_answer_of_too_little_confidence_is_withheld(engine: Engine, base: Path) -> None:
    release = a_release(base, abstention=Abstention(0.0, 0.1, 100))  # nothing is as likely as that
    (answer,) = load_answerer(release, engine.answering()).answer(QUESTIONS[:1])
    assert answer.abstained and answer.confidence is not None


def test_adapters_side_by_side_answer_as_each_does_alone(engine: Engine, loaded: dict[str, str], here: Any) -> None:
    own, names = here
    asking = engine.answering()
    with ThreadPoolExecutor(3) as threads:
        there = dict(
            zip(("1", "2", None), threads.map(lambda name: texts(asking, name), (*loaded.values(), None)), strict=True)
        )
    assert there == {"1": texts(own, names["1"]), "2": texts(own, names["2"]), None: texts(own)}
    assert len({tuple(said) for said in there.values()}) == 3


def test_drawn_answers_are_the_same_with_the_same_seed(engine: Engine) -> None:
    asking = engine.answering()
    drawn = [asking.generate([replace(ask(QUESTIONS[0]), temperature=1.5, seed=seed)])[0].text for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_adapters_come_and_go_while_others_are_asked(
    engine: Engine, loaded: dict[str, str], folders: dict[str, Path]
) -> None:
    asking, over, said = engine.answering(retries=0), threading.Event(), []
    expected = {name: texts(asking, name)[0] for name in (None, *loaded.values())}

    def keep_asking(name: str | None) -> None:
        while not over.is_set():
            said.append(cut(asking.generate([ask(QUESTIONS[0], name)])[0].text) == expected[name])

    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(keep_asking, name) for name in expected]
        try:
            for version in range(10, 13):
                engine.unload(HOLDER, load(engine, folders["3"], str(version)))
        finally:
            over.set()
        for one in asked:
            one.result()
    assert len(said) > 3 and all(said)
    assert set(api(engine).adapters()) == set(loaded.values()) == set(engine.record.adapters)


# Who holds it


def test_a_second_deployment_shares_it_and_what_it_has_loaded(
    engine: Engine, spec: EngineSpec, loaded: dict[str, str], folders: dict[str, Path]
) -> None:
    pid = pid_of(engine)
    second = engines.acquire(replace(spec, window=256, max_rank=8), "support")
    assert second == engine == engines.engine_of("support") and pid_of(engine) == pid
    assert load(second, folders["1"], "1", "support") == loaded["1"]
    third = load(second, folders["3"], "3", "support")
    engines.release("support")
    assert set(api(engine).adapters()) == set(loaded.values()) and third not in engine.record.adapters
    assert engine.record.holders == (HOLDER,) and pid_of(engine) == pid


def test_what_a_vanished_deployment_held_is_let_go(engine: Engine, spec: EngineSpec) -> None:
    engines.acquire(spec, "vanished")
    engines.release_gone([HOLDER])
    assert engine.record.holders == (HOLDER,) and engines.engine_of("vanished") is None


def test_an_adapter_of_a_rank_above_its_own_is_refused(engine: Engine, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="rank 32, and the engine takes at most 16"):
        load(engine, vllm_models.make_adapter(base, tmp_path / "high", 9, rank=32), "90")


# What goes wrong


def test_f1_a_new_version_is_never_answered_from_what_the_old_one_read(
    engine: Engine, loaded: dict[str, str], folders: dict[str, Path]
) -> None:
    asking = engine.answering()
    with_one = texts(asking, loaded["1"])
    as_two = load(engine, folders["2"], "1")  # even the same version, with other bytes
    assert as_two != loaded["1"] and texts(asking, as_two) == texts(asking, loaded["2"]) != with_one
    engine.unload(HOLDER, as_two)


def test_f2_files_outlive_the_adapter_and_no_more_are_loaded_than_it_keeps(
    engine: Engine, loaded: dict[str, str], folders: dict[str, Path], state: Path
) -> None:
    more = [load(engine, folders["3"], version) for version in ("20", "21")]
    with pytest.raises(EngineError, match="has 4 adapters, its most"):
        load(engine, folders["3"], "22")
    for name in more:
        engine.unload(HOLDER, name)
        assert (state / "adapters" / name / adapters.WEIGHTS).is_file()  # an answer under way may need it once more
    assert all(texts(engine.answering(), name) for name in loaded.values())


def with_nan(folder: Path, target: Path) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    tensors = load_file(target / adapters.WEIGHTS)
    next(tensor for name, tensor in tensors.items() if "v_proj.lora_B" in name).view(-1)[0] = float("nan")
    save_file(tensors, target / adapters.WEIGHTS)
    return target


def with_prefix(folder: Path, target: Path, old: str, new: str) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    tensors = load_file(target / adapters.WEIGHTS)
    save_file({name.replace(old, new): tensor for name, tensor in tensors.items()}, target / adapters.WEIGHTS)
    return target


def test_f3_f4_f5_f6_what_it_would_take_and_not_serve_never_reaches_it(
    engine: Engine, loaded: dict[str, str], folders: dict[str, Path], tmp_path: Path
) -> None:
    truncated = Path(shutil.copytree(folders["3"], tmp_path / "truncated"))
    (truncated / adapters.WEIGHTS).write_bytes((truncated / adapters.WEIGHTS).read_bytes()[:-64])
    bad = {
        "no numbers": with_nan(folders["3"], tmp_path / "nan"),
        "no place in the base, where": with_prefix(folders["3"], tmp_path / "prefix", "base_model.model.", "base_model."),
        "no place": with_prefix(folders["3"], tmp_path / "layer", "layers.1.", "layers.9."),
        "can't be read": truncated,
    }
    pid = pid_of(engine)
    for version, (reason, folder) in enumerate(bad.items(), start=30):
        with pytest.raises(ArtifactError, match=reason):
            load(engine, folder, str(version))
    assert set(api(engine).adapters()) == set(loaded.values()) and not engine.trouble() and pid_of(engine) == pid


def test_f4_an_adapter_without_effect_is_seen_where_the_check_missed_it(
    engine: Engine, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "check_adapter", lambda *_: None)
    silent = with_prefix(folders["3"], tmp_path / "silent", "base_model.model.model.", "base_model.model.other.")
    with pytest.raises(ArtifactError, match="has no effect"):
        load(engine, silent, "40")
    assert not [name for name in api(engine).adapters() if "-40-" in name]


def certificate(here: Any, name: str | None) -> Probe:
    """What transformers says of a fixed text."""
    import torch

    own, names = here
    ids = own.tokenizer.encode([Message("user", QUESTIONS[0]), Message("assistant", "Thirty days, and ten more.")])
    with torch.inference_mode(), own._adapter(names.get(name)):
        logprobs = own._model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    learned = range(len(ids) - 6, len(ids))
    return Probe(tuple(ids), tuple(learned), tuple(float(logprobs[p - 1, ids[p]]) for p in learned), ())


def test_an_adapter_has_to_agree_with_its_certificate(
    engine: Engine, loaded: dict[str, str], folders: dict[str, Path], here: Any
) -> None:
    for name in ("1", "2"):
        proof.prove(api(engine), engine.record.spec.model, loaded[name], 512, [certificate(here, name)])
    with pytest.raises(ArtifactError, match="doesn't serve what was trained"):
        load(engine, folders["3"], "41", probes=[certificate(here, None)])  # the base's is nearer to the base


def test_f8_streams_beyond_its_queue_are_all_answered_in_the_end(engine: Engine) -> None:
    asking = engine.answering(retries=8)
    with ThreadPoolExecutor(16) as threads:
        streams = [threads.submit(lambda i: drain(asking.stream(ask(f"{i}?", tokens=24)))[1], i) for i in range(32)]
    assert all(one.result().completion_tokens for one in streams)


def test_f8_a_stream_that_it_has_no_place_for_is_an_error_and_no_empty_answer(engine: Engine) -> None:
    asking = engine.answering(retries=0)

    def outcome(i: int) -> str:
        try:
            return str(drain(asking.stream(ask(f"{i}?", tokens=100)))[1].finish_reason)
        except EngineError as error:
            return str(error)

    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(outcome, range(48)))
    assert all(one in ("stop", "length") or "currently busy" in one for one in found) and len(found) > 1, found


def test_f9_f10_it_answers_this_machine_alone_and_asks_for_its_key(engine: Engine) -> None:
    listening = [one for one in psutil.Process(pid_of(engine)).net_connections("inet") if one.status == psutil.CONN_LISTEN]
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"} and engine.record.port in {
        one.laddr.port for one in listening
    }
    for path in ("/v1/chat/completions", "/v1/load_lora_adapter"):
        assert httpx.post(engine.record.url + path, json={}).status_code == 401
    key = engine.key_file.read_text()
    said = [*psutil.Process(pid_of(engine)).cmdline(), engine.log.read_text(errors="replace")]
    assert len(key) > 30 and not any(key in one for one in said)


def test_f11_the_base_is_not_answered_by_an_adapter_that_is_asked_beside_it(
    engine: Engine, loaded: dict[str, str], folders: dict[str, Path]
) -> None:
    filling = [load(engine, folders["3"], version) for version in ("60", "61")]  # as many as one batch has places for
    asking, over = engine.answering(retries=0), threading.Event()
    alone = {name: texts(asking, name)[:1] for name in (None, *filling)}

    def keep_asking(name: str | None) -> list[str]:
        said = []
        while not over.is_set():
            said.append(cut(asking.generate([ask(QUESTIONS[0], name)])[0].text))
        return said

    with ThreadPoolExecutor(3) as threads:
        asked = {name: threads.submit(keep_asking, name) for name in alone}
        time.sleep(1.0)
        over.set()
    assert {name: sorted(set(one.result())) for name, one in asked.items()} == alone
    for name in filling:
        engine.unload(HOLDER, name)


def test_f12_it_does_not_grow_with_each_length_that_it_has_not_read_before(engine: Engine) -> None:
    asking, worker = engine.answering(), child(engine, "VLLM::Worker")

    def read(lengths: range) -> float:
        for length in lengths:
            asking.generate([ask(f"{length}" + " a" * length, tokens=1)])
        return float(worker.memory_full_info().uss) / 1e6

    before = read(range(40, 80))
    assert read(range(80, 440)) - before < 60  # MB; 445 where what is made for each is kept


def test_a_poisoned_engine_is_known_and_renewed_with_its_sound_adapters(
    engine: Engine, loaded: dict[str, str], folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = engine.answering()
    before, pid = {name: texts(asking, name) for name in (None, *loaded.values())}, pid_of(engine)
    monkeypatch.setattr(adapters, "check_adapter", lambda *_: None)
    with pytest.raises(ArtifactError, match="no numbers.*started anew without it"):  # F3, the check having missed it
        load(engine, with_nan(folders["3"], tmp_path / "nan"), "50")
    assert pid_of(engine) != pid and set(api(engine).adapters()) == set(loaded.values())
    assert {name: texts(asking, name) for name in before} == before and engine.record.restarts == 1


def test_an_engine_whose_core_is_killed_is_started_anew_with_its_adapters(engine: Engine, loaded: dict[str, str]) -> None:
    asking = engine.answering()
    before, url = {name: texts(asking, name) for name in (None, *loaded.values())}, engine.record.url
    assert not engine.trouble() and not engine.heal()
    child(engine, "VLLM::EngineCore").kill()
    wait_until(lambda: bool(engine.trouble()))
    # whoever starts it is killed in the middle, and the next one takes over what was begun
    healing = f"from llmops.serving.engine.engines import Engine; Engine({engine.key!r}).heal()"
    started = engine.record.started
    first = subprocess.Popen([sys.executable, "-c", healing])
    wait_until(lambda: engine.record.started != started and record.path(engine.key, "pid").exists())
    first.kill()
    first.wait()
    pid = pid_of(engine)
    engine.heal()
    assert pid_of(engine) == pid and engine.record.url == url and not engine.trouble()
    assert {name: texts(asking, name) for name in before} == before


def test_f7_what_is_under_way_when_it_is_ended_is_finished_and_nothing_stays(engine: Engine, state: Path) -> None:
    stream = engine.answering().stream(ask("Tell me everything.", tokens=200))
    pieces, members, scratch = [next(stream)], vllm.members(record.path(engine.key, "pid")), engine.record.scratch
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(engines.release, HOLDER)
        rest, completion = drain(stream)
        ended.result()
    assert "".join([*pieces, *rest]) == completion.text and completion.finish_reason in ("stop", "length")
    assert not [one for one in members if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert not Path(scratch).exists() and not record.read_all()
    kinds = {file.suffix for file in (state / "engines").iterdir() if file.name != "environment.json"}
    assert kinds <= {".log", ".1", ".lock"}
    with pytest.raises(EngineError, match="nobody holds it"):
        engine.answering()


def test_an_engine_that_does_not_start_says_why_and_leaves_nothing(spec: EngineSpec) -> None:
    broken = replace(spec, base_digest="e" * 64, folder=f"{spec.folder}-gone")
    with pytest.raises(EngineError, match="vLLM ended while starting") as caught:
        engines.acquire(broken, HOLDER)
    assert "\n" not in str(caught.value) and not record.read_all()
    assert not vllm.members(record.path(record.engine_key(broken), "pid"))
