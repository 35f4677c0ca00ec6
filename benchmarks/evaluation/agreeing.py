"""Are our metrics the ones that others report? Against torchmetrics' SQuAD and against trec_eval, each case on its own."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import read_asked
from llmops.evaluation.metrics import exact_match, token_f1
from llmops.evaluation.ranking import ndcg_at, recall_at

Case = tuple[str, tuple[str, ...]]
"""A prediction, and the answers that are right."""

CUTS = (1, 3, 5, 10, 20, 100)
_RANKINGS = 2000
_HAND_MADE: tuple[Case, ...] = (
    ("The foreman, at Kesten!", ("foreman at kesten",)),
    ("an apple a day", ("apple day", "the apple")),
    ("days days days", ("days",)),
    ("10:15", ("15:10",)),
    ("kr 3,600", ("kr 3600", "3,600 kroner")),
    ("ÜBERSTUNDEN – naïve café", ("überstunden naïve cafe\u0301",)),
    ("“thirty” days", ("thirty days",)),
    ("東京 都", ("東京都", "東京 都")),
    ("İstanbul", ("istanbul",)),
    ("a.m.", ("am", "A M")),
    ("The", ("the",)),  # nothing is left of either: the same
    (".", ("the", "stop")),
    ("", ("...",)),
    ("", ("thirty days",)),
    ("thirty days", ("!",)),
    ("line\none\ttwo\u00a0three", ("line one two three",)),
)  # fmt: skip


def measure(data: Path) -> dict[str, Any]:
    """The largest differences, of SQuAD 2's answers and cases made by hand, and of rankings made by chance.

    Raises:
        DataError: the data set is missing or malformed.
    """
    cases = [*_HAND_MADE, *_squad_cases(data)]
    return {
        "squad_em_f1_max_diff": squad_difference(cases), "squad_cases": len(cases),
        "ndcg_recall_max_diff": ranking_difference(_RANKINGS), "ranking_cases": _RANKINGS * len(CUTS),
    }  # fmt: skip


def squad_difference(cases: Sequence[Case]) -> float:
    """The largest difference of any case's exact match or token F1 to torchmetrics', which counts in float32."""
    from torchmetrics.functional.text import squad  # 4 s to import

    worst = 0.0
    for prediction, answers in cases:
        target = {"id": "0", "answers": {"text": list(answers), "answer_start": [0] * len(answers)}}
        theirs = squad({"id": "0", "prediction_text": prediction}, target)
        for ours, name in ((token_f1(prediction, answers), "f1"), (exact_match(prediction, answers), "exact_match")):
            worst = max(worst, abs(ours - float(theirs[name]) / 100))
    return worst


def ranking_difference(count: int, seed: int = 0) -> float:
    """The largest difference of recall and nDCG, at any cut of so many rankings, to trec_eval's."""
    import pytrec_eval

    rng, names = random.Random(seed), [f"d{number}" for number in range(150)]
    cases = {str(number): _ranking(rng, names) for number in range(count)}
    cuts = ",".join(map(str, CUTS))
    judge = pytrec_eval.RelevanceEvaluator(
        {query: grades for query, (_, grades) in cases.items()}, {f"recall.{cuts}", f"ndcg_cut.{cuts}"}
    )
    run = {query: {name: float(-place) for place, name in enumerate(ranked)} for query, (ranked, _) in cases.items()}
    theirs = judge.evaluate(run)
    return max(
        abs(metric(*cases[query], cut) - theirs[query][f"{name}_{cut}"])
        for query in cases for cut in CUTS for metric, name in ((recall_at, "recall"), (ndcg_at, "ndcg_cut"))
    )  # fmt: skip


def _ranking(rng: random.Random, names: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Documents in an order without ties, and grades from -1 to 3, of some that are not among them too."""
    judged = rng.sample(names, rng.randint(1, 40))
    return rng.sample(names, rng.randint(1, len(names))), {name: rng.randint(-1, 3) for name in judged}


def _squad_cases(data: Path) -> Iterator[Case]:
    """Each question's answers against what a model may make of them: right, cut, mixed up, dressed up, or another's."""
    answers = [asked.answers for asked in read_asked(data) if asked.answers]
    rng = random.Random(0)
    for right in answers:
        gold = rng.choice(right)
        words = gold.split()
        mixed = rng.sample(words, len(words))
        for prediction in (
            gold, " ".join(words[: (len(words) + 1) // 2]), " ".join(mixed), gold.upper() + ".", f"The answer: “{gold}”!",
            f"{gold} — {rng.choice(rng.choice(answers))}", rng.choice(rng.choice(answers)), gold[: len(gold) // 2], "",
        ):  # fmt: skip
            yield prediction, right
