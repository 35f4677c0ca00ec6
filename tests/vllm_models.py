"""A base that vLLM's CPU build can serve, and adapters on it, all of random weights: each says other things."""

import json
import shutil
from pathlib import Path

from llmops.models.adapter import write_identity
from llmops.models.tokenizer import base_identity, load_tokenizer
from llmops.models.weights import resolve_weights


def make_base(tiny_lm: Path, folder: Path, seed: int = 0) -> Path:
    """As `tiny_lm`, whose heads are too small for vLLM's attention on CPUs, with heads of 32."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    small = json.loads((tiny_lm / "config.json").read_text(encoding="utf-8"))
    shape = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(**{**small, **shape})).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_lm).save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, seed: int, rank: int = 4) -> Path:
    """An adapter folder as the step `finetune` saves it, untrained but not without effect."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=4 * rank, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM",
        init_lora_weights=False,
    )  # fmt: skip
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(folder)
    weights = resolve_weights(str(base))
    write_identity(folder, base_identity(weights, load_tokenizer(weights)))
    return folder


def spoil(adapter: Path, folder: Path) -> Path:
    """A copy of an adapter with a value that is no number."""
    from safetensors.torch import load_file, save_file

    file = Path(shutil.copytree(adapter, folder)) / "adapter_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, file)
    return folder
