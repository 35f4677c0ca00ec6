"""Fetch what the evaluation of the commit checked out here found: write scorecard.md, print the run id of the evaluation.

python examples/ci/scorecard.py handbook
"""

import subprocess
import sys
from pathlib import Path

import mlflow

FILE = "scorecard.md"


def main(app: str) -> str:
    """Return the run id of the newest evaluation of this commit."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    runs = mlflow.search_runs(
        search_all_experiments=True, output_format="list", order_by=["attributes.start_time DESC"],
        filter_string=f"tags.`llmops.step` = 'evaluate' and tags.`llmops.app` = '{app}' "
        f"and tags.`mlflow.source.git.commit` = '{commit}' and attributes.status = 'FINISHED'",
    )  # fmt: skip
    found = next((run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags), None)
    if found is None:
        sys.exit(f"error: no finished evaluation of {app!r} at commit {commit[:12]}. Run the step evaluate first.")
    Path(FILE).write_text(mlflow.artifacts.load_text(f"runs:/{found}/{FILE}"), encoding="utf-8")
    return str(found)


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
