"""Where fetched and converted weights are kept: one folder per digest, complete or absent."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """The folder named by LLMOPS_CACHE, else `~/.cache/mlflow-llmops`."""
    return Path(os.environ.get("LLMOPS_CACHE") or Path.home() / ".cache" / "mlflow-llmops").expanduser().resolve()


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Fill a scratch folder that becomes `target` only when the block ends without an error.

    Whoever is second to the same target finds it there and throws the own copy away.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    scratch.chmod(0o755)
    try:
        yield scratch
        try:
            scratch.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
