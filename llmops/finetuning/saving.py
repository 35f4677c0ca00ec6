"""What was trained, as folders of plain files: an adapter with its base's identity, or a whole model."""

import json
from pathlib import Path
from typing import Any

from llmops.models.adapter import write_identity
from llmops.models.engine import base_identity
from llmops.models.weights import Weights


def save_adapter(model: Any, tokenizer: Any, weights: Weights, folder: Path) -> None:
    """Save the adapter alone, named after the base it belongs to and not after a folder of this machine."""
    model.save_pretrained(folder, selected_adapters=["default"])
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card template says nothing
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = weights.source
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_identity(folder, base_identity(weights, tokenizer))


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save all weights and the tokenizer: a folder that loads like any base."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
