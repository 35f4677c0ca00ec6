"""What happens beside a training: its progress is told, its checkpoints are sealed, and it ends when nothing improves."""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmops.finetuning import checkpoints
from llmops.finetuning.order import Schedule
from llmops.finetuning.recipe import Recipe
from llmops.types import Metrics

Report = Callable[[int, int, Metrics], None]
"""Receives the optimiser step, how many there are, and what was measured, such as {"train/loss": 1.2}."""

_NAMES = {
    "loss": "train/loss", "learning_rate": "train/learning_rate", "grad_norm": "train/gradient_norm",
    "eval_loss": "held_out/loss", "rewards/accuracies": "train/preference_accuracy",
    "eval_rewards/accuracies": "held_out/preference_accuracy",
}  # fmt: skip


def make_callbacks(schedule: Schedule, recipe: Recipe, report: Report, held_out: bool) -> list[Any]:
    """The callbacks of a trainer; only the first of several processes tells and seals."""
    from accelerate import PartialState
    from transformers import EarlyStoppingCallback, TrainerCallback

    class Reporter(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.last = (time.perf_counter(), state.global_step)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            measured = {_NAMES[name]: float(value) for name, value in logs.items() if name in _NAMES}
            if not measured or not state.is_world_process_zero:
                return
            now, (then, step) = time.perf_counter(), self.last
            if state.global_step > step:
                tokens = schedule.tokens(state.global_step) - schedule.tokens(step)
                measured |= {"train/tokens_per_s": tokens / (now - then), "train/memory_mb": _memory_mb()}
                self.last = (now, state.global_step)
            report(state.global_step, state.max_steps, measured)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.last = (time.perf_counter(), state.global_step)  # measuring and saving are no training

    class Sealer(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            PartialState().wait_for_everyone()  # each process writes a part
            if state.is_world_process_zero:
                checkpoints.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    stopping = [EarlyStoppingCallback(early_stopping_patience=recipe.patience)] if held_out and recipe.patience else []
    return [Reporter(), Sealer(), *stopping]


def _memory_mb() -> float:
    """The peak so far: of the accelerator where there is one, else of this process."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux counts KiB
