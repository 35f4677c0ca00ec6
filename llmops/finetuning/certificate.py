"""Proof that what was saved computes what was trained, read back from disk: the same tokens in, the same logits out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops import digests
from llmops.errors import ArtifactError
from llmops.finetuning.method import Method
from llmops.finetuning.tokens import IGNORED, Row
from llmops.finetuning.trainable import load_base
from llmops.models.adapter import read_identity
from llmops.models.engine import base_identity, load_tokenizer
from llmops.models.weights import Weights

RELOAD_TOLERANCE = 1e-3  # logits, in the dtype of training
MERGE_TOLERANCE = 1e-2  # logits, in float32: W + BA rounds otherwise than Wx + B(Ax)
_GREEDY_TOKENS = 16


@dataclass(frozen=True)
class Certificate:
    """What was compared, on the labelled tokens of some probes: the largest differences of logits, and greedy answers.

    `effect` is how far training moved the base's logits. The merged model is compared in float32 with base and adapter.
    """

    probes: int
    tokens: int
    effect: float
    reload_difference: float
    reload_greedy_equal: bool
    merge_difference: float
    merge_greedy_equal: bool
    template_digest: str
    special_tokens: dict[str, int]
    reload_tolerance: float = RELOAD_TOLERANCE
    merge_tolerance: float = MERGE_TOLERANCE


def certify_adapter(folder: Path, trained: Any, weights: Weights, method: Method, probes: Sequence[Row]) -> Certificate:
    """Compare the trained model with the adapter read from `folder`, and that with its merge into the base.

    Raises:
        ArtifactError: they differ by more than the tolerances, aren't finite, or the adapter changes nothing.
    """
    from peft import PeftModel

    tokenizer = load_tokenizer(weights)
    read_identity(folder).check(base_identity(weights, tokenizer))
    wanted, answers = _measure(trained, probes)
    base = load_base(weights, str(trained.dtype).removeprefix("torch."), quantised=method.name == "qlora").to(trained.device)
    plain, _ = _measure(base, probes)
    found, found_answers = _measure(PeftModel.from_pretrained(base, str(folder)), probes)
    del base
    whole = PeftModel.from_pretrained(load_base(weights, "float32"), str(folder))
    apart, apart_answers = _measure(whole, probes)
    merged, merged_answers = _measure(whole.merge_and_unload(), probes)
    certificate = Certificate(
        probes=len(probes), tokens=len(wanted), effect=_difference(wanted, plain),
        reload_difference=_difference(found, wanted), reload_greedy_equal=found_answers == answers,
        merge_difference=_difference(merged, apart), merge_greedy_equal=merged_answers == apart_answers,
        template_digest=digests.of_bytes(tokenizer.chat_template.encode()), special_tokens=_special_tokens(tokenizer),
    )  # fmt: skip
    _check(certificate)
    return certificate


@dataclass(frozen=True)
class ModelCertificate:
    """What was compared of a whole model: the largest difference of logits, and the greedy answers."""

    probes: int
    tokens: int
    reload_difference: float
    reload_greedy_equal: bool
    reload_tolerance: float = RELOAD_TOLERANCE


def certify_model(folder: Path, trained: Any, probes: Sequence[Row]) -> ModelCertificate:
    """Compare the trained model with the one read from `folder`.

    Raises:
        ArtifactError: they differ by more than the tolerance, or aren't finite.
    """
    from transformers import AutoModelForCausalLM

    wanted, answers = _measure(trained, probes)
    found, found_answers = _measure(AutoModelForCausalLM.from_pretrained(folder, dtype=trained.dtype), probes)
    certificate = ModelCertificate(len(probes), len(wanted), _difference(found, wanted), found_answers == answers)
    if not certificate.reload_difference <= certificate.reload_tolerance or not certificate.reload_greedy_equal:
        raise ArtifactError(
            f"the saved model is not the trained one: logits differ by {certificate.reload_difference:.4g}, "
            f"expected at most {certificate.reload_tolerance:g}. It was not registered."
        )
    return certificate


def _check(certificate: Certificate) -> None:
    found = certificate
    if not found.effect < float("inf"):
        raise ArtifactError("the trained adapter gives logits that are not finite. Lower the learning rate.")
    if found.effect == 0:
        raise ArtifactError("the adapter changes nothing: its logits equal the base's. It was not registered.")
    if not found.reload_difference <= found.reload_tolerance or not found.reload_greedy_equal:
        raise ArtifactError(
            f"the saved adapter is not the trained one: logits differ by {found.reload_difference:.4g}, expected at most "
            f"{found.reload_tolerance:g}. It was not registered."
        )
    if not found.merge_difference <= found.merge_tolerance:
        raise ArtifactError(
            f"the adapter merged into its base computes something else: logits differ by {found.merge_difference:.4g}, "
            f"expected at most {found.merge_tolerance:g}. It was not registered."
        )


def _measure(model: Any, probes: Sequence[Row]) -> tuple[Any, list[list[int]]]:
    """The logits before each labelled token, float32, shape (n, vocabulary), and the greedy answer to each probe."""
    import torch

    model.eval()
    logits, answers = [], []
    with torch.inference_mode():
        for probe in probes:
            ids = torch.tensor([probe["input_ids"]], device=model.device)
            labelled = [i - 1 for i, label in enumerate(probe["labels"]) if label != IGNORED and i > 0]
            keep = torch.tensor(labelled, device=model.device)
            logits.append(model(input_ids=ids, logits_to_keep=keep, use_cache=False).logits[0].float().cpu())
            prompt = ids[:, : labelled[0] + 1]
            answered = model.generate(
                input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=_GREEDY_TOKENS,
                pad_token_id=0,
            )  # fmt: skip
            answers.append(answered[0, prompt.shape[1] :].tolist())
    return torch.cat(logits), answers


def _difference(found: Any, wanted: Any) -> float:
    """The largest difference; infinite where either has a value that isn't finite."""
    import torch

    finite = torch.isfinite(found).all() and torch.isfinite(wanted).all()
    return float((found - wanted).abs().max()) if finite else float("inf")


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    names = [name for name in ("bos_token", "eos_token", "pad_token") if getattr(tokenizer, name) is not None]
    return {name: int(getattr(tokenizer, f"{name}_id")) for name in names}
