"""The model that is trained: a base, and on it a new adapter or one that is trained further."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmops.errors import ConfigError
from llmops.finetuning.method import Method
from llmops.finetuning.processes import device
from llmops.models.engine import resolve_dtype
from llmops.models.weights import Weights


@dataclass(frozen=True)
class Trainable:
    """A model in training, with the tokenizer it reads by, the weights it began as, how it is trained and in which dtype."""

    model: Any
    tokenizer: Any
    weights: Weights
    method: Method
    dtype: str = "auto"

    @property
    def kind(self) -> str:
        """What comes of it: an "adapter", or a "base" where all weights are trained."""
        return "base" if self.method.name == "full" else "adapter"

    def made_whole(self, state: dict[str, Any] | None, load: Callable[[], Any]) -> "Trainable":
        """The same with a model that is loaded anew and takes `state`, where training left this one in parts."""
        if state is None:
            return self
        model = load()
        model.load_state_dict(state)
        return replace(self, model=model.eval())


def load_trainable(weights: Weights, method: Method, dtype: str, seed: int, adapter: Path | None = None) -> Any:
    """Load a base and what of it is trained onto the device of this process; first weights of an adapter follow from `seed`.

    The base of a LoRA is in `dtype`, its adapter in float32. All weights of a base are trained in float32.

    Raises:
        ConfigError: a full training is to continue an adapter, or the base has none of the modules named as targets, or one
            of them is its output head.
    """
    import torch
    from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training

    torch.manual_seed(seed)
    if method.name == "full":
        if adapter is not None:
            raise ConfigError("method is full, which can't continue an adapter. Merge it into the base first.")
        return load_base(weights, "float32").to(device())
    quantised = method.name == "qlora"
    base = load_base(weights, dtype, quantised)
    if quantised:
        base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)
    if adapter is not None:
        model = PeftModel.from_pretrained(base, str(adapter), is_trainable=True)
    else:
        try:
            model = get_peft_model(base, method.peft_config(base.config))
        except ValueError as error:  # PEFT's "Target modules ... not found in the base model"
            raise ConfigError(f"targets is {method.targets!r}: {str(error).splitlines()[0]}") from error
    if hasattr(model.get_output_embeddings(), "base_layer"):
        raise ConfigError("the adapter is on the output head too, which isn't trained here. Leave lm_head out of targets.")
    return model if quantised else model.to(device())


def load_base(weights: Weights, dtype: str, quantised: bool = False) -> Any:
    """Load a causal LM in `dtype`; or in 4 bits (nf4) that compute in it, and what isn't quantised in float32."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    torch_dtype = getattr(torch, resolve_dtype(dtype))
    if not quantised:
        return AutoModelForCausalLM.from_pretrained(weights.folder, dtype=torch_dtype)
    quantisation = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch_dtype)
    model = AutoModelForCausalLM.from_pretrained(
        weights.folder, dtype=torch.float32, quantization_config=quantisation, device_map={"": device()}
    )
    for module in model.modules():
        # On processors with avx512_bf16, bitsandbytes repacks weights when first evaluated, rounds their scales to bfloat16,
        # and what is trained after that gets no gradient through them.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
