"""How long, how fast and in what portions to train, whatever is trained."""

from dataclasses import dataclass

from llmops.errors import ConfigError
from llmops.models.engine import resolve_dtype

PACKING = ("auto", "yes", "no")


@dataclass(frozen=True)
class Recipe:
    """`batch_size` examples make an optimiser step; `micro_batch` of them go through the model together.

    They are padded to the longest of them, or, with `packing`, joined into one row in which none sees another.
    The learning rate rises over `warmup_steps` and falls along a cosine. `checkpoint_every` counts steps; there the held-out
    loss is measured too, and training stops when it hasn't improved for `patience` such times (0: never). With `recompute`
    layers are run again in the backward pass, which takes a third more time and keeps their inputs only (Chen et al. 2016).
    """

    epochs: float = 1.0
    learning_rate: float = 1e-3
    batch_size: int = 8
    micro_batch: int = 8
    packing: str = "auto"
    recompute: bool = False
    warmup_steps: int = 2
    checkpoint_every: int = 50
    patience: int = 0
    dtype: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "learning_rate", "batch_size", "micro_batch", "checkpoint_every"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0.")
        for name in ("warmup_steps", "patience"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected 0 or more.")
        if self.batch_size % self.micro_batch:
            raise ConfigError(f"batch_size is {self.batch_size}, expected a multiple of micro_batch ({self.micro_batch}).")
        if self.packing not in PACKING:
            raise ConfigError(f"packing is {self.packing!r}, expected one of {', '.join(PACKING)}.")
        resolve_dtype(self.dtype)

    @property
    def packs(self) -> bool:
        """Whether examples are packed: by themselves on GPUs only, since on CPUs the mask costs more than padding."""
        if self.packing != "auto":
            return self.packing == "yes"
        import torch

        return torch.cuda.is_available()

    @property
    def half(self) -> bool:
        """Whether products are computed in bfloat16; what is trained stays in float32."""
        return resolve_dtype(self.dtype) == "bfloat16"
