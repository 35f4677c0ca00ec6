"""The examples for GitHub Actions and GitLab CI: valid, of commands that exist, and of one mind about exit codes."""

import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from llmops import step

CI = ROOT / "examples" / "ci"
FILES = {"github": CI / "github-actions.yml", "gitlab": CI / "gitlab-ci.yml"}
SCHEMAS = {"github": ["vendor.github-workflows"], "gitlab": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]}
ENTRY_POINTS: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))["entry_points"]


def scripts(name: str) -> list[str]:
    """The shell scripts of an example, in their order."""
    job = yaml.safe_load(FILES[name].read_text(encoding="utf-8"))
    if name == "gitlab":
        return list(job["llmops"]["script"])
    return [one["run"] for one in job["jobs"]["llmops"]["steps"] if "run" in one]


def commands(name: str, start: str) -> list[list[str]]:
    """The words of each command that starts like this, with placeholders as they are."""
    found = re.findall(rf"{re.escape(start)}[^\n|]*", "\n".join(scripts(name)))
    return [shlex.split(command) for command in found]


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_what_its_schema_asks_for(name: str) -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run([program, "--builtin-schema", *SCHEMAS[name], FILES[name]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_its_steps_and_parameters_exist(name: str) -> None:
    runs = commands(name, "mlflow run ")
    assert [words[words.index("-e") + 1] for words in runs] == ["index", "evaluate"]
    for words in runs:
        given = [words[at + 1].partition("=")[0] for at, word in enumerate(words) if word == "-P"]
        assert given and set(given) <= set(ENTRY_POINTS[words[words.index("-e") + 1]]["parameters"])
        assert words[2] == "." and words[-2 * len(given) - 2 : -2 * len(given)] == ["--env-manager", "local"]


@pytest.mark.parametrize("name", FILES)
def test_its_decision_is_a_command_that_the_step_takes(name: str) -> None:
    ((_, _, module, *words),) = commands(name, "python -m pipelines.")
    given = [word.replace("$SEAT", "dev") for word in words]
    config = step.parse(importlib.import_module(module).PromoteConfig, given)
    assert (config.app, config.alias, config.evaluation, config.exit_code) == ("$APP", "dev", "$EVALUATION", "yes")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("code, expected", [(0, 0), (3, 0), (4, 0), (2, 2), (1, 1)])
def test_only_a_mistake_or_a_bug_fails_the_job(name: str, code: int, expected: int, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexit {code}\n")
    python.chmod(0o755)
    (script,) = [script for script in scripts(name) if "pipelines.promote" in script]
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "APP": "handbook", "EVALUATION": "r1", "SEAT": "champion"}
    assert subprocess.run(["bash", "-ec", script], env=env, capture_output=True).returncode == expected


@pytest.mark.parametrize("name", FILES)
def test_a_job_without_an_evaluation_fails_before_it_decides(name: str, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    (script,) = [script for script in scripts(name) if "scorecard.py" in script]
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "APP": "handbook",
        "GITHUB_ENV": "env",
        "GITHUB_STEP_SUMMARY": "summary",
    }
    assert subprocess.run(["bash", "-ec", script], env=env, cwd=tmp_path, capture_output=True).returncode == 1


def test_github_decides_about_the_champion_on_the_main_branch_only_and_shows_forks_no_secret() -> None:
    job = yaml.safe_load(FILES["github"].read_text(encoding="utf-8"))
    on = job[True]  # which YAML reads "on" as
    assert set(on) == {"pull_request", "push"} and on["push"] == {"branches": ["main"]}
    conditions = {one["name"]: one.get("if") for one in job["jobs"]["llmops"]["steps"] if "name" in one}
    (promote,) = (one for one in job["jobs"]["llmops"]["steps"] if one.get("name") == "promote")
    assert promote["env"]["SEAT"] == "${{ github.event_name == 'push' && 'champion' || 'dev' }}"
    assert conditions["comment the scorecard"] == "github.event_name == 'pull_request'"
    assert "head.repo.full_name == github.repository" in job["jobs"]["llmops"]["if"]


def test_gitlab_comments_on_a_merge_request_and_decides_about_dev_there(tmp_path: Path) -> None:
    (comment,) = [script for script in scripts("gitlab") if "curl" in script]
    (decide,) = [script for script in scripts("gitlab") if "pipelines.promote" in script]
    for program in ("curl", "python"):
        (tmp_path / program).write_text(f'#!/bin/sh\necho "$@" > {program}-said\n')
        (tmp_path / program).chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "CI_API_V4_URL": "https://gitlab/api/v4", "CI_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_IID": "12", "GITLAB_COMMENT_TOKEN": "token", "APP": "handbook", "EVALUATION": "r1",
    }  # fmt: skip
    for source, seat in (("push", "champion"), ("merge_request_event", "dev")):
        script = f"{comment}\n{decide}"
        subprocess.run(["bash", "-ec", script], env={**env, "CI_PIPELINE_SOURCE": source}, cwd=tmp_path, check=True)
        assert f"--alias {seat} " in (tmp_path / "python-said").read_text()
        assert (tmp_path / "curl-said").exists() == (seat == "dev")
    said = (tmp_path / "curl-said").read_text()
    assert "body@scorecard.md https://gitlab/api/v4/projects/7/merge_requests/12/notes" in said


# The scorecard of a commit

STEP = """
import mlflow
with mlflow.start_run(tags={"llmops.step": "evaluate", "llmops.app": "handbook"}) as run:
    mlflow.log_text("| candidate |", "scorecard.md")
    with mlflow.start_run(tags={"llmops.step": "evaluate", "llmops.app": "handbook"}, nested=True):
        mlflow.log_text("within another step", "scorecard.md")
print(run.info.run_id)
"""


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_scorecard_is_that_of_the_commit_that_is_checked_out(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "evaluate.py").write_text(STEP)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    commit = [*git, "commit", "--quiet", "--allow-empty", "--message", "m"]
    for command in ([*git, "init", "--quiet"], [*git, "add", "."], commit):
        assert run_in(repository, *command).returncode == 0
    evaluated = run_in(repository, sys.executable, str(repository / "evaluate.py")).stdout.strip()
    monkeypatch.chdir(repository)
    scorecard = runpy.run_path(str(CI / "scorecard.py"))
    assert scorecard["main"]("handbook") == evaluated != ""
    assert Path("scorecard.md").read_text() == "| candidate |"
    assert run_in(repository, *commit).returncode == 0
    with pytest.raises(SystemExit, match="error: no finished evaluation of 'handbook' at commit"):
        scorecard["main"]("handbook")
