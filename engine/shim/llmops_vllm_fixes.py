"""A plugin of vLLM's for its CPU build, 0.32: the operations that bring adapters to requests, right and some times as fast.

Theirs take the adapter in the last slot for a request without one, where others in the batch have one: its index is -1
(vllm-project/vllm#48421, open). And they copy an adapter's weights for each token; here it is one product for each adapter.
"""

from collections.abc import Iterator
from typing import Any


def bgmv_shrink(inputs: Any, weights: Any, output: Any, indices: Any, scaling: float = 1.0) -> None:
    """Weights of shape (adapters, 1, rank, in), or without the 1: from inputs (tokens, in) to output (tokens, rank)."""
    for rows, chosen in _by_adapter(weights, indices, output.dtype):
        output[rows, : chosen.shape[0]] = scaling * (inputs[rows].to(output.dtype) @ chosen.T)


def bgmv_expand(inputs: Any, weights: Any, output: Any, indices: Any, add_inputs: bool = True) -> None:
    """Weights of shape (adapters, 1, out, rank): from inputs (tokens, rank) to output (tokens, out), which may be padded."""
    width = min(weights.shape[-2], output.shape[1])
    bgmv_expand_slice(inputs, weights[..., :width, :], output, indices, 0, width, add_inputs)


def bgmv_expand_slice(
    inputs: Any, weights: Any, output: Any, indices: Any, slice_offset: int, slice_size: int, add_inputs: bool = True
) -> None:  # fmt: skip
    """As `bgmv_expand`, into the columns from `slice_offset` on."""
    columns = slice(slice_offset, slice_offset + slice_size)
    for rows, chosen in _by_adapter(weights, indices, output.dtype):
        made = inputs[rows].to(output.dtype) @ chosen.T
        output[rows, columns] = output[rows, columns] + made if add_inputs else made


def _by_adapter(weights: Any, indices: Any, dtype: Any) -> Iterator[tuple[Any, Any]]:
    """The rows of each adapter that is asked for, and its weights as a matrix."""
    for index in indices.unique().tolist():
        if index >= 0:
            yield (indices == index).nonzero().squeeze(1), weights[index].reshape(weights.shape[-2:]).to(dtype)


def apply() -> None:
    """Called by vLLM in each of its processes."""
    from vllm.lora.ops import torch_ops
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    for operation in (bgmv_shrink, bgmv_expand, bgmv_expand_slice):
        for module in (lora_ops, torch_ops, punica_cpu):
            setattr(module, operation.__name__, operation)
