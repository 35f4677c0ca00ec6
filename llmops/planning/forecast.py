"""What a training will make and need, in words for a table."""

from collections.abc import Sequence

from llmops.errors import ConfigError
from llmops.finetuning.collation import collate
from llmops.finetuning.method import Method
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.tokens import Pair, Row, longest
from llmops.models.weights import Weights
from llmops.planning.memory import Load, estimate_memory
from llmops.planning.serving import max_lora_rank, unservable
from llmops.planning.sizes import count_parameters, read_config


def load_of(examples: Sequence[Row] | Sequence[Pair], recipe: Recipe, preferring: bool, pad: int) -> Load:
    """What the longest examples put through the model at once; those of preferences pass it by TRL's trainer."""
    import torch

    gpu = torch.cuda.is_available()
    together = sorted(examples, key=longest, reverse=True)[: recipe.micro_batch]
    if preferring:
        return Load(
            2 * len(together), longest(together[0]), dtype=recipe.dtype, recompute=recipe.recompute, chunked=True, gpu=gpu,
            masked=True, reference=True,
        )  # fmt: skip
    batch = collate([row for row in together if "input_ids" in row], pad, recipe.packing)
    rows, tokens = batch["input_ids"].shape
    labelled = batch["shift_labels"].numel()
    return Load(rows, tokens, labelled, recipe.dtype, recipe.recompute, chunked=gpu, gpu=gpu, masked=recipe.packing)


def forecast(weights: Weights, method: Method, load: Load) -> dict[str, str]:
    """What is trained and how large it is, the memory at its peak, and whether vLLM can serve an adapter."""
    base = read_config(weights.folder)
    sizes = count_parameters(base, method)
    size = f"{sizes.bytes_32 / 1e6:.1f} MB in 32 bit, {sizes.bytes_16 / 1e6:.1f} MB in 16"
    try:
        memory = (
            f"{estimate_memory(base, method, load).total / 1e9:.1f} GB at the peak, estimated; the allocator may add some"
        )
    except ConfigError as error:
        memory = f"unknown: {error}"
    facts = {"trainable": f"{sizes.trainable:,} of {sizes.total:,} parameters, {size}", "memory": memory}
    if method.name != "full":
        reasons = unservable(method, base)
        served = (
            f"can't serve the adapter: {'; '.join(reasons)}"
            if reasons
            else f"serves it, --max-lora-rank {max_lora_rank(method)}"
        )
        facts["vLLM"] = served
    return facts
