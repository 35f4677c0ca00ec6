"""Environments: the file, the seats it names, and releases copied into them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
import yaml
from conftest import ROOT

from llmops import digests
from llmops.errors import ConfigError, LedgerError, LLMOpsError
from llmops.registry.decision.policy import read_policy
from llmops.registry.environments import Environment, check_source, copy_to, find_environment, read_environments, seat_of
from llmops.registry.ledger.entry import Entry
from llmops.registry.ledger.standing import standing
from llmops.registry.ledger.writing import commit
from llmops.registry.seat import Seat
from llmops.step import check_app
from llmops.tracking.flavor import fetch_folder, log_folder
from llmops.tracking.prompts import find_prompt, register_template
from llmops.tracking.question_sets import freeze_questions, get_question_set
from llmops.tracking.versions import Registered, find_digest, get_current, get_version, is_whole
from llmops.types import Question

SAMPLE = ROOT / "examples" / "environments.yaml"

# The file


def test_the_sample_leads_from_dev_to_a_model_of_its_own() -> None:
    found = read_environments(SAMPLE)
    assert list(found) == ["dev", "staging", "prod"]
    assert found["prod"] == Environment("prod", "{app}-prod", "champion", "policies/strict.yaml", "staging")
    seats = [seat_of("handbook", name, SAMPLE).name for name in found]
    assert seats == ["handbook@dev", "handbook@staging", "handbook-prod@champion"]


def test_the_policies_of_the_sample_read() -> None:
    assert [read_policy(ROOT / one.policy).digest != "" for one in read_environments(SAMPLE).values()] == [True] * 3


def test_what_is_left_out_is_the_champion_of_the_application(tmp_path: Path) -> None:
    assert seat_of("handbook", "live", write(tmp_path, "live: {}")) == Seat("handbook", "champion")


def test_a_model_may_be_named_without_the_application(tmp_path: Path) -> None:
    assert seat_of("handbook", "live", write(tmp_path, "live: {model: prod.rag.handbook}")).model == "prod.rag.handbook"


def test_an_unknown_environment_is_told_of_those_there_are() -> None:
    with pytest.raises(ConfigError, match="environments.yaml has no environment 'production'. It has: dev, staging, prod."):
        find_environment("production", SAMPLE)


def test_a_model_that_no_registry_can_hold_is_refused_for_the_application() -> None:
    with pytest.raises(LLMOpsError, match="Rename it"):
        seat_of("hand book", "prod", SAMPLE)


def write(folder: Path, content: Any) -> Path:
    path = folder / "environments.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


BAD_FILES = {
    "empty": ("", "found None, expected environments by name"),
    "a list": ("- dev", r"found \['dev'\], expected environments"),
    "no YAML": ("dev: [", "no YAML"),
    "twice": ("dev: {}\ndev: {alias: a}", r"yaml:2: 'dev' is given twice"),
    "a number for a name": ("1: {}", "yaml:1: found a key that is no text"),
    "nothing": ("dev:\n", r"yaml:1: dev is None, expected model, alias, policy, from, or \{\}"),
    "a text": ("dev: champion", "dev is 'champion', expected model"),
    "unknown key": ("dev:\n  alias: a\n  polcy: p", "yaml:3: dev has 'polcy'. Known: model, alias, policy, from"),
    "a number": ("dev:\n  alias: 3", "yaml:2: alias of dev is 3, expected a text"),
    "an empty text": ("dev:\n  model: ''", "yaml:2: model of dev is '', expected a text"),
    "an alias of MLflow's own": ("dev:\n  alias: latest", "yaml:1: dev: alias is 'latest'"),
    "a model with a slash": ("a: {}\nb:\n  model: a/b", "yaml:2: b: "),
    "from nowhere": ("dev:\n  from: test", r"yaml:2: from of dev is 'test', expected an environment above dev \(none is\)"),
    "from below": ("dev:\n  from: prod\nprod: {alias: p}", "yaml:2: from of dev is 'prod'"),
    "from itself": ("a: {alias: a}\nb:\n  from: b", r"yaml:3: from of b is 'b', expected an environment above b \(a\)"),
    "one seat for two": ("a: {}\nb: {alias: champion}", "yaml:2: b has the model and alias of a"),
}


@pytest.mark.parametrize("content, hint", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_makes_no_sense_is_refused_in_one_line(tmp_path: Path, content: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        read_environments(write(tmp_path, content))
    assert "environments.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing.yaml' can't be read"):
        read_environments(tmp_path / "missing.yaml")


# Copies


def make_version(tmp_path: Path, name: str = "handbook", text: str = "one") -> Registered:
    folder = tmp_path / text
    folder.mkdir(exist_ok=True)
    (folder / "text.txt").write_text(text, encoding="utf-8")
    with mlflow.start_run():
        return log_folder("release", folder, name, digests.of_folder(folder), {})


@pytest.fixture
def version(store: str, tmp_path: Path) -> Registered:
    return make_version(tmp_path)


PROD = Seat("handbook-prod")


def test_a_copy_is_the_same_release_with_the_same_files_and_tags(version: Registered) -> None:
    client = mlflow.MlflowClient()
    client.set_model_version_tag(version.name, version.version, "llmops.approved_by.alice", version.digest)
    copy = copy_to(PROD, version)
    assert (copy.name, copy.version, copy.digest) == ("handbook-prod", "1", version.digest)
    assert copy.model_id == version.model_id and is_whole(copy)
    assert (fetch_folder("release", copy.uri) / "text.txt").read_text(encoding="utf-8") == "one"
    assert client.get_model_version(copy.name, copy.version).tags["llmops.approved_by.alice"] == version.digest


def test_what_was_copied_once_is_found_again(version: Registered, tmp_path: Path) -> None:
    copy = copy_to(PROD, version)
    assert copy_to(PROD, version) == copy == find_digest("handbook-prod", version.digest)
    assert copy_to(PROD, make_version(tmp_path, text="two")).version == "2"
    assert copy_to(Seat("handbook", "dev"), version) == version


def test_a_copy_of_a_copy_is_whole_when_the_originals_are_gone(version: Registered) -> None:
    last = copy_to(Seat("handbook-live"), copy_to(PROD, version))
    for name in (version.name, PROD.model):
        mlflow.MlflowClient().delete_registered_model(name)
    assert get_version(last.uri).model_id == version.model_id and is_whole(last)


def test_a_copy_whose_files_are_gone_says_so_and_is_not_found(version: Registered) -> None:
    copy = copy_to(PROD, version)
    mlflow.MlflowClient().delete_logged_model(version.model_id)
    for file in Path(mlflow.artifacts.download_artifacts(copy.uri)).glob("MLmodel"):
        file.unlink()
    with pytest.raises(LLMOpsError, match="files of models:/handbook-prod/1, a copy of models:/handbook/1, can't"):
        get_version(copy.uri)
    assert find_digest("handbook-prod", version.digest) is None


def test_a_copy_that_the_registry_refuses_is_one_line(version: Registered) -> None:
    with pytest.raises(LLMOpsError) as caught:
        copy_to(PROD, Registered("gone", "1", "m-gone", "of no version"))
    assert "\n" not in str(caught.value)


# From one environment to the next


def seated(version: Registered, seat: Seat, run: str = "r1") -> None:
    now = standing(seat)
    draft = Entry(
        0, "", "", "promote", None, version.version, version.uri, version.digest, {}, "p", "e", run, {}, "2026-01-01", "",
    )  # fmt: skip
    commit(seat, draft, len(now.entries))


def test_prod_takes_what_staging_runs_by_its_ledger_and_nothing_else(version: Registered, tmp_path: Path) -> None:
    prod, staging = find_environment("prod", SAMPLE), seat_of("handbook", "staging", SAMPLE)
    with pytest.raises(ConfigError, match="holds nothing by its ledger.*-P environment=staging"):
        check_source(prod, standing(staging), version)
    seated(version, staging)
    check_source(prod, standing(staging), version)
    check_source(prod, standing(staging), copy_to(PROD, version))
    newer = make_version(tmp_path, text="two")
    mlflow.MlflowClient().set_registered_model_alias("handbook", "staging", newer.version)  # by hand
    with pytest.raises(ConfigError, match="handbook@staging holds version 1 by its ledger, not the release .*handbook/2"):
        check_source(prod, standing(staging), newer)


def test_prod_takes_nothing_from_a_broken_ledger(version: Registered) -> None:
    broken: Any = SimpleNamespace(flaws=("entry 1 is missing.",))
    with pytest.raises(LedgerError, match="prod takes what staging runs, but entry 1 is missing."):
        check_source(find_environment("prod", SAMPLE), broken, version)


def test_a_copy_has_a_ledger_of_its_own(version: Registered) -> None:
    staging = Seat("handbook")
    seated(version, staging)
    copy = copy_to(PROD, version)
    assert standing(PROD).entries == () and not standing(PROD).problems
    seated(copy, PROD, run="r2")
    assert [len(standing(seat).entries) for seat in (staging, PROD)] == [1, 1]
    assert not standing(PROD).problems and not standing(staging).problems


# Names as a Unity Catalog has them: catalog.schema.model


def test_everything_of_an_application_can_have_a_name_in_three_parts(store: str, tmp_path: Path) -> None:
    app = check_app("prod.rag.handbook")
    mlflow.set_experiment(app)
    version = make_version(tmp_path, f"{app}-index")
    assert get_current(f"{app}-index") == version == get_version(f"models:/{app}-index@current")
    uri = register_template(f"{app}-prompt", "{context} {question}")
    assert uri == f"prompts:/{app}-prompt/1" and find_prompt(uri) == find_prompt(f"prompts:/{app}-prompt@latest")
    asked = freeze_questions(app, [Question("q1", "Who?", ("Ann",), ("a.md",))])
    assert get_question_set(asked.uri).questions == asked.questions
    seated(make_version(tmp_path, app), Seat(app))
    assert standing(Seat(app)).attested == "1" and not standing(Seat(app)).problems
    assert copy_to(Seat("prod.live.handbook"), version).name == "prod.live.handbook"
