"""Plain text: a model from scratch beside trigrams, and a base that learns a domain without forgetting the rest."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.data import read_asked, read_pages
from benchmarks.finetuning.recipe import BASE, METHOD
from benchmarks.measure import apart
from llmops.finetuning.architecture import Architecture, new_base
from llmops.finetuning.bits import Bits, bits_per_byte, trigram_bits_per_byte
from llmops.finetuning.blocks import text_rows
from llmops.finetuning.forgetting import GeneralText
from llmops.finetuning.method import Method
from llmops.finetuning.recipe import Recipe
from llmops.finetuning.trainable import load_trainable
from llmops.finetuning.training import train
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import Weights, resolve_weights

MINI = Architecture(vocab_size=4096, hidden_size=256, layers=4, heads=4, kv_heads=2, intermediate_size=704, max_tokens=256)
FROM_SCRATCH = Recipe(
    learning_rate=3e-3, batch_size=16, micro_batch=16, warmup_steps=20, checkpoint_every=10_000,
    dtype="float32",
)  # fmt: skip
DOMAIN = Recipe(learning_rate=2e-4, batch_size=8, micro_batch=8, warmup_steps=10, checkpoint_every=10_000)
MAX_TOKENS = 256
_HELD_OUT = 40  # pages


def measure(data: Path, characters: int, domain_characters: int) -> dict[str, Any]:
    """Train on so many characters of documentation, and measure pages that were held out."""
    return {**apart(_from_scratch, data, characters), **apart(_domain, data, domain_characters)}


def _from_scratch(data: Path, characters: int) -> dict[str, Any]:
    pages = [page.text for page in read_pages(data)]
    held_out, texts = pages[:_HELD_OUT], up_to(pages[_HELD_OUT:], characters)
    with TemporaryDirectory() as name:
        weights = resolve_weights(str(new_base(MINI, texts, Path(name) / "base", seed=0)))
        model, tokenizer, bits = _train(weights, Method("full"), texts, held_out, FROM_SCRATCH, Path(name))
        parameters = sum(weight.numel() for weight in model.parameters())
    trigram = trigram_bits_per_byte(texts, held_out)
    return {
        "pretrain_bits_per_byte": bits.bits_per_byte, "pretrain_trigram_bits_per_byte": trigram,
        "pretrain_vs_trigram": bits.bits_per_byte / trigram, "pretrain_parameters": parameters,
        "pretrain_bytes": sum(len(text.encode()) for text in texts),
    }  # fmt: skip


def _domain(data: Path, characters: int) -> dict[str, Any]:
    """The general text is paragraphs of an encyclopaedia."""
    held_out, texts = domain_pages(data, characters)
    weights = resolve_weights(BASE)
    tokenizer = load_tokenizer(weights)
    base = load_trainable(weights, METHOD, DOMAIN.dtype, 0)
    before = bits_per_byte(base, tokenizer, held_out, MAX_TOKENS)
    general = GeneralText(general_text(data), base, tokenizer)
    del base
    with TemporaryDirectory() as name:
        model, _, after = _train(weights, METHOD, texts, held_out, DOMAIN, Path(name))
    return {
        "domain_perplexity_before": before.perplexity, "domain_perplexity_after": after.perplexity,
        "domain_perplexity_change": after.perplexity / before.perplexity - 1,
        "domain_forgetting": general.compare(model).change, "domain_characters": sum(map(len, texts)),
    }  # fmt: skip


def _train(
    weights: Weights, method: Method, texts: Sequence[str], held_out: Sequence[str], recipe: Recipe, folder: Path
) -> tuple[Any, Any, Bits]:
    tokenizer = load_tokenizer(weights)
    model = load_trainable(weights, method, recipe.dtype, recipe.seed)
    rows = text_rows(texts, tokenizer, MAX_TOKENS)
    train(model, tokenizer, rows, [], recipe, folder / "checkpoints", lambda *_: None)
    return model, tokenizer, bits_per_byte(model, tokenizer, held_out, MAX_TOKENS)


def domain_pages(data: Path, characters: int) -> tuple[list[str], list[str]]:
    """Pages of PostgreSQL's documentation to measure on, and others to train on."""
    pages = [page.text for page in read_pages(data) if page.page_id.startswith("postgresql")]
    return pages[:_HELD_OUT], up_to(pages[_HELD_OUT:], characters)


def up_to(texts: Sequence[str], characters: int) -> list[str]:
    """As many texts from the first on as have at least so many characters, or all."""
    chosen: list[str] = []
    for text in texts:
        if sum(map(len, chosen)) >= characters:
            break
        chosen.append(text)
    return chosen


def general_text(data: Path, paragraphs: int = 60) -> str:
    """Paragraphs of many articles, one after the other."""
    by_id = {each.paragraph_id: each.paragraph for each in read_asked(data)}
    stride = max(1, len(by_id) // paragraphs)
    return "\n\n".join(list(by_id.values())[::stride][:paragraphs])
