"""Rows of unlike length as one batch, and the loss that needs logits only where there is a label."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from llmops.finetuning.tokens import IGNORED, Row


def collate(rows: Sequence[Row], pad: int, packed: bool = False) -> dict[str, Any]:
    """One batch of rows: padded to the longest, or packed into a single row without padding.

    Returns input_ids and labels of shape (b, s); logits_to_keep, the k columns that come just before a labelled one in any
    row; and shift_labels of shape (b, k), what comes next there. Labels are -100 outside an answer. Padding stands on the
    right, where a causal model never sees it, so no mask is needed, and attention runs at half the cost that one with a mask
    has. In a packed batch b is 1, and position_ids, (b, s), begin anew with each row, by which transformers keeps rows from
    seeing each other.
    """
    batch = _packed(rows) if packed else _padded(rows, pad)
    following = batch["labels"][:, 1:]
    columns = (following != IGNORED).any(dim=0).nonzero()[:, 0]
    return {**batch, "logits_to_keep": columns, "shift_labels": following[:, columns]}


def _padded(rows: Sequence[Row], pad: int) -> dict[str, Any]:
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    ids, labels = torch.full((len(rows), width), pad), torch.full((len(rows), width), IGNORED)
    for i, row in enumerate(rows):
        length = len(row["input_ids"])
        ids[i, :length], labels[i, :length] = torch.tensor(row["input_ids"]), torch.tensor(row["labels"])
    return {"input_ids": ids, "labels": labels}


def _packed(rows: Sequence[Row]) -> dict[str, Any]:
    import torch

    ids = torch.tensor([[token for row in rows for token in row["input_ids"]]])
    labels = torch.tensor([[label for row in rows for label in (IGNORED, *row["labels"][1:])]])
    positions = torch.cat([torch.arange(len(row["input_ids"])) for row in rows])
    return {"input_ids": ids, "labels": labels, "position_ids": positions[None]}


def without_casts(model: Any, half: bool) -> AbstractContextManager[None]:
    """With `half`, let adapters take their inputs as they come, for autocast to bring to bfloat16.

    PEFT would make float32 of them first, which costs a GPU a sixth of the time.
    """
    from peft.helpers import disable_input_dtype_casting

    context: AbstractContextManager[None] = disable_input_dtype_casting(model, active=half)
    return context


def answer_loss(model: Any, batch: dict[str, Any], labels_in_step: Any = None, half: bool = False) -> Any:
    """The mean negative log-likelihood of the labelled tokens of a collated batch, over `labels_in_step` of them if given.

    The same as over all logits, without the (b, s, vocabulary) tensor: in fine-tuning most of it would be thrown away. With
    `half` products are computed in bfloat16, and weights stay as they are: beside a base in bfloat16 an adapter in float32
    would cost a quarter more.
    """
    import torch
    from torch.nn.functional import cross_entropy

    inputs = {name: value for name, value in batch.items() if name not in ("labels", "shift_labels")}
    labels = batch["shift_labels"]
    with torch.autocast(labels.device.type, torch.bfloat16, enabled=half):
        logits = model(**inputs, use_cache=False).logits
    total = cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    count = (labels != IGNORED).sum() if labels_in_step is None else labels_in_step
    return total / max(int(count), 1)


def fused_loss(model: Any, batch: dict[str, Any], labels_in_step: Any = None, half: bool = False) -> Any:
    """The same by the head that TRL's trainers add to a model: on a GPU, logits of labelled positions only, in tiles.

    Elsewhere it makes those of all positions, which fine-tuning needs few of (docs/decisions/008).
    """
    import torch

    inputs = {name: batch[name] for name in ("input_ids", "position_ids") if name in batch}
    with torch.autocast(batch["labels"].device.type, torch.bfloat16, enabled=half):
        return model(**inputs, labels=batch["labels"], num_items_in_batch=labels_in_step, fused_lm_head=True).loss
