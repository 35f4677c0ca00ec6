"""Rows of unlike length as one batch, and the loss that needs logits only where there is a label."""

from collections.abc import Sequence
from typing import Any

from llmops.finetuning.tokens import IGNORED, Row


def collate(rows: Sequence[Row], pad: int) -> dict[str, Any]:
    """Pad on the left, so that answers end together and few columns need logits.

    Returns input_ids, attention_mask and position_ids of shape (b, s), logits_to_keep, the k columns that come just before
    a labelled one in any row, and labels of shape (b, k), what comes next there; -100 outside an answer.
    """
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    ids, labels = torch.full((len(rows), width), pad), torch.full((len(rows), width), IGNORED)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        start = width - len(row["input_ids"])
        ids[i, start:], labels[i, start:] = torch.tensor(row["input_ids"]), torch.tensor(row["labels"])
        labels[i, start] = IGNORED  # nothing comes before the first token
        mask[i, start:] = 1
    columns = (labels[:, 1:] != IGNORED).any(dim=0).nonzero()[:, 0]
    return {
        "input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        "labels": labels[:, 1:][:, columns], "logits_to_keep": columns,
    }  # fmt: skip


def answer_loss(model: Any, batch: dict[str, Any], labels_in_step: Any = None) -> Any:
    """The mean negative log-likelihood of the labelled tokens of a collated batch, over `labels_in_step` of them if given.

    The same as over all logits, without the (b, s, vocabulary) tensor: in fine-tuning most of it would be thrown away.
    """
    from torch.nn.functional import cross_entropy

    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**inputs, use_cache=False).logits
    labels = batch["labels"]
    total = cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    count = (labels != IGNORED).sum() if labels_in_step is None else labels_in_step
    return total / max(int(count), 1)
