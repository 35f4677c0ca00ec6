"""What a forward pass keeps for the backward pass, in bytes: the pass is run on meta tensors, and autograd's keep added up.

Korthikanti et al. 2022 (https://arxiv.org/abs/2205.05198, section 4) add up by hand what a GPT keeps. Counting is right for
adapters as well, which keep the inputs of their targets where a frozen layer keeps none, and for other architectures.
"""

from typing import Any

from llmops.errors import ConfigError
from llmops.planning.sizes import empty_model

ATTENTION = "llmops-kept-by-attention"


def model_to_count(config: Any, dtype: str, masked: bool = False) -> Any:
    """An empty model whose attention keeps what fused kernels keep: queries, keys, values, mask and output, no scores.

    There is a mask where it is `masked`: where attention takes more than the order of tokens into account.

    Raises:
        ConfigError: its attention can't be replaced.
    """
    import torch
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def attention(module: Any, query: Any, key: Any, value: Any, mask: Any, **_: Any) -> tuple[Any, None]:
        shared = query.shape[1] // key.shape[1]  # torch's kernels take one key per query head
        key, value = (states.repeat_interleave(shared, dim=1) if shared > 1 else states for states in (key, value))
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        added = torch.zeros_like(mask, dtype=query.dtype) if masked else None
        output, _log_sums = fused(query, key, value, is_causal=not masked, attn_mask=added)
        return output.transpose(1, 2).contiguous(), None

    name = f"{ATTENTION}-masked" if masked else ATTENTION
    ALL_ATTENTION_FUNCTIONS.register(name, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(name, sdpa_mask)
    try:
        return empty_model(config, dtype, attn_implementation=name)
    except KeyError as error:
        raise _uncountable(config) from error


def kept_bytes(model: Any, batch_size: int, tokens: int) -> int:
    """Bytes that a model from `model_to_count` keeps of a batch in training, its weights and logits left out.

    Raises:
        ConfigError: its layers need numbers, as the routers of some mixtures of experts do.
    """
    import torch

    weights = {weight.untyped_storage()._cdata for weight in model.parameters()}
    kept: dict[int, Any] = {}  # storages by address: tensors share them, and an address isn't taken again while they live

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    try:
        with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            ids = torch.zeros(batch_size, tokens, dtype=torch.long)
            mask = torch.ones(batch_size, 1, tokens, tokens, dtype=torch.bool)
            model.train().base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise _uncountable(model.config) from error
    return sum(storage.nbytes() for storage in kept.values())


def _uncountable(config: Any) -> ConfigError:
    return ConfigError(
        f"base is a {config.model_type}, which can't run without weights, so its memory can't be told. Measure a step of it."
    )
