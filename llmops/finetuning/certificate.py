"""Proof that a saved adapter is the trained one: reload it from disk, and compare logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops.errors import ArtifactError
from llmops.models.adapter import read_identity
from llmops.models.engine import base_identity, load_tokenizer
from llmops.models.weights import Weights


@dataclass(frozen=True)
class Certificate:
    """What the comparison found. `effect` is how far the adapter moves the base's logits: more than nothing."""

    max_difference: float
    effect: float


def certify_adapter(
    folder: Path, trained: Any, weights: Weights, texts: Sequence[str], tolerance: float = 1e-3
) -> Certificate:
    """Reload the adapter on a fresh base and compare the logits of the last token of each text with the trained model's.

    Raises:
        ArtifactError: they differ by more than `tolerance`, aren't finite, or the adapter changes nothing.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(weights)
    read_identity(folder).check(base_identity(weights, tokenizer))
    base = AutoModelForCausalLM.from_pretrained(weights.folder, dtype=trained.dtype).to(trained.device)
    inputs = [tokenizer(text, return_tensors="pt").to(trained.device) for text in texts]

    def logits(model: Any) -> Any:
        with torch.inference_mode():
            return torch.cat([model(**i, logits_to_keep=1).logits[:, -1].float() for i in inputs])

    wanted, plain = logits(trained), logits(base.eval())
    found = logits(PeftModel.from_pretrained(base, str(folder)).eval())
    certificate = Certificate(float((found - wanted).abs().max()), float((wanted - plain).abs().max()))
    if not torch.isfinite(wanted).all() or not torch.isfinite(found).all():
        raise ArtifactError("the trained adapter gives logits that are not finite. Lower the learning rate.")
    if certificate.max_difference > tolerance:
        raise ArtifactError(
            f"the saved adapter is not the trained one: logits differ by {certificate.max_difference:.4g}, "
            f"expected at most {tolerance:g}. It was not registered."
        )
    if certificate.effect == 0:
        raise ArtifactError("the adapter changes nothing: its logits equal the base's. It was not registered.")
    return certificate
