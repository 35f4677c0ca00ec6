"""How many parameters a method trains and how large what it saves is, counted on meta tensors: shapes without weights."""

import copy
import warnings
from dataclasses import dataclass
from typing import Any

from llmops.errors import ConfigError
from llmops.finetuning.method import Method


@dataclass(frozen=True)
class Sizes:
    """Parameters of a base, of that base with what a method adds, and of what is trained; tied ones are counted once.

    The bytes are those of the tensors that are saved, in 16 or 32 bits: the adapter, or all weights where all are trained.
    PEFT saves an adapter in the 32 bits it is trained in. Where an embedding is a target it adds the base's own embedding
    to the file unless it is told not to (`save_embedding_layers=False`), which is not counted.
    """

    base: int
    total: int
    trainable: int

    @property
    def bytes_16(self) -> int:
        return 2 * self.trainable

    @property
    def bytes_32(self) -> int:
        return 4 * self.trainable


def count_parameters(base: Any, method: Method) -> Sizes:
    """Count for a base, given as `read_config` takes it.

    For plain LoRA of rank r the trainable ones are r * (in + out) summed over the targets (Hu et al. 2021, section 4.1).
    DoRA adds a magnitude per output (Liu et al. 2024).

    Raises:
        ConfigError: there is no such causal LM, or it has none of the modules named as targets.
    """
    config = read_config(base)
    plain = empty_model(config)
    own = _count(plain)
    model = attach(plain, config, method)
    return Sizes(own, _count(model), _count(model, trainable=True))


def read_config(base: Any) -> Any:
    """The transformers config of a base: itself, or read from the folder or hub id that `base` names.

    Raises:
        ConfigError: there is none.
    """
    from transformers import AutoConfig, PretrainedConfig

    if isinstance(base, PretrainedConfig):
        return base
    try:
        return AutoConfig.from_pretrained(str(base))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"base is {str(base)!r}, expected a folder with config.json or a hub id: {reason}") from error


def empty_model(config: Any, dtype: str = "float32", **options: Any) -> Any:
    """The causal LM of a config on meta tensors; the config stays as it is.

    Raises:
        ConfigError: transformers makes no causal LM of it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=getattr(torch, dtype), **options)
    except ValueError as error:
        kind = getattr(config, "model_type", type(config).__name__)
        raise ConfigError(f"base is a {kind}, expected a causal language model. Name another base.") from error


def attach(model: Any, config: Any, method: Method) -> Any:
    """Put a new adapter into an empty model, in place; nothing where all weights are trained.

    Raises:
        ConfigError: the model has none of the modules named as targets.
    """
    if method.name == "full":
        return model
    import torch
    from peft import get_peft_model

    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT's advice on saving tied weights: nothing is saved here
            get_peft_model(model, method.peft_config(config))
    except ValueError as error:
        raise ConfigError(f"targets is {method.targets!r}: {str(error).splitlines()[0]}") from error
    return model


def _count(model: Any, trainable: bool = False) -> int:
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad or not trainable)
