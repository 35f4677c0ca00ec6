"""Preferences: is the better answer to a held-out question told from a worse one after DPO?

Both answers are phrases of the question's own paragraph, one the answer to it, the other that to another question.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.data import Asked
from benchmarks.finetuning.recipe import BASE, METHOD
from benchmarks.finetuning.squad import answer, message, read_split
from benchmarks.measure import apart
from llmops.evaluation.statistics import cluster_resamples
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.tokens import Pair, preference_pair
from llmops.finetuning.trainable import load_trainable
from llmops.finetuning.training import train_preferences
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import resolve_weights
from llmops.types import Preference

RECIPE = Recipe(learning_rate=2e-4, batch_size=8, micro_batch=4, warmup_steps=5, checkpoint_every=10_000)
BETA = 0.1


def measure(data: Path, pairs: int, held_out: int) -> dict[str, Any]:
    """Train on so many pairs; the accuracy is the share of held-out pairs whose better answer gained more by training."""
    return apart(_measure, data, pairs, held_out)


def _measure(data: Path, pairs: int, held_out: int) -> dict[str, Any]:
    weights = resolve_weights(BASE)
    tokenizer = load_tokenizer(weights)
    split = read_split(data)
    train_rows = [pair for _, pair in _pairs(split.train, tokenizer, pairs)]
    measured = list(_pairs(split.held_out, tokenizer, held_out))
    model = load_trainable(weights, METHOD, RECIPE.dtype, 0)
    rows = [pair for _, pair in measured]
    before = _margins(model, rows, tokenizer)
    with TemporaryDirectory() as folder:
        train_preferences(model, tokenizer, train_rows, [], RECIPE, BETA, Path(folder), lambda *_: None)
    after = _margins(model, rows, tokenizer)
    right = (after > before).astype(float)
    resamples = cluster_resamples([paragraph for paragraph, _ in measured])
    low, high = np.quantile([np.average(right, weights=counts) for counts in resamples], (0.025, 0.975)).tolist()
    return {
        "preference_accuracy": float(right.mean()), "preference_accuracy_low": low, "preference_accuracy_high": high,
        "preference_likelier_before": float((before > 0).mean()), "preference_likelier_after": float((after > 0).mean()),
        "preference_pairs": {"trained": len(train_rows), "held_out": len(rows)},
    }  # fmt: skip


def _pairs(asked: Sequence[Asked], tokenizer: Any, count: int) -> Iterator[tuple[str, Pair]]:
    """(paragraph id, pair) of `count` questions."""
    chance = random.Random(0)
    by_paragraph: dict[str, list[Asked]] = {}
    for each in asked:
        if each.answers:
            by_paragraph.setdefault(each.paragraph_id, []).append(each)
    questions = [each for group in by_paragraph.values() for each in group]
    chance.shuffle(questions)
    made = 0
    for each in questions:
        others = sorted({answer(other) for other in by_paragraph[each.paragraph_id]} - set(each.answers))
        if others and made < count:
            made += 1
            preference = Preference((message(each),), answer(each), chance.choice(others))
            yield each.paragraph_id, preference_pair(preference, tokenizer)


def _margins(model: Any, pairs: Sequence[Pair], tokenizer: Any) -> Any:
    """The log-probability of each better answer less that of the worse one, in nats."""
    import torch

    model.eval()
    margins = []
    with torch.inference_mode():
        for pair in pairs:
            scores = []
            for ids in (pair["chosen_ids"], pair["rejected_ids"]):
                whole = torch.tensor([[*pair["prompt_ids"], *ids]], device=model.device)
                logits = model(input_ids=whole, logits_to_keep=len(ids) + 1, use_cache=False).logits[0, :-1].float()
                scores.append(float(logits.log_softmax(-1).gather(-1, whole[0, -len(ids) :, None]).sum()))
            margins.append(scores[0] - scores[1])
    return np.array(margins)
