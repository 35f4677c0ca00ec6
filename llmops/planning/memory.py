"""What one training step takes at its peak, in bytes, before anything is trained.

These are bytes of tensors: the sum of parts that needn't peak together, so a full training takes up to a sixth less, and the
gradients inside a layer left out, so others take up to a sixth more. A process on Linux held 1.0 to 1.7 times as much, with
recomputing up to 4 times, as glibc keeps what was freed; with MALLOC_MMAP_THRESHOLD_=1048576 set, 0.8 to 1.4 times.
"""

from dataclasses import astuple, dataclass, replace
from typing import Any

from llmops.errors import ConfigError
from llmops.finetuning.method import Method
from llmops.models.engine import resolve_dtype
from llmops.planning.activations import kept_bytes, model_to_count
from llmops.planning.sizes import attach, read_config

WIDTHS = {"bfloat16": 2, "float32": 4}  # bytes
ADAM = 8  # bytes per parameter: two float32 moments
NF4 = 0.5 + 4 / 64  # bytes per weight: 4 bits, and a float32 scale per block of 64 (Dettmers et al. 2023)
CHUNK_POSITIONS, CHUNK_WORDS = 4096, 32768  # of the logits that TRL has at once in its preference loss


@dataclass(frozen=True)
class Load:
    """What goes through the model at once: `batch_size` sequences, padded to `tokens`; a preference pair is two of them.

    `labelled` counts the positions of the batch that need logits; None is all of them. With `chunked` the loss is TRL's, as
    for preferences: logits come in chunks, and of every position unless there is a `gpu`. Batches are `masked` where rows
    are packed, and by TRL. With a `reference` the base is there twice.
    """

    batch_size: int
    tokens: int
    labelled: int | None = None
    dtype: str = "float32"
    recompute: bool = False
    chunked: bool = False
    masked: bool = False
    reference: bool = False
    gpu: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "tokens"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0.")
        if self.labelled is not None and not 0 < self.labelled <= self.positions:
            raise ConfigError(f"labelled is {self.labelled}, expected 1 to {self.positions} (batch_size * tokens).")
        resolve_dtype(self.dtype)

    @property
    def positions(self) -> int:
        return self.batch_size * self.tokens


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak. `logits` are those of the loss with what its gradient takes."""

    weights: int
    gradients: int
    optimiser: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        return sum(astuple(self))


def estimate_memory(base: Any, method: Method, load: Load) -> Memory:
    """Estimate for a base, given as `read_config` takes it, with AdamW and products in `load.dtype`.

    What is trained is in float32, as are its gradients and moments. The base of a LoRA is in `load.dtype`. In that of a
    QLoRA the linear layers but the head are in nf4 and all else in float32. Of weights in float32, products in bfloat16
    keep copies.

    Raises:
        ConfigError: as `count_parameters`, or the architecture can't run without weights.
    """
    config, dtype = read_config(base), resolve_dtype(load.dtype)
    model = _to_count(config, method, dtype, load)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    if load.recompute:
        activations = _recomputed(config, method, dtype, load)
    else:
        activations = kept_bytes(model, load.batch_size, load.tokens)
    logits = _logits(load, config.get_text_config().vocab_size, WIDTHS[dtype])
    return Memory(_weights(model, method, load), 4 * trained, ADAM * trained, activations, logits)


def _to_count(config: Any, method: Method, dtype: str, load: Load) -> Any:
    """The model whose kept tensors are counted; in training the adapter of a LoRA takes its inputs as they come."""
    import torch

    model = attach(model_to_count(config, dtype, load.masked), config, method)
    return model.to(getattr(torch, dtype)) if method.name == "lora" else model


def _weights(model: Any, method: Method, load: Load) -> int:
    from torch.nn import Linear

    linear = {module.weight for module in model.modules() if isinstance(module, Linear)}
    if method.name == "lora":
        return sum(weight.numel() * (4 if weight.requires_grad else weight.element_size()) for weight in model.parameters())
    whole: int = 4 * sum(weight.numel() for weight in model.parameters())
    if method.name == "full":
        copies = 2 * sum(weight.numel() for weight in linear) if resolve_dtype(load.dtype) == "bfloat16" else 0
        return whole * (2 if load.reference else 1) + copies
    head = model.get_output_embeddings()
    linear -= {getattr(head, "base_layer", head).weight}
    return whole - round((WIDTHS["float32"] - NF4) * sum(weight.numel() for weight in linear if not weight.requires_grad))


def _recomputed(config: Any, method: Method, dtype: str, load: Load) -> int:
    """The input of every layer, and all that one of them keeps when it is run again (Chen et al. 2016)."""
    text = config.get_text_config()
    depth = int(text.num_hidden_layers)
    model = _to_count(config, replace(method, layers=1.0), dtype, load)
    inputs = depth * load.positions * int(text.hidden_size) * WIDTHS[dtype]
    return inputs + kept_bytes(model, load.batch_size, load.tokens) // depth


def _logits(load: Load, words: int, width: int) -> int:
    """All at once: the log-softmax, its gradient and that of the logits, each in float32.

    A chunk of TRL's is a buffer in the model's dtype; without a GPU, seven more in float32 and a mask, 29 bytes a logit
    (`ChunkedLogProbFunction` and `_backward_tile` in trl.kernels).
    """
    if not load.chunked:
        return 12 * (load.labelled or load.positions) * words
    buffer = width * CHUNK_WORDS
    if load.gpu:
        return min(load.labelled or load.positions, CHUNK_POSITIONS) * buffer
    return min(load.positions, CHUNK_POSITIONS) * (buffer + 29 * min(words, CHUNK_WORDS))
