"""Speed on a GPU, where there is one: a LoRA on a Llama of a billion random weights, in bf16, and how much of it is used."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.measure import apart
from llmops.finetuning.method import Method
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.tokens import IGNORED, Row
from llmops.finetuning.training import train

# Llama 3.2 1B's shape.
BILLION = {
    "vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}  # fmt: skip
# Dense bf16 FLOP/s that the makers give, by a part of the device's name.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10G": 70e12, "4090": 165e12}
METHOD = Method(rank=16, targets="all-linear")
_WARM = 5  # steps


def measure(steps: int) -> dict[str, Any]:
    """Tokens a second, padding apart, with packing and without, and the share of the GPU's FLOPs; nothing without a GPU."""
    import torch

    if not torch.cuda.is_available():
        print("  no GPU on this machine: not measured")
        return {}
    found = {packing: apart(train_random, BILLION, steps, packing) for packing in (True, False)}
    name = torch.cuda.get_device_name()
    peak = next((value for part, value in PEAKS.items() if part in name), None)
    packed, padded = found[True], found[False]
    return {
        "gpu": name, "gpu_tokens_per_s": packed["tokens_per_s"], "gpu_tokens_per_s_padded": padded["tokens_per_s"],
        "gpu_packed_vs_padded": packed["tokens_per_s"] / padded["tokens_per_s"],
        "gpu_flops_per_token": packed["flops_per_token"],
        "gpu_mfu": packed["tokens_per_s"] * packed["flops_per_token"] / peak if peak else "unknown: no peak for this device",
    }  # fmt: skip


def train_random(shape: dict[str, Any], steps: int, packing: bool, batch: int = 32) -> dict[str, float]:
    """Train a LoRA on a Llama of this shape and on random tokens, in examples as unlike in length as SQuAD's are.

    So many `steps` count, each of `batch` examples.
    """
    import torch
    from peft import get_peft_model
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    config = LlamaConfig(**shape)
    with torch.device(device):
        base = LlamaForCausalLM(config).to(torch.bfloat16)
    model = get_peft_model(base, METHOD.peft_config(config))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), pad_token="<pad>", eos_token="<end>")
    recipe = Recipe(
        batch_size=batch, micro_batch=batch, packing=packing, learning_rate=1e-4, checkpoint_every=10_000, dtype="bfloat16"
    )
    rows = random_rows(config.vocab_size, (steps + _WARM) * recipe.batch_size)
    seconds: list[float] = []
    with TemporaryDirectory() as folder:
        training = train(model, tokenizer, rows, [], recipe, Path(folder), lambda *_: seconds.append(time.perf_counter()))
    share = steps / (steps + _WARM)
    return {
        "tokens_per_s": share * training.tokens / (seconds[-1] - seconds[_WARM - 1]),
        "flops_per_token": flops_per_token(model, config, training.tokens / len(rows)),
    }  # fmt: skip


def random_rows(words: int, count: int) -> list[Row]:
    """Rows of 150 to 500 random tokens, of which the last 20 are learned."""
    chance = np.random.default_rng(0)
    rows = []
    for length in chance.integers(150, 500, size=count):
        ids = chance.integers(10, words, size=length).tolist()
        rows.append(Row(input_ids=ids, labels=[*[IGNORED] * (length - 20), *ids[-20:]]))
    return rows


def flops_per_token(model: Any, config: Any, length: float) -> float:
    """Model FLOPs of forward and backward (Kaplan et al. 2020, Chowdhery et al. 2022, appendix B).

    Forward takes 2 a weight and 4 * layers * width a token seen, of which a causal mask leaves half. Backward takes as much
    for what flows down to the first adapter, and 2 more a weight that is trained. The head counts only where logits are
    computed, which in fine-tuning is hardly anywhere: it is left out, as is the embedding.
    """
    weights = {name: weight for name, weight in model.named_parameters() if "embed" not in name and "lm_head" not in name}
    whole = sum(weight.numel() for weight in weights.values())
    trained = sum(weight.numel() for weight in weights.values() if weight.requires_grad)
    attention = 4 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * length / 2
    return 2 * (2 * whole + attention) + 2 * trained
