"""Duplicates: exact ones always, near ones by MinHash, different numbers, names or negations never."""

import random
import subprocess
import sys

import numpy as np
import pytest

from llmops.documents.duplicates import SIGNATURE_BYTES, Duplicates, signature, text_key
from llmops.errors import ConfigError
from llmops.retrieval.builder import IndexSettings

VOCABULARY = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]


def words(count: int, seed: int) -> list[str]:
    return random.Random(seed).choices(VOCABULARY, k=count)


def changed(text: list[str], *places: int) -> list[str]:
    return [f"other{chr(97 + i % 26)}" if i in places else word for i, word in enumerate(text)]


def kept(texts: list[str], threshold: float = 0.9) -> list[int]:
    """The positions of the texts that are kept."""
    duplicates = Duplicates(threshold)
    return [row for row, text in enumerate(texts) if duplicates.add(row, text_key(text), signature(text)) is None]


def jaccard(left: list[str], right: list[str]) -> float:
    """By brute force, over all runs of three to five words."""
    sets = [{tuple(text[i : i + n]) for n in (3, 4, 5) for i in range(len(text) - n + 1)} for text in (left, right)]
    both, either = len(sets[0] & sets[1]), len(sets[0] | sets[1])
    return both / either


def estimate(left: list[str], right: list[str]) -> float:
    values = [np.frombuffer(signature(" ".join(text)), "<u2", offset=8) for text in (left, right)]
    return float(np.mean(values[0] == values[1]))


# Exact


def test_texts_that_differ_only_in_case_and_whitespace_are_exact_duplicates() -> None:
    duplicates = Duplicates(0)
    texts = ["Thirty days\nof leave.", "  THIRTY days of  leave. ", "Thirty days of leave!"]
    found = [duplicates.add(row, text_key(text), b"") for row, text in enumerate(texts, start=7)]
    assert (found, duplicates.exact, duplicates.near) == ([None, 7, None], 1, 0)


def test_a_key_has_sixteen_bytes_whatever_the_text() -> None:
    assert {len(text_key(text)) for text in ("", "Straße", "\ud800", "x" * 100_000)} == {16}
    assert text_key("Straße") == text_key("STRASSE")


def test_exact_duplicates_are_found_when_near_ones_are_switched_off() -> None:
    text = words(200, 0)
    texts = [" ".join(t) for t in (text, changed(text, 100), text)]
    assert (kept(texts, 0), kept(texts, 0.8)) == ([0, 1], [0])


# Near


@pytest.mark.parametrize("threshold", [0.8, 0.9])
@pytest.mark.parametrize("seed", range(20))
def test_a_word_changed_in_two_hundred_makes_a_near_duplicate(seed: int, threshold: float) -> None:
    text = words(200, seed)
    duplicates = Duplicates(threshold)
    for row, version in enumerate((text, changed(text, 10 * seed))):
        found = duplicates.add(row, text_key(" ".join(version)), signature(" ".join(version)))
    assert (found, duplicates.exact, duplicates.near) == (0, 0, 1)


def test_different_texts_are_all_kept() -> None:
    texts = [" ".join(words(60, seed)) for seed in range(500)]  # more than the hash table begins with
    assert kept(texts, 0.5) == list(range(500))


def test_a_near_duplicate_is_found_among_hundreds() -> None:
    texts = [words(60, seed) for seed in range(800)]
    duplicates = Duplicates(0.8)
    for row, text in enumerate(texts):
        assert duplicates.add(3 * row, text_key(" ".join(text)), signature(" ".join(text))) is None
    for row in range(0, 800, 40):
        text = [*texts[row], "more"]
        assert duplicates.add(9999, text_key(" ".join(text)), signature(" ".join(text))) == 3 * row


def test_the_same_words_in_another_order_are_another_text() -> None:
    text = words(60, 1)
    assert kept([" ".join(text), " ".join(reversed(text))], 0.5) == [0, 1]


@pytest.mark.parametrize("count", [6, 30, 300])
def test_texts_with_different_numbers_are_never_duplicates(count: int) -> None:
    text = words(count, 2)
    text[count // 2 : count // 2] = ["30", "days"]
    other = [word if word != "30" else "25" for word in text]
    assert kept([" ".join(text), " ".join(other)], 0.5) == [0, 1]


def test_a_short_text_is_only_compared_exactly() -> None:
    assert signature("Employees in Norway get thirty days of leave.") == b""
    assert kept(["Leave in Norway is paid.", "Leave in Sweden is paid.", "leave in norway is paid."], 0.1) == [0, 1]


def test_a_passage_with_another_word_in_its_middle_is_seldom_a_duplicate_at_the_usual_threshold() -> None:
    merged = 0
    for seed in range(200):
        text = words(70 + seed % 21, seed)
        other = changed(text, len(text) // 2)
        merged += len(kept([" ".join(text), " ".join(other)], IndexSettings.near_duplicates)) == 1
    assert merged <= 20  # the estimate errs; at 0.9 it is every second one


@pytest.mark.parametrize("place", [0, 1, 40, 79])
@pytest.mark.parametrize("names", [("Acme", "Globex"), ("eBay", "iTunes"), ("ÖBB", "SBB"), ("Éric", "Émile")])
def test_texts_with_different_names_are_never_duplicates(names: tuple[str, str], place: int) -> None:
    text = words(80, 7)
    texts = [" ".join([*text[:place], name, *text[place + 1 :]]) for name in names]
    assert kept(texts, 0.5) == [0, 1]


def test_texts_with_the_same_names_the_other_way_round_are_never_duplicates() -> None:
    text = words(200, 8)
    pairs = (("Acme", "Globex"), ("Globex", "Acme"))
    texts = [" ".join([*text[:90], one, "pays", other, *text[90:]]) for one, other in pairs]
    assert kept(texts, 0.5) == [0, 1]


@pytest.mark.parametrize(
    "pair", [("is", "is not"), ("a", "no"), ("always", "never"), ("with", "without"), ("can", "cannot"), ("does", "doesn’t")]
)
def test_texts_of_which_one_denies_are_never_duplicates(pair: tuple[str, str]) -> None:
    text = words(200, 9)
    texts = [" ".join([*text[:100], word, *text[100:]]) for word in pair]
    assert kept(texts, 0.5) == [0, 1]


def test_copies_with_the_same_names_and_negations_are_near_duplicates() -> None:
    text = words(200, 10)
    text[50:50] = ["Acme", "doesn't", "pay", "Globex", "30", "euros", "without", "notice"]
    copy = " ".join(changed(text, 120)).replace("'", "’").replace("Acme", "“Acme”,")
    assert kept([" ".join(text), copy], 0.9) == [0]


def test_only_kept_texts_are_compared_with_so_a_chain_does_not_swallow_what_is_far_from_its_first() -> None:
    text = words(200, 4)
    step, far = changed(text, 50, 51), changed(text, 50, 51, *range(100, 130))
    chain = [" ".join(t) for t in (text, step, far)]
    assert jaccard(text, far) < 0.8 < jaccard(text, step)
    assert kept(chain, 0.8) == [0, 2]


def test_of_several_the_most_similar_is_named() -> None:
    text = words(200, 5)
    versions = [changed(text, *range(0, 200, 12)), text, changed(text, 100)]
    duplicates = Duplicates(0.6)
    found = [duplicates.add(row, text_key(" ".join(t)), signature(" ".join(t))) for row, t in enumerate(versions)]
    assert found == [None, None, 1]


# The estimate


def test_the_estimate_is_near_the_exact_similarity() -> None:
    errors = []
    for seed in range(60):
        text = words(120, seed)
        other = changed(text, *random.Random(seed).sample(range(120), seed % 15))
        errors.append(estimate(text, other) - jaccard(text, other))
    assert abs(sum(errors) / 60) < 0.02  # not biased
    assert (sum(e * e for e in errors) / 60) ** 0.5 < 0.044  # sqrt(s (1 - s) / 128), at most


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.9, 1.0])
def test_what_reaches_the_threshold_is_found_whatever_the_threshold(threshold: float) -> None:
    found = above = 0
    for seed in range(150):
        text = words(120, seed)
        other = changed(text, *random.Random(seed).sample(range(120), seed % 10))
        above += estimate(text, other) >= threshold
        found += len(kept([" ".join(text), " ".join(other) + " ."], threshold)) == 1
    assert above and 0.97 * above <= found <= above


def test_a_signature_is_the_same_in_every_process() -> None:
    text = " ".join([*words(50, 6), "30", "Ærø", "漢字"])
    code = f"from llmops.documents.duplicates import *; print(signature({text!r}).hex(), text_key({text!r}).hex())"
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, env={"PYTHONHASHSEED": "1"})
    assert shown.split() == [signature(text).hex(), text_key(text).hex()]
    assert len(signature(text)) == SIGNATURE_BYTES


@pytest.mark.parametrize("threshold", [-0.1, 1.01, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match=r"must be in \[0, 1\]"):
        Duplicates(threshold)
