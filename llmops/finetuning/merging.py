"""An adapter merged into its base: a model of its own, for where adapters can't be served or are trained on."""

from collections.abc import Sequence
from pathlib import Path

from llmops.finetuning.certificate import Certificate, certify_merged, measure
from llmops.finetuning.saving import save_model
from llmops.finetuning.tokens import Row
from llmops.finetuning.trainable import load_base
from llmops.models.adapter import read_identity
from llmops.models.tokenizer import base_identity, load_tokenizer
from llmops.models.weights import Weights


def merge(weights: Weights, adapter: Path, folder: Path, dtype: str, rows: Sequence[Row]) -> Certificate:
    """Merge in float32, save in `dtype`, and compare on rows what was saved with base and adapter.

    Raises:
        ArtifactError: the adapter belongs to another base, or the difference is above the dtype's tolerance.
    """
    import torch
    from peft import PeftModel

    tokenizer = load_tokenizer(weights, chat=False)
    read_identity(adapter).check(base_identity(weights, tokenizer))
    model = PeftModel.from_pretrained(load_base(weights, "float32"), str(adapter)).eval()
    apart = measure(model, rows)
    with model.disable_adapter():
        plain = measure(model, rows)
    merged = model.merge_and_unload()
    for weight in merged.parameters():  # the frequencies of positions are buffers, and stay in float32
        weight.data = weight.data.to(getattr(torch, dtype))
    merged.config.dtype = dtype
    save_model(merged, tokenizer, folder)
    return certify_merged(merged, tokenizer, folder, rows, apart, plain)
