"""Sets of few-shot examples in the registry: a version of `<app>-examples` for each content."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from llmops import digests
from llmops.datasets.examples import read_examples
from llmops.tracking.flavor import fetch_folder, log_folder
from llmops.tracking.versions import Registered, check_pinned
from llmops.types import Example

FILE = "examples.jsonl"


def register_examples(app: str, examples: Sequence[Example]) -> Registered:
    """Log a set in the active run and register it; one that is registered already is reused.

    Raises:
        ArtifactError: as `log_folder`.
    """
    with TemporaryDirectory() as name:
        folder = Path(name) / "examples"
        folder.mkdir()
        lines = (json.dumps(asdict(example), ensure_ascii=False, sort_keys=True) + "\n" for example in examples)
        (folder / FILE).write_text("".join(lines), encoding="utf-8")
        digest = digests.of_folder(folder)
        return log_folder("examples", folder, f"{app}-examples", digest, {"examples": len(examples)})


def load_examples(uri: str, digest: str) -> list[Example]:
    """The set of a registered version.

    Raises:
        ArtifactError: it can't be fetched, or isn't the one that has this digest.
    """
    folder = fetch_folder("examples", uri)
    check_pinned(uri, digests.of_folder(folder), digest)
    return read_examples(folder / FILE)
