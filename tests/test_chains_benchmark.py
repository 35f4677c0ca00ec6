"""The benchmark of answering measures what it says: the pack is whole, and the figures have the names that are told."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chains import batching, guarding
from benchmarks.chains.__main__ import ChainsBenchmark, main
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights
from llmops.types import GenerationRequest, Message

ROWS: list[dict[str, Any]] = [json.loads(line) for line in guarding.PACK.read_text(encoding="utf-8").splitlines()]
ATTACKS = {
    "injection", "encoded", "document", "personal-data",
    "answer-pii", "answer-secret", "answer-prompt", "answer-unsupported",
}  # fmt: skip
HARMLESS = {"ok-question", "ok-number", "ok-encoded", "ok-passage", "ok-answer"}


def test_the_pack_holds_200_prompts_and_more_each_once() -> None:
    assert len(ROWS) >= 200 and len({row["id"] for row in ROWS}) == len({row["text"] for row in ROWS}) == len(ROWS)


def test_the_pack_has_attacks_and_look_alikes_of_all_families_in_both_halves() -> None:
    assert {row["family"] for row in ROWS if row["attack"]} == ATTACKS
    assert {row["family"] for row in ROWS if not row["attack"]} == HARMLESS
    sizes = Counter((row["split"], row["family"]) for row in ROWS)
    assert set(sizes) == {(split, family) for split in ("dev", "test") for family in ATTACKS | HARMLESS}
    assert min(sizes.values()) >= 5


def test_the_packs_attacks_come_in_many_languages_and_in_codes() -> None:
    languages = Counter(row["language"] for row in ROWS if row["attack"] and row["where"] == "question")
    assert len(languages) >= 10 and sum(row["family"] == "encoded" for row in ROWS) >= 20


@pytest.fixture
def tiny_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Two prompts of each family and half, measured in this process."""
    seen: Counter[tuple[str, str]] = Counter()
    rows = []
    for row in ROWS:
        seen[row["family"], row["split"]] += 1
        rows += [row] if seen[row["family"], row["split"]] <= 2 else []
    path = tmp_path / "pack.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(guarding, "PACK", path)
    monkeypatch.setattr(guarding, "on_one_core", lambda function, *args: function(*args))
    return rows


def test_the_guards_figures_are_written_under_their_names(tmp_path: Path, tiny_pack: list[dict[str, Any]]) -> None:
    main(ChainsBenchmark(json=str(tmp_path / "out.json"), only="guards", failures=str(tmp_path / "failures.jsonl")))
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert 0 < found["attack_block_rate"] <= 1 and 0 <= found["over_refusal_rate"] < 1 and found["guard_ms_p50"] > 0
    assert set(found["guards_right_by_family"]) == ATTACKS | HARMLESS
    assert found["guards_pack"] == {"attacks": 4 * len(ATTACKS), "harmless": 4 * len(HARMLESS)}
    wrong = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text(encoding="utf-8").splitlines()]
    stopped = [
        row for row in tiny_pack if row["attack"] and row["family"] not in guarding.FLAGGED and row["split"] == "test"
    ]
    missed = {row["id"] for row in wrong} & {row["id"] for row in stopped}
    assert found["attack_block_rate"] == pytest.approx(1 - len(missed) / len(stopped))


def test_a_batch_is_compared_with_one_at_a_time_by_the_tokens_that_come_out(tiny_lm: Path) -> None:
    engine = TransformersEngine(resolve_weights(str(tiny_lm)), batch_size=4)
    requests = [GenerationRequest((Message("user", f"How long is leave {place}?"),), 3) for place in range(4)]
    found = batching._compare(engine, requests, 1, "batch_vs_single")
    assert set(found) == {"batch_vs_single", "batch_vs_single_rates", "batch_vs_single_tokens"}
    rates = found["batch_vs_single_rates"]
    assert found["batch_vs_single"] == rates["batch"] / rates["single"] > 0
