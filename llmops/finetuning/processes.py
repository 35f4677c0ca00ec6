"""The processes that train together, as `torchrun` and `accelerate launch` tell each of them."""

import os

WAIT_S = 6 * 3600  # for the first process, which measures before and certifies after, while the others wait


def is_first_process() -> bool:
    """Whether this is the process that keeps the records."""
    return os.environ.get("RANK", "0") == "0"


def count_processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def shares_weights() -> bool:
    """Whether the weights of one model are parted among the processes (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def device() -> str:
    """The GPU of this process; the processor where there is none, and where processes will share the model."""
    import torch

    if not torch.cuda.is_available() or shares_weights():
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
