"""How good one answer is, as text: between 0 and 1, over acceptable wordings."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any


def normalize(text: str) -> list[str]:
    """Lower-case words without articles and punctuation (SQuAD 1.1: Rajpurkar et al. 2016)."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The best token F1 of an answer over acceptable answers, in [0, 1] (SQuAD 2.0: Rajpurkar et al. 2018)."""
    return max((_f1(normalize(answer), normalize(reference)) for reference in references), default=0.0)


def _f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:  # an answer such as "A" is an article and nothing else
        return float(found == wanted)
    common = sum((Counter(found) & Counter(wanted)).values())
    return 2 * common / (len(found) + len(wanted)) if common else 0.0


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1.0 if the normalised answer equals an acceptable one, else 0.0."""
    return float(any(normalize(answer) == normalize(reference) for reference in references))


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """The best F measure of the longest common subsequence of words, without stemming (Lin 2004), as rouge-score has it."""
    return max((float(_rouge().score(reference, answer)["rougeL"].fmeasure) for reference in references), default=0.0)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # 1 s to import

    return RougeScorer(["rougeL"], tokenizer=_Words())


class _Words:
    """Words in any script: the library's own tokenizer knows a to z and digits only."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())
