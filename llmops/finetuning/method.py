"""Which weights are trained: those of a low-rank adapter, on a base in 16 or 4 bits, or all of them.

LoRA: Hu et al. 2021. QLoRA: Dettmers et al. 2023. DoRA: Liu et al. 2024. rsLoRA: Kalajdzievski 2023.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmops.errors import ConfigError

METHODS = ("lora", "qlora", "full")
VARIANTS = ("plain", "dora", "rslora", "dora+rslora")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True)
class Method:
    """How the base is trained. All but `name` matters for adapters only.

    `targets` is "attention", "all-linear" (every linear layer but the output head), or names of modules between commas.
    """

    name: str = "lora"
    rank: int = 16
    alpha: float = 32.0  # the adapter's output is scaled by alpha / rank; rsLoRA: by alpha / sqrt(rank)
    targets: str = "all-linear"
    layers: float = 1.0  # the upper share of layers that get adapters, in (0, 1]
    dropout: float = 0.0
    variant: str = "plain"

    def __post_init__(self) -> None:
        if self.name not in METHODS:
            raise ConfigError(f"method is {self.name!r}, expected one of {', '.join(METHODS)}.")
        if self.variant not in VARIANTS:
            raise ConfigError(f"variant is {self.variant!r}, expected one of {', '.join(VARIANTS)}.")
        for name in ("rank", "alpha"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected more than 0.")
        if not 0 < self.layers <= 1:
            raise ConfigError(f"layers is {self.layers}, expected a share in (0, 1].")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}, expected a share in [0, 1).")
        if self.layers < 1 and self.targets.strip() == "all-linear":
            raise ConfigError(
                f"layers is {self.layers}, which needs targets by name, such as attention; all-linear takes all."
            )
        if not self.target_names:
            raise ConfigError("targets is empty, expected attention, all-linear, or names of modules between commas.")

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.targets.split(",") if name.strip())

    @classmethod
    def of_adapter(cls, adapter: Path, name: str, base_config: Any) -> "Method":
        """The method of an adapter that exists, by its adapter_config.json; it is trained further as `name` says."""
        entries = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        targets = entries["target_modules"]
        named = targets if isinstance(targets, str) else ",".join(sorted(targets))
        upper, depth = entries.get("layers_to_transform"), base_config.num_hidden_layers
        variants = [variant for variant in ("dora", "rslora") if entries.get(f"use_{variant}")]
        return cls(
            name, entries["r"], entries["lora_alpha"], "attention" if set(named.split(",")) == set(ATTENTION) else named,
            len(upper) / depth if upper else 1.0, entries.get("lora_dropout", 0.0), "+".join(variants) or "plain",
        )  # fmt: skip

    def peft_config(self, base_config: Any) -> Any:
        """The PEFT configuration for a base with this transformers config."""
        from peft import LoraConfig

        groups: dict[str, Any] = {"attention": list(ATTENTION), "all-linear": "all-linear"}
        targets = groups.get(self.targets.strip(), list(self.target_names))
        depth = base_config.num_hidden_layers
        upper = list(range(depth - max(1, round(depth * self.layers)), depth)) if self.layers < 1 else None
        return LoraConfig(
            r=self.rank, lora_alpha=self.alpha, target_modules=targets, layers_to_transform=upper, task_type="CAUSAL_LM",
            lora_dropout=self.dropout, use_dora="dora" in self.variant.split("+"),
            use_rslora="rslora" in self.variant.split("+"),
        )  # fmt: skip
