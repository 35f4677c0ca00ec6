"""Certificates of what a release is made of: what was proved when a part was trained, or can be shown of it now."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llmops.chains.parts import Generator
from llmops.chains.release import Release
from llmops.planning.serving import unservable
from llmops.registry.decision.gates import INSUFFICIENT, KEEP, PROMOTE
from llmops.tracking.flavor import fetch_folder, read_certificate
from llmops.tracking.loading import find_weights
from llmops.tracking.versions import get_version

NOTHING = "nothing to certify"


@dataclass(frozen=True)
class Proof:
    """Whether something is certified: promote, keep (shown to be wrong) or insufficient evidence, and the words for it."""

    verdict: str
    text: str


def prove(names: Iterable[str], release: Release) -> dict[str, Proof]:
    """The certificates of these names that are of a release's parts."""
    provers = {"reload": _reload, "servability": _servability}
    return {name: provers[name](release.generator) for name in names if name in provers}


def _reload(generator: Generator) -> Proof:
    """Of what was trained here: that what is read back from disk computes what was trained."""
    trained = [uri for uri in (generator.adapter, generator.base) if uri and uri.startswith("models:/")]
    proofs = [_reloaded(uri, read_certificate(get_version(uri))) for uri in trained]
    worst = [proof for verdict in (KEEP, INSUFFICIENT, PROMOTE) for proof in proofs if proof.verdict == verdict]
    return worst[0] if worst else Proof(PROMOTE, f"{NOTHING}: it has no adapter and no base of ours")


def _reloaded(uri: str, certificate: Mapping[str, Any]) -> Proof:
    found = certificate.get("reload")
    if not found:
        return Proof(INSUFFICIENT, f"{uri} has no certificate. Train it again")
    said = (
        f"{uri} differs from what was trained by {found['logit_difference']:.2g} in logits, allowed {found['tolerance']:.2g}"
    )
    holds = found["greedy_equal"] and found["logit_difference"] <= found["tolerance"]
    return Proof(PROMOTE if holds else KEEP, said)


def _servability(generator: Generator) -> Proof:
    """Of an adapter: that vLLM serves it beside its base."""
    if generator.adapter is None:
        return Proof(PROMOTE, f"{NOTHING}: it has no adapter")
    entries = json.loads((fetch_folder("adapter", generator.adapter) / "adapter_config.json").read_text(encoding="utf-8"))
    reasons = unservable(entries, find_weights(generator.base, generator.base_digest).folder)
    if reasons:
        return Proof(KEEP, f"vLLM won't serve {generator.adapter}: {' '.join(reasons)}")
    return Proof(PROMOTE, f"vLLM serves {generator.adapter} beside its base")
