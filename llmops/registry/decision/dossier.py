"""What the registry and the store know of a release, beside its scorecard."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import mlflow

from llmops.registry.decision.certificates import Proof, prove
from llmops.registry.decision.policy import Policy
from llmops.tracking import versions
from llmops.tracking.evaluations import Evaluated
from llmops.tracking.parity import Parity, find_parity
from llmops.tracking.releases import read_release

ENGINE_TAG = "llmops.engine."


@dataclass(frozen=True)
class Dossier:
    """Whose release it is, what answered in its evaluation, its version's tags, and what was proved of it.

    `server` is where its model is, where that isn't ours to serve.
    """

    release: str = ""  # models:/handbook/4
    model: str = ""
    digest: str = ""
    engine: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    parity: Parity | None = None
    server: str = ""


def read_dossier(policy: Policy, evaluated: Evaluated) -> Dossier:
    """Read what a policy asks for of an evaluated release. Its digest is that of its content, compared with its tag.

    Raises:
        ArtifactError: the release is not there, or not what was registered.
    """
    version = versions.get_version(str(evaluated.release))
    release = read_release(version.uri)
    versions.check_pinned(version.uri, release.digest, version.digest)
    tags = dict(mlflow.MlflowClient().get_model_version(version.name, version.version).tags)
    ran = mlflow.get_run(evaluated.run_id).data.tags
    engine = {name.removeprefix(ENGINE_TAG): value for name, value in ran.items() if name.startswith(ENGINE_TAG)}
    asked = policy.evidence.engine
    return Dossier(
        version.uri, version.name, release.digest, engine, tags, prove(policy.certificates, release),
        find_parity(tags, asked.name) if asked else None, release.generator.server or "",
    )  # fmt: skip
