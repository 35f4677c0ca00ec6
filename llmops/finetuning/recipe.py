"""How long, how fast and in what portions to train, whatever is trained."""

from dataclasses import dataclass

from llmops.errors import ConfigError
from llmops.models.engine import resolve_dtype


@dataclass(frozen=True)
class Recipe:
    """`batch_size` examples make an optimiser step; `micro_batch` of them go through the model together.

    They are of like length and padded to the longest of them, or, with `packing`, joined into one row in which none sees
    another: no token is wasted then, but the attention's mask costs more than such padding does.
    The learning rate rises over `warmup_steps` and falls along a cosine. `checkpoint_every` counts steps; there the held-out
    loss is measured too, and training stops when it hasn't improved for `patience` such times (0: never). With `recompute`
    layers are run again in the backward pass, which takes a third more time and keeps their inputs only (Chen et al. 2016).
    """

    epochs: float = 1.0
    learning_rate: float = 1e-3
    batch_size: int = 8
    micro_batch: int = 8
    packing: bool = False
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
        resolve_dtype(self.dtype)

    @property
    def half(self) -> bool:
        """Whether products are computed in bfloat16; what is trained stays in float32."""
        return resolve_dtype(self.dtype) == "bfloat16"
