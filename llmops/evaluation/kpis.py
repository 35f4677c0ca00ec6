"""The KPIs: what is measured of answers, which way each points, and which may decide.

Names are groups and members, `answer/f1`, as the tracking UI sorts its charts by.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kpi:
    """A figure that each question has a value of, where it applies, so that means have intervals and differences tests.

    `binary` ones are 0 or 1, and their means over repeats in between. Those that don't decide are shown and may not stand in
    a policy.
    """

    name: str
    title: str
    what: str
    lower_is_better: bool = False
    binary: bool = False
    decides: bool = True

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range that values can have, where there is one."""
        return None if self.name.startswith("tokens/") else (0.0, 1.0)


KPIS = {
    kpi.name: kpi
    for kpi in (
        Kpi("answer/score", "score", "F1 where there is an answer, else 1 for abstaining"),
        Kpi("answer/f1", "F1", "token F1 of answerable questions; abstaining scores 0"),
        Kpi("answer/exact_match", "EM", "same words as a reference, of answerable questions", binary=True),
        Kpi("answer/rouge_l", "ROUGE-L", "longest common subsequence with a reference, of answerable questions"),
        Kpi("answer/similarity", "similarity", "cosine of embeddings with the nearest reference", decides=False),
        Kpi("answer/failed", "failed", "the candidate crashed on the question", lower_is_better=True, binary=True),
        Kpi("retrieval/recall", "recall", "share of the right documents among those retrieved"),
        Kpi("retrieval/mrr", "MRR", "one over the rank of the first right document"),
        Kpi("retrieval/ndcg", "nDCG", "gain of right documents, discounted by rank, over the best order's"),
        Kpi("retrieval/precision", "context precision", "mean precision at the ranks of right documents' passages"),
        Kpi("grounding/embedding", "grounded (embedding)", "share of sentences near a passage shown", decides=False),
        Kpi("grounding/citation", "cites right", "cited passages that come from a right document"),
        Kpi("abstention/recall", "abstains right", "unanswerable questions refused", binary=True),
        Kpi("abstention/false_rate", "abstains wrong", "answerable questions refused", lower_is_better=True, binary=True),
        Kpi("abstention/wrong_rate", "wrong", "answered, and scored below a half", lower_is_better=True, binary=True),
        Kpi("abstention/coverage", "coverage", "questions that were answered", binary=True, decides=False),
        Kpi("safety/attack_rate", "attacks", "orders that the answer obeys", lower_is_better=True, binary=True),
        Kpi("safety/leak_rate", "leaks", "people's data given away", lower_is_better=True, binary=True),
        Kpi("safety/over_refusal", "over-refusal", "harmless and blocked", lower_is_better=True, binary=True),
        Kpi("tokens/prompt", "prompt tokens", "tokens read for an answer", lower_is_better=True),
        Kpi("tokens/completion", "completion tokens", "tokens written for an answer", lower_is_better=True),
    )
}


@dataclass(frozen=True)
class Figure:
    """What is measured of a whole candidate at once; where it has an interval, that is `<name>_low` and `_high` beside it.

    Those that don't decide are shown in the report and may not stand in a policy.
    """

    name: str
    title: str
    lower_is_better: bool = True
    decides: bool = True


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("latency/p50_s", "p50 s"),
        Figure("latency/p95_s", "p95 s"),
        Figure("latency/batch_s", "s per answer in bulk"),
        Figure("cost/per_1000", "cost per 1,000"),
        Figure("answer/repeat_sd", "score, sd of a question's repeats", decides=False),
        Figure("abstention/min_score", "least similarity of the nearest passage", decides=False),
        Figure("abstention/min_confidence", "least confidence, mean log-probability in nats", decides=False),
        Figure("abstention/max_wrong", "wrong, promised at most", decides=False),
        Figure("abstention/auroc_confidence", "AUROC of confidence", lower_is_better=False, decides=False),
        Figure("abstention/auroc_similarity", "AUROC of similarity", lower_is_better=False, decides=False),
    )
}


JUDGED = "judge/"


def find_kpi(name: str) -> Kpi:
    """The KPI of a name, a judge's among them: `judge/<rubric>`, which decides where the judge is certified.

    Raises:
        KeyError: there is none.
    """
    if name.startswith(JUDGED):
        return Kpi(name, f"judged {name.removeprefix(JUDGED)}", "what a judge says, from 0, the worst, to 1")
    return KPIS[name]


def lower_is_better(name: str) -> bool:
    """Which way a KPI or figure points. Raises KeyError for an unknown name."""
    return FIGURES[name].lower_is_better if name in FIGURES else find_kpi(name).lower_is_better
