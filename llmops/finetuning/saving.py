"""What was trained, as a folder of plain files: an adapter with its base's identity, or a whole model."""

import json
from pathlib import Path
from typing import Any

from llmops.finetuning.trainable import Trainable
from llmops.models.adapter import write_identity
from llmops.models.tokenizer import base_identity


def save(trained: Trainable, folder: Path) -> None:
    """Save the adapter alone, named after the base it belongs to and not after a folder of this machine, or all weights."""
    if trained.kind == "base":
        save_model(trained.model, trained.tokenizer, folder)
        return
    trained.model.save_pretrained(folder, selected_adapters=["default"])
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card template says nothing
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = trained.weights.source
    config |= {name: sorted(value) for name, value in config.items() if name == "target_modules" and isinstance(value, list)}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    write_identity(folder, base_identity(trained.weights, trained.tokenizer))


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save all weights and the tokenizer: a folder that loads like any base."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
