"""A shadow's answers beside those that were shown."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest

from llmops.errors import DataError, DeploymentError
from llmops.serving import state
from llmops.serving.options import Options
from llmops.serving.rollout.scoring import read_copies, score
from llmops.serving.state import Deployment
from pipelines.shadow import ShadowConfig, main

ONE, TWO, THREE = (f"models:/handbook/{number}" for number in (1, 2, 3))


def said(release: str, text: str | None, seconds: float = 1.0, abstained: bool = False) -> dict[str, Any]:
    return {"release": release, "text": text, "seconds": seconds, "abstained": abstained}


def write(folder: Path, lines: list[tuple[str, dict[str, Any], dict[str, Any]]], name: str = "shadow.jsonl") -> None:
    rows = [json.dumps({"question": question, "shown": shown, "shadow": shadow}) for question, shown, shadow in lines]
    (folder / name).write_text("\n".join(rows) + "\n")


def copies(shown: str = ONE, shadow: str = TWO) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """40 of 40 questions: a tenth fails, of the others a third is abstained from, and all take twice as long."""
    return [
        (
            f"How long is leave {number}?",
            said(shown, "Thirty days.", 0.5),
            said(shadow, None) if number % 10 == 0 else said(shadow, "Thirty whole days.", 1.0, number % 3 == 1),
        )
        for number in range(40)
    ]


def test_figures_of_a_shadow_have_intervals(tmp_path: Path) -> None:
    write(tmp_path, copies())
    found = score(read_copies(tmp_path))
    assert (found.shown, found.shadow, found.copies, found.questions) == (ONE, TWO, 40, 40)
    figures = found.figures
    assert figures["failed"].mean == 0.1 and 0 < figures["failed"].low < 0.1 < figures["failed"].high < 0.3
    assert figures["abstained"].mean == figures["abstained_difference"].mean == pytest.approx(1 / 3)
    assert 0 < figures["abstained_difference"].low
    assert figures["abstained_shown"].mean == 0 < figures["abstained_shown"].high < 0.1  # none of 36 may be some of more
    assert figures["slower"].mean == pytest.approx(2.0) and figures["same"].mean == 0
    assert figures["overlap"].mean == pytest.approx(0.8)  # two words of two and of three
    assert found.metrics["shadow/failed_high"] == figures["failed"].high


def test_a_question_asked_over_and_over_makes_nothing_surer(tmp_path: Path) -> None:
    few = copies()[:8]
    write(tmp_path, few)
    once = score(read_copies(tmp_path)).figures["abstained"]
    write(tmp_path, few * 20)
    often = score(read_copies(tmp_path)).figures["abstained"]
    assert once.mean == often.mean and often.high - often.low == pytest.approx(once.high - once.low, rel=0.05)


def test_the_last_shadow_beside_the_last_release_shown_counts_unless_another_is_named(tmp_path: Path) -> None:
    write(tmp_path, copies(ONE, THREE), "shadow.1.jsonl")
    write(tmp_path, [*copies(ONE, TWO), *copies(THREE, TWO)[:5]])
    with (tmp_path / "shadow.jsonl").open("a") as file:
        file.write('{"question": "half wri')
    assert [(len(found), found[0].shown["release"]) for found in [read_copies(tmp_path)]] == [(5, THREE)]
    assert len(read_copies(tmp_path, THREE)) == 40
    with pytest.raises(DataError, match="models:/handbook/9 has answered no copies.*shadow=true"):
        read_copies(tmp_path, "models:/handbook/9")


def test_a_shadow_that_only_fails_has_that_one_figure(tmp_path: Path) -> None:
    write(tmp_path, [copies()[0]] * 3)
    assert list(score(read_copies(tmp_path)).figures) == ["failed"]


def test_the_step_logs_figures_and_copies(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("LLMOPS_STATE", str(tmp_path / "state"))
    with pytest.raises(DeploymentError, match="no deployment named 'handbook'"):
        main(ShadowConfig())
    state.write(Deployment("handbook", f"{ONE}", Options(), 8210))
    with pytest.raises(DataError, match="no copies were answered"):
        main(ShadowConfig())
    write(state.deployment_folder("handbook"), copies())
    main(ShadowConfig(most=3))
    assert f"{TWO} as the shadow of {ONE}: 40 copies of 40 questions" in capsys.readouterr().out
    (run,) = mlflow.search_runs(output_format="list")
    assert run.data.metrics["shadow/slower"] == pytest.approx(2.0) and run.data.tags["llmops.shadow"] == TWO
    table = mlflow.load_table("copies.json", run_ids=[run.info.run_id])
    assert len(table) == 3 and set(table) == {"question", "shown", "shadow", "error"}
