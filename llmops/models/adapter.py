"""The adapter folder: PEFT's two files, and beside them the identity of the base it was trained on.

adapter_config.json  adapter_model.safetensors  base.json
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from llmops import digests
from llmops.errors import ArtifactError

IDENTITY_FILE = "base.json"


@dataclass(frozen=True)
class BaseIdentity:
    """The base model of an adapter. An adapter on any other base is noise, silently."""

    source: str
    weights_digest: str
    chat_template_digest: str
    tokenizer_digest: str = ""
    revision: str = ""  # the hub's commit, where there is one

    def check(self, other: "BaseIdentity") -> None:
        """Raises ArtifactError unless `other` has the same weights and chat template (the name may differ)."""
        if (self.weights_digest, self.chat_template_digest) != (other.weights_digest, other.chat_template_digest):
            raise ArtifactError(
                f"the adapter belongs to base {self.source} (weights {self.weights_digest[:12]}, chat template "
                f"{self.chat_template_digest[:12]}); found {other.source} ({other.weights_digest[:12]}, "
                f"{other.chat_template_digest[:12]}). Use its own base, or train anew."
            )


def write_identity(folder: Path, identity: BaseIdentity) -> None:
    (folder / IDENTITY_FILE).write_text(json.dumps(asdict(identity), indent=2) + "\n", encoding="utf-8")


def read_identity(folder: Path) -> BaseIdentity:
    """Raises ArtifactError when the folder is no adapter of ours."""
    missing = [n for n in ("adapter_config.json", "adapter_model.safetensors", IDENTITY_FILE) if not (folder / n).is_file()]
    if missing:
        raise ArtifactError(f"{folder} is no adapter: {', '.join(missing)} missing.")
    try:
        return BaseIdentity(**json.loads((folder / IDENTITY_FILE).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"{folder / IDENTITY_FILE} is damaged ({error}). Train the adapter anew.") from error


def adapter_digest(folder: Path) -> str:
    """Digest of what the adapter computes: PEFT's files and the base's identity."""
    read_identity(folder)
    return digests.of_folder(folder)
