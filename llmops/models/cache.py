"""Where fetched and converted weights are kept: one folder per digest, complete or absent."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder named by LLMOPS_CACHE, else `~/.cache/mlflow-llmops`."""
    return Path(os.environ.get("LLMOPS_CACHE") or Path.home() / ".cache" / "mlflow-llmops").expanduser().resolve()
