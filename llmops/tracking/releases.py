"""Releases in the registry: a version of `<app>` per release, logged as code and configuration."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow

from llmops.chains.release import Release
from llmops.errors import ArtifactError
from llmops.tracking import versions
from llmops.tracking.golden import Golden, write_golden
from llmops.tracking.package import pinned_requirements, write_wheel
from llmops.tracking.versions import Registered


def log_release(release: Release, golden: Sequence[Golden] = ()) -> Registered:
    """Log a release in the active run and register it as a version of its app; one already registered is reused.

    With it goes the package, for the day when other code is installed, and what it answered when it was made.
    """
    found = versions.find_digest(release.app, release.digest)
    if found is not None:
        return found
    with TemporaryDirectory() as folder:
        wheel, answers = write_wheel(Path(folder)), Path(folder) / "golden.json"
        write_golden(answers, golden)
        info = mlflow.pyfunc.log_model(
            name=release.kind.replace("+", "-"),  # a name can't hold "+"
            python_model=str(Path(__file__).with_name("release_model.py")),
            model_config=release.to_dict(),
            artifacts={"package": str(wheel), "golden": str(answers)},
            pip_requirements=[f"artifacts/{wheel.name}", *requirements(release)],
            model_type="release",
            params=describe(release),
            tags={versions.DIGEST_TAG: release.digest, "llmops.kind": release.kind},
        )
    return versions.register(info.model_id, release.app, release.digest, {"llmops.kind": release.kind})


def requirements(release: Release) -> list[str]:
    """What to install beside the package to answer as this release does."""
    return pinned_requirements(*(["presidio-analyzer"] if release.guards.personal_data_finder != "patterns" else []))


def read_release(uri: str) -> Release:
    """The release a registered version is.

    Raises:
        ArtifactError: it is something else, such as an index or an adapter.
    """
    flavors = mlflow.models.Model.load(versions.at_hand(uri)).flavors  # `get_model_info` asks the store too
    config = flavors.get("python_function", {}).get("config")
    if not isinstance(config, dict) or "generator" not in config:
        raise ArtifactError(f"{uri} is a model of flavor {', '.join(flavors)}, expected a release: a version of an app.")
    return Release.from_dict(config)


def describe(release: Release) -> dict[str, str]:
    """What the tracking UI shows of a release: the parts it pins."""
    generator, retrieval = release.generator, release.retrieval
    described = {
        "kind": release.kind, "prompt": release.prompt, "base": generator.base, "base_digest": generator.base_digest[:12],
        "temperature": generator.temperature or None, "top_p": generator.top_p if generator.temperature else None,
        "dtype": generator.dtype, "max_new_tokens": generator.max_new_tokens, "digest": release.digest[:12],
        "adapter": generator.adapter, "shots_shown": len(release.shots) or None,
        "index": retrieval and retrieval.index, "search": retrieval and retrieval.search.mode,
        "k": retrieval and retrieval.search.k, "min_score": retrieval and retrieval.search.min_score,
        "reranker": retrieval and retrieval.reranker, "guards": release.guards.digest[:12],
        "groups": (retrieval and retrieval.groups) or None, "server": generator.server,
        "examples": release.examples and release.examples.examples,
        "examples_choice": release.examples and release.examples.choice,
        "chain": ", ".join(prompt.prompt for prompt in release.chain) or None,
        "min_confidence": release.abstention and release.abstention.min_confidence,
        "max_wrong": release.abstention and release.abstention.max_wrong,
    }  # fmt: skip
    return {key: str(value) for key, value in described.items() if value is not None}
