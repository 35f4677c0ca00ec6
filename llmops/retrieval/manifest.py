"""What an index says of itself: what it was made from, how, and the digests that close it."""

import json
from pathlib import Path
from typing import Any

from llmops import digests
from llmops.errors import ArtifactError

MANIFEST, FORMAT = "manifest.json", 2
_FACTS = ("files", "closing", "vectors", "sources", "reading", "words")  # how it was made and what came out, not what it is


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Close the folder: name every file in it with its digest, and the manifest's own content with one."""
    manifest = {"format": FORMAT, **content, "files": digests.of_files(folder)}
    manifest["closing"] = digests.of_data(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and verify the manifest.

    Raises:
        ArtifactError: it is missing, unfinished, of another format, or doesn't describe the files beside it.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(manifest, dict):
            raise ValueError("its manifest is no object")
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder} is no index ({error}).") from error
    if manifest.get("format") != FORMAT:
        raise ArtifactError(f"{folder} has index format {manifest.get('format')}, expected {FORMAT}. Build it anew.")
    if manifest.get("closing") != digests.of_data({key: value for key, value in manifest.items() if key != "closing"}):
        raise ArtifactError(f"the manifest of index {folder} was changed or never finished. Build it anew.")
    if manifest["files"] != digests.of_files(folder, skip=(MANIFEST,)):
        raise ArtifactError(f"files of index {folder} are not the ones its manifest names. Build it anew.")
    return manifest


def index_digest(manifest: dict[str, Any]) -> str:
    """Identity of an index: its documents, chunks, splitter, embedder and settings.

    The bytes of the vectors don't count: the same passages embedded in another order differ in their last bits.
    """
    return digests.of_data({key: value for key, value in manifest.items() if key not in _FACTS})
