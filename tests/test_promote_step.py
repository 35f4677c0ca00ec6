"""Steps `promote`, `rollback` and `ledger`: decisions about real releases, on constructed answers."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from applications import three_releases, use_copy
from conftest import HANDBOOK, ROOT
from ledger_race import draft
from mlflow.utils.mlflow_tags import MLFLOW_PROJECT_ENTRY_POINT

from llmops.chains.parts import ChainPrompt, Examples
from llmops.errors import ArtifactError, ConfigError, LedgerError, LLMOpsError
from llmops.evaluation.scorecard import Scorecard, score, score_abstainer
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.writing import commit
from llmops.registry.parts import check_parts, part_digests
from llmops.registry.seat import Seat
from llmops.tracking import evaluations
from llmops.tracking.question_sets import freeze_questions
from llmops.tracking.releases import read_release
from llmops.tracking.run import STEP_TAG
from llmops.tracking.versions import get_version
from llmops.types import Answer, Question
from pipelines import evaluate, ledger, promote, rollback
from pipelines.evaluate import EvaluateConfig
from pipelines.ledger import LedgerConfig
from pipelines.promote import PromoteConfig
from pipelines.rollback import RollbackConfig

pytestmark = pytest.mark.usefixtures("one_thread")

QUESTIONS = [Question(f"q{i}", f"What is {i}?", ("yes",), (f"{i}.md",)) for i in range(40)]
SAID = {"y": Answer("yes", False), "n": Answer("no", False)}
POOR, FAIR, GOOD = "n" * 40, "y" * 20 + "n" * 20, "y" * 40
CHAMPION = Seat("handbook")


@pytest.fixture(scope="module")
def registered(empty_store: Path, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three versions of `handbook`."""
    return three_releases(tmp_path_factory.mktemp("registered"), empty_store, tiny_lm)


@pytest.fixture
def releases(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URIs of the three versions, in a store of its own for one test."""
    use_copy(registered, tmp_path, monkeypatch)
    return [f"models:/handbook/{version}" for version in (1, 2, 3)]


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text("win: {kpi: answer/f1, by: 0.0}\nfirst: {beat: [always-abstain]}\n", encoding="utf-8")
    return str(path)


def card(name: str, said: str, **measured: float) -> Scorecard:
    return score(name, QUESTIONS, [SAID[one] for one in said], False, measured)


def evaluation(**said: tuple[str, str]) -> str:
    """An evaluation as the step logs it, of releases and what they said by candidate; its run id."""
    with mlflow.start_run() as parent:
        mlflow.set_tags({STEP_TAG: "evaluate", evaluations.APP_TAG: "handbook"})
        mlflow.log_input(freeze_questions("handbook", QUESTIONS).dataset)
        with mlflow.start_run(nested=True):
            evaluations.log_scorecard(score_abstainer(QUESTIONS), "handbook", None, None)
        for name, (release, answers) in said.items():
            with mlflow.start_run(nested=True):
                evaluations.log_scorecard(card(name, answers), "handbook", release, None)
    return str(parent.info.run_id)


def holder(seat: Seat = CHAMPION) -> str | None:
    version = mlflow.MlflowClient().get_registered_model(seat.model).aliases.get(seat.alias)
    return None if version is None else str(version)


def test_a_release_that_beats_the_baselines_is_promoted_and_the_ledger_says_on_what(
    releases: list[str], policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    evidence = evaluation(prompt=(releases[0], GOOD))
    made = promote.main(PromoteConfig(policy=policy))
    assert holder() == "1" and made.entry.decision == "promote"
    (entry,) = standing(CHAMPION).entries
    assert (entry.before, entry.after, entry.evaluation, entry.challenger) == (None, "1", evidence, releases[0])
    assert {"base", "prompt", "guards"} <= entry.parts.keys() and entry.policy and entry.who["user"]
    run = mlflow.get_run(entry.run)
    assert (run.info.status, run.data.tags["llmops.decision"]) == ("FINISHED", "promote")
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == [freeze_questions("handbook", QUESTIONS).name]
    said = capsys.readouterr().out
    assert "promote: prompt (models:/handbook/1)" in said and "ledger of handbook@champion: entry 1" in said
    report = mlflow.artifacts.load_text(f"runs:/{entry.run}/decision.md")
    assert "| win answer/f1 " in report and "| pass |" in report


def test_what_is_decided_already_is_not_decided_again(releases: list[str], policy: str) -> None:
    evaluation(prompt=(releases[0], GOOD))
    first, second = (promote.main(PromoteConfig(policy=policy)) for _ in range(2))
    assert not first.again and second.again and second.entry == first.entry
    assert len(standing(CHAMPION).entries) == 1
    run = mlflow.last_active_run()
    assert run is not None and run.data.tags["llmops.decision"] == "promote"


def test_a_challenger_that_is_no_better_is_kept_out_and_that_is_an_entry_too(releases: list[str], policy: str) -> None:
    evaluation(prompt=(releases[0], FAIR))
    promote.main(PromoteConfig(policy=policy))
    evaluation(prompt=(releases[0], FAIR), other=(releases[1], POOR))
    made = promote.main(PromoteConfig(policy=policy, candidate="other"))
    assert (made.entry.decision, holder(), made.entry.after) == ("keep", "1", "1")
    assert [entry.decision for entry in standing(CHAMPION).entries] == ["promote", "keep"]


def test_of_several_that_pass_the_cheaper_of_equals_is_promoted(releases: list[str], policy: str) -> None:
    with mlflow.start_run() as parent:
        mlflow.set_tags({STEP_TAG: "evaluate", evaluations.APP_TAG: "handbook"})
        for name, release, cost in (("always-abstain", None, 0.0), ("dear", releases[0], 2.0), ("cheap", releases[1], 1.0)):
            with mlflow.start_run(nested=True):
                measured = {"cost/per_1000": cost} if release else {}
                one = card(name, GOOD, **measured) if release else score_abstainer(QUESTIONS)
                evaluations.log_scorecard(one, "handbook", release, None)
    made = promote.main(PromoteConfig(policy=policy, evaluation=parent.info.run_id))
    assert made.choice.decision.challenger == "cheap" and "cheapest" in made.choice.why and holder() == "2"


def test_a_rollback_puts_the_release_before_back_and_says_why(releases: list[str], policy: str) -> None:
    evaluation(prompt=(releases[0], FAIR))
    promote.main(PromoteConfig(policy=policy))
    evaluation(prompt=(releases[0], FAIR), other=(releases[1], GOOD))
    promote.main(PromoteConfig(policy=policy))
    assert holder() == "2"
    done = rollback.main(RollbackConfig(reason="it is rude"))
    assert (holder(), done.entry.reason, done.entry.before) == ("1", "it is rude", "2")
    with pytest.raises(LedgerError, match="only version 1 was ever"):
        rollback.main(RollbackConfig())
    assert rollback.main(RollbackConfig(to="2")).version.uri == "models:/handbook/2"
    with pytest.raises(LedgerError, match="version 3 was never handbook@champion"):
        rollback.main(RollbackConfig(to="3"))


def test_a_rollback_to_a_release_whose_parts_are_gone_changes_nothing(releases: list[str], policy: str) -> None:
    evaluation(prompt=(releases[0], FAIR))
    promote.main(PromoteConfig(policy=policy))
    evaluation(prompt=(releases[0], FAIR), other=(releases[1], GOOD))
    promote.main(PromoteConfig(policy=policy))
    mlflow.MlflowClient().delete_logged_model(get_version(releases[0]).model_id)
    with pytest.raises(ArtifactError, match="are gone"):
        rollback.main(RollbackConfig())
    assert holder() == "2" and len(standing(CHAMPION).entries) == 2


def test_the_ledger_prints_the_history_and_an_alias_that_was_moved_by_hand(
    releases: list[str], policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation(prompt=(releases[0], GOOD))
    promote.main(PromoteConfig(policy=policy))
    mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", "3")
    told = ledger.main(LedgerConfig())
    assert "| 1 | " in told and "models:/handbook/1" in told and "which is whole" in told
    assert "handbook@champion is unattested: it is version 3" in told and holder() == "3"
    made = promote.main(PromoteConfig(policy=policy))
    assert holder() == "1" and made.repaired and "repaired: put handbook@champion back" in capsys.readouterr().out


def test_a_rollback_to_a_release_that_is_another_than_the_ledger_says_changes_nothing(releases: list[str]) -> None:
    for number, version in enumerate("12"):
        commit(CHAMPION, draft(CHAMPION, version), number)
    with pytest.raises(
        LedgerError, match="models:/handbook/1 has digest .*, by the ledger of handbook@champion it was dddd"
    ):
        rollback.main(RollbackConfig())
    assert holder() == "2" and len(standing(CHAMPION).entries) == 2


def test_before_a_rollback_all_that_answers_is_looked_for(
    releases: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = get_version(releases[0])
    made = read_release(version.uri)
    gone = str(tmp_path / "gone")
    examples = Examples("models:/handbook-examples/1", "e" * 64, "similar", 3, gone, "f" * 64)
    monkeypatch.setattr("llmops.registry.parts.load_examples", lambda *_: ())
    without: list[tuple[dict[str, Any], str]] = [
        ({"chain": (ChainPrompt("rewrite", "prompts:/handbook-rewrite/1", "{conversation} {question}"),)}, "no prompt"),
        ({"guards": replace(made.guards, injection_classifier=gone)}, "gone"),
        ({"kind": "few-shot", "examples": examples}, "gone"),
    ]
    for parts, hint in without:
        changed = replace(made, **parts)
        monkeypatch.setattr("llmops.registry.parts.read_release", lambda _, changed=changed: changed)
        with pytest.raises(LLMOpsError, match=hint):
            check_parts(replace(version, digest=changed.digest))
    assert "chain" in part_digests(replace(made, **without[0][0])) and "chain" not in part_digests(made)


def test_an_alias_set_while_the_ledger_seats_nobody_is_what_a_challenger_must_beat(releases: list[str], policy: str) -> None:
    evaluation(prompt=(releases[0], POOR))
    assert promote.main(PromoteConfig(policy=policy)).entry.decision == "keep"
    mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", "1")
    evaluation(prompt=(releases[0], GOOD), other=(releases[1], FAIR))
    made = promote.main(PromoteConfig(policy=policy, candidate="other"))
    assert (made.entry.decision, made.entry.before, made.entry.after, holder()) == ("keep", "1", "1", "1")


def test_an_alias_from_before_the_ledger_is_what_a_challenger_must_beat(releases: list[str], policy: str) -> None:
    mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", "1")
    evaluation(prompt=(releases[0], GOOD), other=(releases[1], FAIR))
    made = promote.main(PromoteConfig(policy=policy, candidate="other"))
    assert (made.entry.decision, made.entry.before, holder()) == ("keep", "1", "1")


def test_a_champion_that_was_not_asked_is_asked_the_same_questions(
    store: str, tiny_lm: Path, tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmops.tracking.answers.cache_folder", lambda: tmp_path / "cache")
    for name, count in (("test", 8), ("dev", 4)):
        lines = (HANDBOOK / f"questions-{name}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines[:count]), encoding="utf-8")
    config = EvaluateConfig(
        questions=str(tmp_path / "test.jsonl"), dev_questions=str(tmp_path / "dev.jsonl"), base=str(tiny_lm), traces=0,
        dtype="float32", latency_questions=1, max_new_tokens=4, kinds="prompt", baselines="", safety="no", embedder="",
    )  # fmt: skip
    evaluate.main(config)
    run_id = evaluate.main(replace(config, max_new_tokens=5))
    mlflow.MlflowClient().set_registered_model_alias("handbook", "champion", "1")
    made = promote.main(PromoteConfig(policy=policy, evaluation=run_id))
    assert made.challenger.version == "2" and made.entry.before == "1"
    assert "answer/f1" in made.choice.decision.gates[0].text and "not asked" not in made.entry.reason
    assert evaluations.find_evaluation("handbook").info.run_id == run_id


def test_an_environment_is_a_seat_with_a_policy_and_takes_only_what_the_one_before_it_runs(
    releases: list[str], policy: str, tmp_path: Path
) -> None:
    file = tmp_path / "environments.yaml"
    file.write_text(
        f"staging: {{alias: staging, policy: {policy}}}\nprod: {{model: '{{app}}-prod', policy: {policy}, from: staging}}\n",
        encoding="utf-8",
    )
    evaluation(prompt=(releases[0], FAIR), other=(releases[1], GOOD))
    at = {"environments": str(file)}
    with pytest.raises(ConfigError, match="handbook@staging holds no release"):
        promote.main(PromoteConfig(environment="prod", **at))
    promote.main(PromoteConfig(environment="staging", **at))
    with pytest.raises(ConfigError, match="prod takes what staging runs"):
        promote.main(PromoteConfig(environment="prod", candidate="prompt", **at))
    with pytest.raises(ConfigError, match="candidate 'othr' was not evaluated"):
        promote.main(PromoteConfig(environment="prod", candidate="othr", **at))
    made = promote.main(PromoteConfig(environment="prod", **at))
    prod = Seat("handbook-prod")
    assert (holder(Seat("handbook", "staging")), holder(prod), holder()) == ("2", "1", None)
    assert made.after is not None and made.after.uri == "models:/handbook-prod/1"
    assert [entry.challenger for entry in standing(prod).entries] == [releases[1]]
    assert "handbook-prod@champion is models:/handbook-prod/1" in ledger.main(LedgerConfig(environment="prod", **at))
    with pytest.raises(ConfigError, match="has an alias of its own"):
        LedgerConfig(environment="prod", alias="staging")


@pytest.mark.parametrize("answers, code", [(GOOD, 0), (POOR, 3), ("y" * 3 + "n" * 37, 4)])
def test_ci_reads_the_decision_from_the_exit_code(releases: list[str], policy: str, answers: str, code: int) -> None:
    evaluation(prompt=(releases[0], answers))
    command = [sys.executable, "-m", "pipelines.promote", "--policy", policy, "--exit_code"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert json.loads(mlflow.artifacts.load_text(f"runs:/{standing(CHAMPION).entries[0].run}/decision.json"))


def test_under_mlflow_run_every_decision_ends_with_0(
    releases: list[str], policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation(prompt=(releases[0], POOR))
    config = PromoteConfig(policy=policy, exit_code="yes")
    started = mlflow.MlflowClient().create_run(
        mlflow.set_experiment("test").experiment_id, tags={MLFLOW_PROJECT_ENTRY_POINT: "promote"}
    )
    monkeypatch.setenv("MLFLOW_RUN_ID", started.info.run_id)
    made = promote.main(config)
    assert (made.entry.decision, made.entry.run, promote.exit_code(config, made)) == ("keep", started.info.run_id, 0)
    assert mlflow.get_run(started.info.run_id).info.status == "FINISHED"
    with pytest.raises(ConfigError, match="exit_code is 'true', expected yes or no"):
        PromoteConfig(exit_code="true")


def test_a_mistake_is_exit_code_2_and_one_line(store: str) -> None:
    command: list[Any] = [sys.executable, "-m", "pipelines.promote", "--exit_code"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.strip().splitlines()[-1].startswith("error: ")
