"""An adapter merged into its base: a model of its own, for where adapters can't be served or are trained on."""

from pathlib import Path

from llmops.errors import ArtifactError
from llmops.finetuning.saving import save_model
from llmops.finetuning.trainable import load_base
from llmops.models.adapter import read_identity
from llmops.models.engine import base_identity, load_tokenizer
from llmops.models.weights import Weights

TOLERANCES = {"float32": 1e-2, "bfloat16": 1.0}  # logits; bfloat16 keeps 8 bits of what is merged in float32
_PROBE = "The quick brown fox jumps over the lazy dog, and then it has a rest."


def merge(weights: Weights, adapter: Path, folder: Path, dtype: str) -> float:
    """Merge in float32, save in `dtype`; return how far logits of what was saved are from those of base and adapter.

    Raises:
        ArtifactError: the adapter belongs to another base, or the difference is above the dtype's tolerance.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(weights, chat=False)
    read_identity(adapter).check(base_identity(weights, tokenizer))
    model = PeftModel.from_pretrained(load_base(weights, "float32"), str(adapter)).eval()
    ids = torch.tensor([tokenizer(_PROBE)["input_ids"]])
    with torch.inference_mode():
        wanted = model(input_ids=ids).logits
    save_model(model.merge_and_unload().to(getattr(torch, dtype)), tokenizer, folder)
    saved = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        difference = float((saved(input_ids=ids).logits - wanted).abs().max())
    if not difference <= TOLERANCES[dtype]:
        raise ArtifactError(
            f"the merged model computes something else: logits differ by {difference:.4g}, expected at most "
            f"{TOLERANCES[dtype]:g} in {dtype}. It was not registered."
        )
    return difference
