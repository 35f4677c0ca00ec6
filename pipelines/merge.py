"""Step `merge`: an adapter and its base -> one model, a version of `<app>-base`.

mlflow run . -e merge --env-manager local -P adapter=models:/handbook-adapter/1
"""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from llmops import digests, step
from llmops.errors import ArtifactError, ConfigError
from llmops.finetuning.certificate import MERGE_TOLERANCES
from llmops.finetuning.merging import merge
from llmops.finetuning.tokens import row_of
from llmops.models.adapter import read_identity
from llmops.tracking import steps
from llmops.tracking.flavor import fetch_folder, log_folder, read_certificate
from llmops.tracking.loading import find_weights
from llmops.tracking.run import start_step
from llmops.tracking.trainings import log_certificate
from llmops.tracking.versions import get_version


@dataclass(frozen=True)
class MergeConfig:
    """Merge an adapter into the base it belongs to, and register the model."""

    app: str = step.setting("application; the model is registered as <app>-base", "handbook")
    adapter: str = step.setting("adapter: models:/<app>-adapter/<version>", "models:/handbook-adapter@current")
    base: str = step.setting("the adapter's base, if it is to be found under another name", "")
    dtype: str = step.setting("float32 or bfloat16", "float32")


def main(config: MergeConfig) -> str:
    """Merge, certify, and register; return the URI of the model."""
    with start_step("merge", config), tempfile.TemporaryDirectory() as scratch:
        if config.dtype not in MERGE_TOLERANCES:
            raise ConfigError(f"dtype is {config.dtype!r}, expected one of {', '.join(MERGE_TOLERANCES)}.")
        adapter = get_version(config.adapter)
        folder, merged = fetch_folder("adapter", adapter.uri), Path(scratch) / "base"
        weights = find_weights(config.base or read_identity(folder).source)
        probes = read_certificate(adapter).get("probes")
        if not probes:
            raise ArtifactError(f"{adapter.uri} has no certificate with probes to compare on. Train it again.")
        rows = [row_of(probe["input_ids"], probe["positions"]) for probe in probes]
        certificate = asdict(merge(weights, folder, merged, config.dtype, rows))
        log_certificate(certificate)
        shown = {
            "made_from": weights.source, "adapter": adapter.uri, "adapter_digest": adapter.digest, "dtype": config.dtype
        }  # fmt: skip
        digest = digests.of_folder(merged)
        version = log_folder("base", merged, f"{config.app}-base", digest, shown, certificate=certificate)
        steps.log_outputs({"base": version.uri})
    difference = certificate["merge"]["logit_difference"]
    print(f"{adapter.uri} merged into {weights.source}, logits within {difference:.1e} -> {version.uri}")
    return version.uri


if __name__ == "__main__":
    step.run(main, MergeConfig)
