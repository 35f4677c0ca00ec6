"""Three minutes of mixed load on a real vLLM, its alias moving every few seconds: nothing is lost, and nothing grows."""

from pathlib import Path
from statistics import median
from typing import Any

import pytest
from vllm_models import make_base

from benchmarks.serving import soaking


@pytest.fixture(scope="module")
def soak(tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    base = make_base(tiny_lm, tmp_path_factory.mktemp("soak") / "base")
    return soaking.measure(str(base), tokens=8, minutes=3, move_s=5, engine="vllm")


def test_no_request_and_no_move_is_lost_and_feedback_is_taken(soak: dict[str, Any]) -> None:
    assert soak["soak_failed_requests"] == 0 < soak["soak_requests"], soak["soak_details"]["failures"]
    assert soak["soak_failed_moves"] == 0 and soak["soak_moves"] >= 4, soak["soak_details"]["trouble"]
    assert soak["soak_feedback"] > 0


@pytest.mark.parametrize("what", ["memory_mb", "handles"])
def test_once_all_releases_were_loaded_nothing_grows(soak: dict[str, Any], what: str) -> None:
    values = soak["soak_details"][what]["values"]
    middle, last = (values[len(values) * third // 3 : len(values) * (third + 1) // 3] for third in (1, 2))
    assert len(last) > 5 and median(last) < 1.1 * median(middle), values
