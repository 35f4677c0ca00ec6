"""MLflow's optimize_prompts on a release: it asks with the candidates, and the best becomes a version that steps take."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Trace
from mlflow.genai.optimize.optimizers import BasePromptOptimizer
from mlflow.genai.optimize.types import EvaluationResultRecord, PromptOptimizerOutput
from test_ledger_faults import answering
from test_release import make

from llmops.chains.prompt import ABSTENTION
from llmops.chains.release import Release
from llmops.errors import ArtifactError, ConfigError
from llmops.guards.finding import REFUSAL
from llmops.tracking.loading import load_answerer
from llmops.tracking.optimization import answer_score, predict_fn, train_data
from llmops.tracking.prompts import find_prompt, pin_prompt
from llmops.tracking.releases import read_release
from llmops.types import Question
from pipelines import evaluate, finetune
from pipelines import main as path

PLAIN = "{context} {question}"
WORSE, BETTER = "Guess. {{context}} {{question}}", 'Say {"a": 1}. {{context}} {{question}}'
BROKEN = "Who leaves out the context? {{question}}"
QUESTIONS = [Question("1", "How long is leave?", ("?",), ("leave.md",)), Question("2", "Who signs?", ("?",), ("leave.md",))]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOPS_CACHE", str(tmp_path / "cache"))


def register(template: Any, name: str = "handbook-prompt") -> str:
    return str(mlflow.genai.register_prompt(name, template).uri)


def prompt_file(folder: Path, template: str = PLAIN) -> str:
    (folder / "prompt.txt").write_text(template, encoding="utf-8")
    return str(folder / "prompt.txt")


# Prompts in the registry

TEMPLATES = {
    PLAIN: "{{context}} {{question}}",
    'Answer as {{"a": {{}}}}. ' + PLAIN: 'Answer as {"a": {}}. {{context}} {{question}}',
    "{{{context}}} {{ {question}{question}": "{{{context}}} { {{question}}{{question}}",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_prompt_is_registered_as_mlflow_writes_it_and_read_back(store: str, tmp_path: Path, template: str) -> None:
    prompt, uri = pin_prompt("handbook", prompt_file(tmp_path, template))
    registered = mlflow.genai.load_prompt(uri)
    assert registered.template == TEMPLATES[template]
    assert registered.format(context="C", question="Q") == prompt.message("Q", ["C"]).content
    assert find_prompt(uri) == prompt
    assert pin_prompt("handbook", prompt_file(tmp_path, template)) == pin_prompt("other", uri) == (prompt, uri)


def test_an_alias_means_the_version_that_carries_it_now(store: str) -> None:
    one, two = register("{{context}} {{question}}"), register("Be brief. {{ context }} {{ question }}")
    mlflow.genai.set_prompt_alias("handbook-prompt", "best", 1)
    assert pin_prompt("handbook", "prompts:/handbook-prompt@best")[1] == one
    mlflow.genai.set_prompt_alias("handbook-prompt", "best", 2)
    prompt, uri = pin_prompt("handbook", "prompts:/handbook-prompt@best")
    assert (prompt.template, uri) == ("Be brief. {context} {question}", two)


UNFIT = {
    "made of chat messages": [{"role": "user", "content": "{{context}} {{question}}"}],
    "a Jinja template": "{% if context %}{{context}}{% endif %} {{question}}",
    "a text with placeholders ['context', 'language', 'question']": "{{context}} {{question}} {{language}}",
    "a text with placeholders ['context.title', 'question']": "{{context.title}} {{question}}",
    "a text with placeholders []": PLAIN,
}


@pytest.mark.parametrize("found", UNFIT)
def test_a_version_that_is_no_prompt_of_ours_is_refused_in_one_line(store: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_prompt(register(UNFIT[found]))
    assert f"prompts:/handbook-prompt/1 is {found}, expected a text with exactly {{{{context}}}}" in str(caught.value)
    assert "\n" not in str(caught.value)


ABSENT = (
    "prompts:/handbook-prompt/7",
    "prompts:/handbook-prompt@best",
    "prompts:/handbook-prompt",
    "prompts:/a/b",
    "prompts:/x@",
)


@pytest.mark.parametrize("uri", ABSENT)
def test_a_version_that_is_not_there_is_refused_in_one_line(store: str, uri: str) -> None:
    register("{{context}} {{question}}")
    with pytest.raises(ArtifactError, match=f"'{uri}' is no prompt of the registry .* Expected prompts:/<name>/<version>"):
        find_prompt(uri)


def test_a_registry_that_fails_is_not_said_to_lack_the_prompt(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    with pytest.raises(mlflow.MlflowException, match="Connection refused"):
        find_prompt("prompts:/handbook-prompt/1")


def test_the_registry_is_told_without_its_password(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such prompt"}') as uri:
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri.replace("//", "//carol:secret@"))
        with pytest.raises(ArtifactError, match=r"is no prompt of the registry http://\*\*\*@127") as caught:
            find_prompt("prompts:/handbook-prompt/1")
    assert "secret" not in str(caught.value)


# The score


def score(output: str, *answers: str, trace: Trace | None = None) -> float:
    value = answer_score.run(outputs=output, expectations={"answers": list(answers)}, trace=trace)
    assert isinstance(value, float)
    return value


def test_the_score_is_the_scorecards() -> None:
    assert score("thirty days", "thirty days", "30 days") == 1.0
    assert score("thirty days of leave", "thirty days") == pytest.approx(2 / 3)
    assert score(ABSTENTION + ", maybe thirty days", "thirty days") == 0.0
    assert (score(ABSTENTION), score(REFUSAL), score("thirty days")) == (1.0, 1.0, 0.0)


# Optimizing


class BestOf(BasePromptOptimizer):
    """Tries what it is given, and keeps the best on average."""

    def __init__(self, *candidates: str) -> None:
        self.candidates, self.tried = candidates, dict[str, list[EvaluationResultRecord]]()

    def optimize(
        self, eval_fn: Callable[..., list[EvaluationResultRecord]], train_data: list[dict[str, Any]],
        target_prompts: dict[str, str], enable_tracking: bool = True,
    ) -> PromptOptimizerOutput:  # fmt: skip
        ((name, first),) = target_prompts.items()
        self.tried = {template: eval_fn({name: template}, train_data) for template in (first, *self.candidates)}
        scores = {template: sum(float(one.score or 0) for one in tried) for template, tried in self.tried.items()}
        best = max(scores, key=lambda template: scores[template])
        return PromptOptimizerOutput({name: best}, scores[first] / len(train_data), scores[best] / len(train_data))


@pytest.fixture
def release(store: str, tiny_lm: Path, tmp_path: Path) -> Release:
    prompt, uri = pin_prompt("handbook", prompt_file(tmp_path))
    return make(tiny_lm, prompt=uri, template=prompt.template)


def optimize(release: Release, optimizer: BestOf) -> Any:
    """Optimize for what the release says with the better prompt."""
    better = load_answerer(replace(release, template='Say {{"a": 1}}. ' + PLAIN))
    wanted = [replace(one, answers=(better.answer([one.text])[0].text,)) for one in QUESTIONS]
    return mlflow.genai.optimize_prompts(
        predict_fn=predict_fn(release), train_data=train_data(wanted), prompt_uris=[release.prompt],
        optimizer=optimizer, scorers=[answer_score],
    )  # fmt: skip


def test_the_candidate_that_scores_best_becomes_a_version_that_evaluate_takes(
    release: Release, tmp_path: Path, tiny_lm: Path
) -> None:
    optimizer = BestOf(WORSE, BETTER, BROKEN)
    result = optimize(release, optimizer)
    assert result.initial_eval_score < result.final_eval_score == 1.0
    (best,) = result.optimized_prompts
    assert (best.uri, best.template) == ("prompts:/handbook-prompt/2", BETTER)
    for failed in optimizer.tried[BROKEN]:  # what it says shares words with any question, and is no answer
        assert failed.score == 0.0 and "is a text with placeholders ['question']" in failed.outputs
    spans = {span.name for span in optimizer.tried[BETTER][0].trace.data.spans}
    assert {"context", "generate"} <= spans

    config = evaluation(tmp_path, tiny_lm, prompt=best.uri)
    evaluate.main(config)
    made = read_release("models:/handbook/1")
    assert (made.prompt, made.template) == (best.uri, 'Say {{"a": 1}}. ' + PLAIN)
    assert len(mlflow.genai.search_prompts("name = 'handbook-prompt'")) == 1
    assert mlflow.genai.load_prompt("prompts:/handbook-prompt@latest").version == 2


def test_a_release_whose_prompt_is_not_in_the_registry_is_refused(store: str, tiny_lm: Path) -> None:
    with pytest.raises(ArtifactError, match="'prompts:/handbook-prompt/1' is no prompt of the registry"):
        predict_fn(make(tiny_lm))


# Steps


def evaluation(folder: Path, base: Path, **settings: str) -> evaluate.EvaluateConfig:
    def write(name: str, *rows: dict[str, Any]) -> str:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(folder / name)

    return evaluate.EvaluateConfig(
        questions=write("q.jsonl", {"id": "1", "question": "How?", "answers": ["so"], "documents": ["leave.md"]}),
        dev_questions=write("d.jsonl", {"id": "2", "question": "Why?", "answers": [], "documents": []}),
        examples=write("e.jsonl", {"question": "a", "context": [], "answer": "x"}),
        base=str(base), kinds="prompt", baselines="", max_new_tokens=4, embedder="", safety="no", **settings,
    )  # fmt: skip


def test_a_step_is_another_when_the_alias_means_another_text(store: str, tmp_path: Path, tiny_lm: Path) -> None:
    for template in ("{{context}} {{question}}", "Be brief. {{context}} {{question}}", "{{context}} {{question}}\n"):
        register(template)
    keys = []
    for version in (1, 2, 3):
        mlflow.genai.set_prompt_alias("handbook-prompt", "best", version)
        config = evaluation(tmp_path, tiny_lm, prompt="prompts:/handbook-prompt@best")
        tuning = finetune.FinetuneConfig(
            examples=config.examples, prompt=config.prompt, base=config.base, general="", questions=config.questions
        )
        keys.append((evaluate.identity(config), finetune.identity(tuning)))
    assert keys[0] == keys[2] and set(keys[0]).isdisjoint(keys[1])


def test_main_finds_an_unfit_prompt_before_it_works(store: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="prompts:/handbook-prompt/1 is made of chat messages"):
        path.main(path.MainConfig(prompt=register(UNFIT["made of chat messages"])))
