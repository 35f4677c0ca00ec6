"""Step `merge`: an adapter and its base -> one model, a version of `<app>-base`.

mlflow run . -e merge --env-manager local -P adapter=models:/handbook-adapter/1
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow

from llmops import digests, step
from llmops.errors import ConfigError
from llmops.finetuning.merging import TOLERANCES, merge
from llmops.models.adapter import read_identity
from llmops.tracking import steps
from llmops.tracking.flavor import fetch_folder, log_folder
from llmops.tracking.loading import find_weights
from llmops.tracking.run import start_step


@dataclass(frozen=True)
class MergeConfig:
    """Merge an adapter into the base it belongs to, and register the model."""

    app: str = step.setting("application; the model is registered as <app>-base", "handbook")
    adapter: str = step.setting("adapter: models:/<app>-adapter/<version>", "models:/handbook-adapter@current")
    base: str = step.setting("the adapter's base, if it is to be found under another name", "")
    dtype: str = step.setting("float32 or bfloat16", "float32")


def main(config: MergeConfig) -> str:
    """Merge, compare logits, and register; return the URI of the model."""
    with start_step("merge", config), tempfile.TemporaryDirectory() as scratch:
        if config.dtype not in TOLERANCES:
            raise ConfigError(f"dtype is {config.dtype!r}, expected one of {', '.join(TOLERANCES)}.")
        adapter, folder = fetch_folder("adapter", config.adapter), Path(scratch) / "base"
        weights = find_weights(config.base or read_identity(adapter).source)
        difference = merge(weights, adapter, folder, config.dtype)
        certificate = {"merge_difference": difference, "merge_tolerance": TOLERANCES[config.dtype], "dtype": config.dtype}
        shown = {"made_from": weights.source, "adapter": config.adapter, "dtype": config.dtype}
        version = log_folder("base", folder, f"{config.app}-base", digests.of_folder(folder), shown, certificate=certificate)
        mlflow.log_metric("certificate.merge_difference", difference)
        steps.log_outputs({"base": version.uri})
    print(f"{config.adapter} merged into {weights.source}, logits within {difference:.1e} -> {version.uri}")
    return version.uri


if __name__ == "__main__":
    step.run(main, MergeConfig)
