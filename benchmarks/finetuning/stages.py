"""Two stages, a domain and then instructions, beside either alone: what each knows and answers."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.data import Asked
from benchmarks.finetuning import texts as domain
from benchmarks.finetuning.answering import Asking, answerable, ask, some
from benchmarks.finetuning.recipe import BASE, MAX_TOKENS, METHOD, recipe
from benchmarks.finetuning.squad import Split, read_split, to_rows
from benchmarks.finetuning.texts import DOMAIN, domain_pages
from benchmarks.measure import apart
from llmops.evaluation.statistics import cluster_resamples
from llmops.finetuning.bits import bits_per_byte
from llmops.finetuning.blocks import text_rows
from llmops.finetuning.saving import save
from llmops.finetuning.trainable import Trainable, load_trainable
from llmops.finetuning.training import train
from llmops.models.tokenizer import load_tokenizer
from llmops.models.transformers_engine import TransformersEngine
from llmops.models.weights import resolve_weights

STAGES = {"base": (), "domain": ("domain",), "instruction": ("instruction",), "both": ("domain", "instruction")}


def measure(data: Path, characters: int, examples: int, held_out: int) -> dict[str, Any]:
    """Train each on so many characters of documentation, conversations, or both, and measure pages and answers held out."""
    split = read_split(data)
    asked = some(split.held_out, held_out)
    has = answerable(asked)
    found = {name: apart(_measure, data, split, asked, stages, characters, examples) for name, stages in STAGES.items()}
    gain = (found["both"]["f1"] - found["instruction"]["f1"])[has]
    resamples = cluster_resamples([question.paragraph_id for question in asked])
    low, high = np.quantile([np.average(gain, weights=counts[has]) for counts in resamples], (0.025, 0.975)).tolist()
    return {
        **{f"stages_perplexity_{name}": one["perplexity"] for name, one in found.items()},
        **{f"stages_f1_{name}": float(one["f1"][has].mean()) for name, one in found.items()},
        "stages_f1_both_over_instruction": float(gain.mean()), "stages_f1_both_over_instruction_low": low,
        "stages_f1_both_over_instruction_high": high,
    }  # fmt: skip


def _measure(
    data: Path, split: Split, asked: list[Asked], stages: tuple[str, ...], characters: int, examples: int
) -> dict[str, Any]:
    weights = resolve_weights(BASE)
    tokenizer = load_tokenizer(weights)
    held_out, texts = domain_pages(data, characters)
    rows = {
        "domain": text_rows(texts, tokenizer, domain.MAX_TOKENS),
        "instruction": to_rows(split.train, tokenizer, MAX_TOKENS, 0)[:examples],
    }
    recipes = {"domain": DOMAIN, "instruction": recipe(0)}
    with TemporaryDirectory() as name:
        adapter: Path | None = None
        model = load_trainable(weights, METHOD, DOMAIN.dtype, 0)
        for stage in stages:
            model = load_trainable(weights, METHOD, DOMAIN.dtype, 0, adapter)
            train(model, tokenizer, rows[stage], [], recipes[stage], Path(name) / stage, lambda *_: None)
            adapter = Path(name) / f"{stage}-adapter"
            save(Trainable(model, tokenizer, weights, METHOD), adapter)
        perplexity = bits_per_byte(model, tokenizer, held_out, domain.MAX_TOKENS).perplexity
        del model
        engine = TransformersEngine(weights, "auto")
        answered = ask(engine, Asking(asked, []), adapter=engine.load_adapter(adapter) if adapter else None)
    return {"perplexity": perplexity, "f1": answered.f1}
