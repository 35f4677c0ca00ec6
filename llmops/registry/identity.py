"""Who decides: the MLflow user, and the CI job where there is one. Said by the environment, so attribution, no proof."""

import getpass
import os

from mlflow.utils.credentials import read_mlflow_creds


def who() -> dict[str, str]:
    """`user`: as the tracking server knows them, else as MLflow names a run's user; `ci`: who started which job."""
    return {"user": _user(), **({"ci": job} if (job := _job()) else {})}


def _user() -> str:
    try:
        return read_mlflow_creds().username or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _job() -> str:
    env = os.environ
    if "GITHUB_RUN_ID" in env:
        repository = f"{env.get('GITHUB_SERVER_URL', 'https://github.com')}/{env.get('GITHUB_REPOSITORY', '')}"
        return f"{env.get('GITHUB_ACTOR', 'unknown')} in {repository}/actions/runs/{env['GITHUB_RUN_ID']}"
    if "CI_JOB_URL" in env:
        return f"{env.get('GITLAB_USER_LOGIN', 'unknown')} in {env['CI_JOB_URL']}"
    return ""
