"""What the sample policy decides about candidates whose true difference is known: how often it promotes, keeps or waits."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from llmops.datasets.overlap import check_overlaps
from llmops.errors import DataError
from llmops.evaluation.rows import Row
from llmops.evaluation.scorecard import Scorecard, from_rows
from llmops.registry.decision.decision import decide
from llmops.registry.decision.policy import Policy, Win, read_policy

POLICY = Path(__file__).parents[2] / "policies" / "demo.yaml"
DOCUMENTS, PER_DOCUMENT, UNANSWERABLE = 50, 4, 60
REFUSED = "refused"
JUDGE = "judge/helpfulness"
Scores = Mapping[str, float]


def measure(repetitions: int) -> dict[str, Any]:
    """The rate of each verdict on each kind of challenger, against a champion that answers about half rightly."""
    policy = read_policy(POLICY)
    by_judge = policy.model_copy(update={"win": [Win(kpi=JUDGE, by=0.0)], "margins": {}})
    rates = {name: _rates(policy, challenger, repetitions) for name, challenger in CHALLENGERS.items()}
    gains = {name: _gain(challenger, repetitions) for name, challenger in CHALLENGERS.items()}
    rates["pleases the judge, and the policy asks the judge"] = _rates(by_judge, _judge_pleaser, repetitions)
    rates["trained on the questions"] = dict(Counter(_leak(np.random.default_rng(seed)) for seed in range(20)))
    total = {name: sum(found.values()) for name, found in rates.items()}
    shares = {n: {v: c / total[n] for v, c in sorted(found.items())} for n, found in rates.items()}
    return {"decision_rates": shares, "decision_true_gains": gains}


def _rates(policy: Policy, challenger: "Challenger", repetitions: int) -> dict[str, int]:
    verdicts: Counter[str] = Counter()
    for champion, found in _pairs(challenger, repetitions):
        verdicts[decide(policy, _card("challenger", found), _card("champion", champion)).verdict] += 1
    return dict(verdicts)


def _gain(challenger: "Challenger", repetitions: int) -> float:
    """The mean gain of F1 over all question sets drawn."""
    gains = [
        new["answer/f1"] - old["answer/f1"]
        for champion, found in _pairs(challenger, repetitions)
        for old, new in zip(champion, found, strict=True) if "answer/f1" in old
    ]  # fmt: skip
    return fmean(gains)


def _pairs(challenger: "Challenger", repetitions: int) -> Iterator[tuple[list[Scores], list[Scores]]]:
    for seed in range(repetitions):
        chance = np.random.default_rng(seed)
        champion = [_answer(chance, ease) for ease in _eases(chance)]
        yield champion, [challenger(chance, scores) for scores in champion]


def _eases(chance: np.random.Generator) -> list[float | None]:
    """How likely each question is answered rightly: alike on one document; None where it has no answer."""
    documents = chance.beta(2, 2, DOCUMENTS)
    return [*np.repeat(documents, PER_DOCUMENT).tolist(), *[None] * UNANSWERABLE]


def _answer(chance: np.random.Generator, ease: float | None) -> Scores:
    """F1 as answerers get it: often all or nothing, sometimes in between; one in ten refused."""
    if ease is None:
        return _unanswerable(float(chance.random() < 0.6))
    if chance.random() < 0.1:
        return _answerable(0.0, refused=1.0)
    f1 = 1.0 if chance.random() < ease else float(chance.choice([0.0, 0.0, 0.4]))
    return _answerable(f1, refused=0.0)


def _answerable(f1: float, refused: float, judged: float | None = None) -> Scores:
    judged = f1 if judged is None else judged
    return {"answer/score": f1, "answer/f1": f1, "abstention/false_rate": refused, JUDGE: judged}


def _unanswerable(refused: float) -> Scores:
    return {"answer/score": refused, "abstention/recall": refused, JUDGE: refused}


def _card(name: str, found: list[Scores]) -> Scorecard:
    rows = [
        Row(str(i), "?", ("a",) if "answer/f1" in scores else (), (f"{i // PER_DOCUMENT}",) if "answer/f1" in scores else (),
            "", False, (), (), scores)
        for i, scores in enumerate(found)
    ]  # fmt: skip
    return from_rows(name, rows, {"latency/p50_s": 1.0}, "the same", {JUDGE: "not certified"})


def _improved(share: float) -> "Challenger":
    """Answers this share of the questions rightly that the champion doesn't, and loses a few as chance has it."""

    def challenger(chance: np.random.Generator, scores: Scores) -> Scores:
        if "answer/f1" not in scores:
            return scores if chance.random() < 0.9 else _unanswerable(float(chance.random() < 0.6))
        f1, lost = scores["answer/f1"], 0.05
        if f1 < 1 and chance.random() < (share + lost) / 0.55:
            return _answerable(1.0, refused=0.0)
        return _answerable(0.0, refused=0.0) if f1 == 1 and chance.random() < lost / 0.45 else scores

    return challenger


def _same(chance: np.random.Generator, scores: Scores) -> Scores:
    """As good as the champion: another draw of the same answers on a fifth of the questions, gains and losses alike."""
    if "answer/f1" not in scores or chance.random() < 0.8:
        return scores
    return _answerable(float(chance.random() < 0.5), scores["abstention/false_rate"])


def _abstainer(chance: np.random.Generator, scores: Scores) -> Scores:
    return _answerable(0.0, refused=1.0) if "answer/f1" in scores else _unanswerable(1.0)


def _judge_pleaser(chance: np.random.Generator, scores: Scores) -> Scores:
    """Long-winded: its F1 falls by a third, it never refuses, and the judge is charmed."""
    if "answer/f1" not in scores:
        return {**_unanswerable(0.0), JUDGE: 1.0}
    return _answerable(scores["answer/f1"] * 2 / 3, refused=0.0, judged=1.0)


Challenger = Callable[[np.random.Generator, Scores], Scores]
CHALLENGERS: dict[str, Challenger] = {
    "no difference": _same, "a small one": _improved(0.03), "a large one": _improved(0.15),
    "always abstains": _abstainer, "pleases the judge": _judge_pleaser,
}  # fmt: skip


def _leak(chance: np.random.Generator) -> str:
    """What becomes of a candidate whose training data hold a tenth of the questions, reworded a little."""
    words = ["how", "many", "days", "of", "leave", "does", "a", "technician", "get", "after", "every", "winter", "shift"]
    asked = [(str(i), " ".join([*chance.permutation(words)[:8], str(i)]) + "?") for i in range(100)]
    training = [(f"row {i}", text.replace("?", " please?")) for i, text in asked[::10]]
    try:
        check_overlaps(training, asked, allowed=False)
    except DataError:
        return REFUSED
    return "evaluated"
