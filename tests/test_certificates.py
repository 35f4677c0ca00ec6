"""Certificates of a release's parts, as a policy asks for them: of what was trained here, and of what vLLM serves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from test_models import make_adapter
from test_release import make

from llmops import digests
from llmops.chains.release import Release
from llmops.models.weights import resolve_weights
from llmops.registry.decision.certificates import Proof, prove
from llmops.registry.decision.gates import INSUFFICIENT, KEEP, PROMOTE
from llmops.tracking.flavor import log_folder

SAME = {"logit_difference": 1e-6, "logprob_difference": 1e-6, "greedy_equal": True, "tolerance": 1e-3}


def adapted(tiny_lm: Path, folder: Path, certificate: dict[str, Any] | None) -> Release:
    """A release with an adapter that has this certificate."""
    with mlflow.start_run():
        adapter = log_folder("adapter", folder, "handbook-adapter", digests.of_folder(folder), {}, certificate=certificate)
    release = make(tiny_lm)
    generator = replace(release.generator, adapter=adapter.uri, adapter_digest=adapter.digest)
    return replace(release, kind="adapter", generator=generator)


@pytest.fixture
def folder(tiny_lm: Path, tmp_path: Path) -> Path:
    return make_adapter(tmp_path / "adapter", resolve_weights(str(tiny_lm)), 1)


CERTIFICATES = {
    "the same": ({"reload": SAME}, PROMOTE, "by 1e-06 in logits, allowed 0.001"),
    "other logits": ({"reload": {**SAME, "logit_difference": 0.5}}, KEEP, "by 0.5 in logits"),
    "other answers": ({"reload": {**SAME, "greedy_equal": False}}, KEEP, "differs"),
    "no number": ({"reload": {**SAME, "logit_difference": float("nan")}}, KEEP, "differs"),
    "none": (None, INSUFFICIENT, "models:/handbook-adapter/1 has no certificate"),
}


@pytest.mark.parametrize("certificate, verdict, hint", CERTIFICATES.values(), ids=CERTIFICATES)
def test_an_adapter_is_certified_where_what_was_read_back_is_what_was_trained(
    store: str, tiny_lm: Path, folder: Path, certificate: dict[str, Any] | None, verdict: str, hint: str
) -> None:
    proof = prove(["reload"], adapted(tiny_lm, folder, certificate))["reload"]
    assert proof.verdict == verdict and hint in proof.text


def test_a_base_made_here_has_to_be_certified_too(store: str, tiny_lm: Path, folder: Path) -> None:
    release = adapted(tiny_lm, folder, {"reload": SAME})
    with mlflow.start_run():
        base = log_folder("base", tiny_lm, "handbook-base", digests.of_folder(tiny_lm), {})
    own = replace(release, generator=replace(release.generator, base=base.uri))
    assert prove(["reload"], own)["reload"] == Proof(
        INSUFFICIENT, "models:/handbook-base/1 has no certificate. Train it again"
    )


def test_without_an_adapter_there_is_nothing_to_certify(tiny_lm: Path) -> None:
    found = prove(["reload", "servability", "judge"], make(tiny_lm))
    assert [proof.verdict for proof in found.values()] == [PROMOTE, PROMOTE]  # judges are certified on scorecards
    assert all("nothing to certify" in proof.text for proof in found.values())


def test_an_adapter_that_vllm_refuses_is_named_with_the_reason(store: str, tiny_lm: Path, folder: Path) -> None:
    release = adapted(tiny_lm, folder, None)
    assert prove(["servability"], release)["servability"].verdict == PROMOTE
    settings = folder / "adapter_config.json"
    settings.write_text(settings.read_text().replace('"use_dora": false', '"use_dora": true'), encoding="utf-8")
    found = prove(["servability"], adapted(tiny_lm, folder, None))["servability"]
    assert found.verdict == KEEP and "vLLM won't serve models:/handbook-adapter/2: DoRA" in found.text
