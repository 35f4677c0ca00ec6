"""What held-out texts cost a language model, and a trigram model."""

import math
import random
from collections.abc import Iterable, Iterator
from itertools import chain, count, cycle
from pathlib import Path
from typing import Any

import pytest
from conftest import HANDBOOK
from hypothesis import given, settings
from hypothesis import strategies as st

from llmops.errors import ArtifactError, ConfigError, DataError
from llmops.finetuning.architecture import Architecture, new_base
from llmops.finetuning.bits import bits_per_byte, trigram_bits_per_byte
from llmops.finetuning.blocks import text_rows, token_stream
from llmops.models.tokenizer import load_tokenizer
from llmops.models.weights import resolve_weights

DOCUMENTS = [path.read_text(encoding="utf-8") for path in sorted((HANDBOOK / "documents").glob("*.md"))]
LETTERS = "abcdefgh"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # many times faster for so small a model
    yield
    torch.set_num_threads(threads)


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def model(tiny_lm: Path) -> Any:
    return load(tiny_lm)


@pytest.fixture(scope="module")
def tokenizer(tiny_lm: Path) -> Any:
    return load_tokenizer(resolve_weights(str(tiny_lm)))


@pytest.fixture(scope="module")
def ignorant(tiny_lm: Path) -> Any:
    """All tokens are equally likely to it."""
    model = load(tiny_lm)
    model.get_input_embeddings().weight.data.zero_()
    return model


def bits_one_by_one(model: Any, stream: list[int], contexts: Iterable[int]) -> float:
    """The bits of each token after the first, in a call of its own that reads the next of `contexts` tokens before it."""
    import torch

    total = 0.0
    for i, context in zip(range(1, len(stream)), contexts, strict=False):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([stream[i - context : i]])).logits[0, -1]
        total -= float(torch.log_softmax(logits.double(), dim=0)[stream[i]]) / math.log(2)
    return total


def test_bits_are_those_of_every_token_and_the_end_read_one_by_one(model: Any, tokenizer: Any) -> None:
    texts = ["Leave is thirty days.", "ü – 🦦", "Ask."]
    found = bits_per_byte(model, tokenizer, texts, max_tokens=64)
    streams = [token_stream(text, tokenizer) for text in texts]
    total = sum(bits_one_by_one(model, stream, count(1)) for stream in streams)
    assert (found.tokens, found.bytes) == (sum(len(stream) - 1 for stream in streams), 21 + 11 + 4)
    assert found.bits_per_byte == pytest.approx(total / found.bytes, rel=1e-4)
    assert found.perplexity == pytest.approx(2 ** (total / found.tokens), rel=1e-3)


@pytest.mark.parametrize(
    ("max_tokens", "start", "then"), [(2, [1], [1]), (5, [1, 2, 3, 4], [3, 4]), (6, [1, 2, 3, 4, 5], [3, 4, 5])]
)
def test_a_text_longer_than_a_window_is_read_with_half_a_window_before_each_token(
    model: Any, tokenizer: Any, max_tokens: int, start: list[int], then: list[int]
) -> None:
    text = DOCUMENTS[0][:100]
    stream = token_stream(text, tokenizer)
    whole = len(start) + (len(stream) - 1 - len(start)) // len(then) * len(then)
    short = tokenizer.decode(stream[1:whole])  # so that the last window is full
    assert len(stream := token_stream(short, tokenizer)) == whole + 1 > 2 * max_tokens
    found = bits_per_byte(model, tokenizer, [short], max_tokens)
    wanted = bits_one_by_one(model, stream, chain(start, cycle(then)))
    assert found.bits_per_byte * found.bytes == pytest.approx(wanted, rel=1e-4)


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=5), max_tokens=st.integers(2, 90))
def test_a_model_that_knows_nothing_pays_the_same_for_each_token_whatever_the_windows(
    ignorant: Any, tokenizer: Any, sizes: list[int], max_tokens: int
) -> None:
    texts = [DOCUMENTS[0][:size] for size in sizes]
    found = bits_per_byte(ignorant, tokenizer, texts, max_tokens)
    assert found.tokens == sum(len(token_stream(text, tokenizer)) - 1 for text in texts)
    assert found.perplexity == pytest.approx(ignorant.config.vocab_size, rel=1e-4)
    assert found.bits_per_byte * found.bytes == pytest.approx(found.tokens * math.log2(found.perplexity), rel=1e-5)


def test_many_batches_add_up_to_each_text_alone(model: Any, tokenizer: Any) -> None:
    together = bits_per_byte(model, tokenizer, DOCUMENTS[:3], max_tokens=512)
    alone = [bits_per_byte(model, tokenizer, [text], max_tokens=512) for text in DOCUMENTS[:3]]
    assert together.tokens == sum(bits.tokens for bits in alone) > 4096
    total = sum(bits.bits_per_byte * bits.bytes for bits in alone)
    assert together.bits_per_byte * together.bytes == pytest.approx(total, rel=1e-5)


def test_measuring_a_model_in_training_leaves_it_in_training(tiny_lm: Path, tokenizer: Any) -> None:
    model = load(tiny_lm).train()
    bits_per_byte(model, tokenizer, ["Ask."], max_tokens=64)
    assert model.training and not any(parameter.grad is not None for parameter in model.parameters())


def test_a_broken_model_and_windows_it_was_not_made_for_are_refused(tiny_lm: Path, tokenizer: Any) -> None:
    model = load(tiny_lm)
    for max_tokens in (1, 4096):
        with pytest.raises(ConfigError, match=f"max_tokens is {max_tokens}, expected 2 to 2048"):
            bits_per_byte(model, tokenizer, ["Ask."], max_tokens)
    with pytest.raises(DataError, match="empty"):
        bits_per_byte(model, tokenizer, [""], 64)
    model.model.norm.weight.data.fill_(math.nan)
    with pytest.raises(ArtifactError, match="not finite"):
        bits_per_byte(model, tokenizer, ["Ask."], 64)


def test_a_base_trained_from_nothing_beats_the_trigram_on_texts_with_far_dependencies(tmp_path: Path) -> None:
    """Each line ends with the letter it began with: a trigram can't know that, a transformer can."""
    import torch

    shape = Architecture(
        vocab_size=300, hidden_size=64, layers=2, heads=4, kv_heads=2, intermediate_size=96, max_tokens=16
    )  # fmt: skip
    rng = random.Random(0)
    texts = [f"{letter}-----{letter}" for letter in rng.choices(LETTERS, k=400)]
    folder = new_base(shape, texts, tmp_path / "base", seed=0)
    model, tokenizer = load(folder), load_tokenizer(resolve_weights(str(folder)))
    rows = torch.tensor([row["input_ids"] for row in text_rows(texts, tokenizer, 16)])
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(130):
        loss = model(input_ids=rows[:64], labels=rows[:64]).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found = bits_per_byte(model.eval(), tokenizer, texts[200:], max_tokens=16).bits_per_byte
    assert 3 / 7 - 0.02 < found < 3 / 7 + 0.1  # the first letter's 3 bits; everything else follows
    assert trigram_bits_per_byte(texts[:200], texts[200:]) > 6 / 7  # both letters' 3 bits, and when to stop


def test_random_characters_cost_the_trigram_their_entropy() -> None:
    rng = random.Random(0)
    train, held_out = ("".join(rng.choices(LETTERS, k=30_000)) for _ in range(2))
    assert trigram_bits_per_byte([train], [held_out]) == pytest.approx(3, abs=0.02)


def test_characters_that_follow_from_the_two_before_cost_the_trigram_their_noise_only() -> None:
    def dice(seed: int) -> str:
        rng, text = random.Random(seed), [0, 1]
        for _ in range(30_000):
            text.append((3 * text[-1] + 5 * text[-2] + (rng.random() < 0.25)) % 8)
        return "".join(LETTERS[i] for i in text)

    noise = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert trigram_bits_per_byte([dice(1)], [dice(2)]) == pytest.approx(noise, abs=0.03)


@settings(max_examples=10)
@given(train=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=4))
def test_the_trigrams_probabilities_of_texts_never_add_up_to_more_than_one(train: list[str]) -> None:
    characters = [chr(code) for code in range(128) if chr(code).strip()]
    assert sum(2 ** -trigram_bits_per_byte(train, [character]) for character in characters) <= 1


def test_nearly_all_of_the_trigrams_probability_is_on_texts_like_those_it_was_trained_on() -> None:
    train = list("abc") * 300
    assert sum(2 ** -trigram_bits_per_byte(train, [text]) for text in "abc") > 0.95


def test_the_trigram_prefers_texts_like_those_it_was_trained_on_and_gives_the_same_figure_again() -> None:
    own = trigram_bits_per_byte(DOCUMENTS[:-2], DOCUMENTS[-2:])
    assert own == trigram_bits_per_byte(DOCUMENTS[:-2], DOCUMENTS[-2:])
    assert 2 < own < 3.5 < 5 < trigram_bits_per_byte(DOCUMENTS[:-2], ["Привіт, світе! 你好"])


def test_the_trigram_refuses_nothing_on_either_side() -> None:
    for train, held_out in (([], ["a"]), (["a"], []), ([""], ["a"])):
        with pytest.raises(DataError, match="text"):
            trigram_bits_per_byte(train, held_out)
