"""Rows of unlike length as one batch, and the loss that needs logits only where there is a label."""

from collections.abc import Sequence
from typing import Any

from llmops.finetuning.tokens import IGNORED, Row


def collate(rows: Sequence[Row], pad: int, packed: bool = False) -> dict[str, Any]:
    """One batch of rows: padded to the longest, or packed into a single row without padding.

    Returns input_ids, labels and position_ids of shape (b, s); logits_to_keep, the k columns that come just before a
    labelled one in any row; and shift_labels of shape (b, k), what comes next there. Labels are -100 outside an answer.
    Padded batches have attention_mask, (b, s), too, and their padding on the left, so that answers end together and few
    columns need logits. In a packed batch b is 1 and positions begin anew with each row, by which transformers keeps rows
    from seeing each other.
    """
    batch = _packed(rows) if packed else _padded(rows, pad)
    following = batch["labels"][:, 1:]
    columns = (following != IGNORED).any(dim=0).nonzero()[:, 0]
    return {**batch, "logits_to_keep": columns, "shift_labels": following[:, columns]}


def _padded(rows: Sequence[Row], pad: int) -> dict[str, Any]:
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    ids, labels = torch.full((len(rows), width), pad), torch.full((len(rows), width), IGNORED)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        start = width - len(row["input_ids"])
        ids[i, start:], labels[i, start:] = torch.tensor(row["input_ids"]), torch.tensor(row["labels"])
        labels[i, start] = IGNORED  # nothing comes before the first token
        mask[i, start:] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return {"input_ids": ids, "labels": labels, "attention_mask": mask, "position_ids": positions}


def _packed(rows: Sequence[Row]) -> dict[str, Any]:
    import torch

    ids = torch.tensor([[token for row in rows for token in row["input_ids"]]])
    labels = torch.tensor([[label for row in rows for label in (IGNORED, *row["labels"][1:])]])
    positions = torch.cat([torch.arange(len(row["input_ids"])) for row in rows])
    return {"input_ids": ids, "labels": labels, "position_ids": positions[None]}


def answer_loss(model: Any, batch: dict[str, Any], labels_in_step: Any = None) -> Any:
    """The mean negative log-likelihood of the labelled tokens of a collated batch, over `labels_in_step` of them if given.

    The same as over all logits, without the (b, s, vocabulary) tensor: in fine-tuning most of it would be thrown away.
    """
    from torch.nn.functional import cross_entropy

    inputs = {name: value for name, value in batch.items() if name not in ("labels", "shift_labels")}
    logits = model(**inputs, use_cache=False).logits
    labels = batch["shift_labels"]
    total = cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    count = (labels != IGNORED).sum() if labels_in_step is None else labels_in_step
    return total / max(int(count), 1)
