"""Step `approve`: a release and a person -> a tag of its version that says so, signed where a key is given.

    mlflow run . -e approve --env-manager local -P release=models:/handbook/4 -P user=alice -P key=~/.ssh/id_ed25519
    python -m pipelines.approve --release models:/handbook/4 --user alice

An approval is of a content, not of a number: it holds for the release's digest and for nothing else.
"""

import re
from dataclasses import dataclass

import mlflow

from llmops import step
from llmops.errors import ConfigError
from llmops.registry.decision.approvals import APPROVED_TAG, sign
from llmops.registry.store_errors import NEEDS, start_registry_step
from llmops.tracking.releases import describe, read_release
from llmops.tracking.versions import check_pinned, get_version


@dataclass(frozen=True)
class ApproveConfig:
    """Approve a release, so that a policy that asks for it may promote it."""

    app: str = step.setting("application that the release is of", "handbook")
    release: str = step.setting("the release, models:/<app>/<version>", "")
    user: str = step.setting("who approves, as policies name them", "")
    key: str = step.setting("ed25519 private key to sign with; empty means an approval without a signature", "")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", self.user):
            raise ConfigError(f"user is {self.user!r}, expected letters, digits, '.', '_' and '-'. Name who approves.")


def main(config: ApproveConfig) -> str:
    """Tag the version; return the tag's value."""
    with start_registry_step("approve", config, f"approve {config.release}", f"{NEEDS}, EDIT permission on the model"):
        version = get_version(config.release)
        release = read_release(version.uri)
        check_pinned(version.uri, release.digest, version.digest)
        value = release.digest
        if config.key:
            value = sign(step.existing_file(config.key, "key"), version.name, release.digest)
        mlflow.set_tags({"llmops.app": config.app, "llmops.release": version.uri, APPROVED_TAG + config.user: value})
        mlflow.MlflowClient().set_model_version_tag(version.name, version.version, APPROVED_TAG + config.user, value)
    print(f"{config.user} approves {version.uri}, {'signed' if config.key else 'unsigned'}:")
    print("\n".join(f"  {name}: {shown}" for name, shown in describe(release).items()))
    return value


if __name__ == "__main__":
    step.run(main, ApproveConfig)
